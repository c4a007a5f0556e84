"""Rotated files beside an active one: their names, their bound on the disk, their compression.

An active `events.jsonl` is renamed to `events-<seq of its last event>-<UTC time>.jsonl` and later
replaced by the same name with `.gz`.  Names sort by position, and nothing is ever renamed twice, so
a crash leaves only states that `Shelf.scan` can tell apart:

    name            alone: not compressed yet             -> it is compressed
    name, name.gz   killed before the plain one was gone  -> the plain one is removed
    .name.gz.tmp    killed while compressing              -> it is removed, and compressed anew

Bound: the active file, the rotated ones and what a compression has written so far hold together at
most `total_bytes` bytes at every moment, because whatever is written first makes room by removing
the oldest rotated files.  Only a single event larger than the bound goes over it.  Counted are the
bytes of the files; a file system that rounds them up to whole blocks takes that much more.
"""

from __future__ import annotations

import os
import re
import threading
import time
import zlib
from queue import SimpleQueue
from typing import TYPE_CHECKING, Final

from kevmond.errors import RetryableError
from kevmond.faultpoints import fault
from kevmond.sinks.files import refused
from kevmond.sinks.tail import is_whole_gzip

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from kevmond.sinks.files import Files

_BLOCK: Final = 1 << 18


class Rotated:
    """A rotated file."""

    __slots__ = ("name", "plain", "seq", "size")

    def __init__(self, name: str, seq: int, size: int, *, plain: bool) -> None:
        self.name = name
        self.seq = seq
        self.size = size
        self.plain = plain


class Shelf:
    """The rotated files of one active file.

    `active` is the size of the active file, kept by its writer, who reserves before it writes.  The
    writer's thread and the compressing one share this object under its lock.
    """

    def __init__(
        self,
        path: Path,
        *,
        files: Files,
        mode: int,
        keep: int,
        total_bytes: int,
        compress: bool,
        trouble: Callable[[str], None],
    ) -> None:
        self.active = 0
        self.removed = 0
        """Rotated files given up to keep the bounds, since the start."""
        self._path = path
        self._files = files
        self._mode = mode
        self._keep = keep
        self._total = total_bytes
        self._compress = compress
        self._trouble = trouble
        self._lock = threading.RLock()
        self._rotated: list[Rotated] = []
        self._temporary = 0
        self._todo: SimpleQueue[Rotated | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._closing = False
        self._settled = threading.Condition(self._lock)
        self._waiting = 0
        stem, suffix = re.escape(path.stem), re.escape(path.suffix)
        self._pattern = re.compile(rf"{stem}-(\d{{16,}})-\d{{8}}T\d{{6}}Z(\.\d+)?{suffix}(\.gz)?")

    @property
    def newest(self) -> Rotated | None:
        """The rotated file with the latest events."""
        with self._lock:
            return self._rotated[-1] if self._rotated else None

    def owns(self, name: str) -> bool:
        """Tell whether `name` is a rotated file of this shelf, or an unfinished one."""
        return self._pattern.fullmatch(self._unhidden(name)) is not None

    @staticmethod
    def _unhidden(name: str) -> str:
        return name[1:-4] if name.startswith(".") and name.endswith(".tmp") else name

    # ------------------------------------------------------------------ what is there

    def scan(self) -> None:
        """Find what earlier runs left, finish what they began, and keep the bounds."""
        with self._lock:
            self._closing = False
            found: dict[str, Rotated] = {}
            for name in sorted(self._files.listdir(self._path.parent)):
                self._look_at(name, found)
            self._rotated = sorted(found.values(), key=lambda entry: (entry.seq, entry.name))
            self._trim()
            for entry in self._rotated:
                self._enqueue(entry)

    def _look_at(self, name: str, found: dict[str, Rotated]) -> None:
        match = self._pattern.fullmatch(self._unhidden(name))
        if match is None:
            return
        path = self._path.with_name(name)
        if name.startswith("."):
            self._remove(path)
            return
        plain = match[3] is None
        twin = found.get(name.removesuffix(".gz"))
        if twin is not None:  # sorted, the plain one comes first
            if not self._is_whole(path):
                self._remove(path)
                return
            self._remove(path.with_name(twin.name))
        try:
            size = self._files.lstat(path).st_size
        except FileNotFoundError:
            return
        found[name.removesuffix(".gz")] = Rotated(name, int(match[1]), size, plain=plain)

    def _is_whole(self, path: Path) -> bool:
        fd = self._files.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            offset = 0

            def read(length: int) -> bytes:
                nonlocal offset
                block = self._files.pread(fd, length, offset)
                offset += len(block)
                return block

            return is_whole_gzip(read)
        finally:
            self._files.close(fd)

    # ------------------------------------------------------------------ the bounds

    def make_room(self, length: int, *, spare: Rotated | None = None) -> bool:
        """Remove the oldest files until `length` more bytes fit; False if they cannot.

        Raises RetryableError if a file cannot be removed.
        """
        with self._lock:
            if self._total == 0:
                return True
            while self._used() + length > self._total:
                if not self._rotated or self._rotated[0] is spare:
                    return False
                self._drop_oldest()
            return True

    def reserve(self, length: int) -> None:
        """Make room for bytes that are about to be written to the active file, and count them."""
        with self._lock:
            self.make_room(length)
            self.active += length

    def _used(self) -> int:
        return self.active + self._temporary + sum(entry.size for entry in self._rotated)

    def _trim(self) -> None:
        while len(self._rotated) > self._keep:
            self._drop_oldest()
        self.make_room(0)

    def _drop_oldest(self) -> None:
        entry = self._rotated[0]
        self._remove(self._path.with_name(entry.name))
        del self._rotated[0]
        self.removed += 1

    def _remove(self, path: Path) -> None:
        try:
            self._files.unlink(path)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise refused(path, "cannot be removed", error) from error

    # ------------------------------------------------------------------ rotation

    def rotate(self, seq: int, wall_ns: int) -> None:
        """Rename the active file, whose last event is `seq`, and take it into the bounds.

        Raises RetryableError if it cannot be renamed.
        """
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(wall_ns // 1_000_000_000))
        with self._lock:
            target = self._free_name(f"{self._path.stem}-{seq:016d}-{stamp}")
            fault("jsonl.before-rotate")
            try:
                self._files.rename(self._path, target)
            except OSError as error:
                raise refused(self._path, f"cannot be renamed to {target.name}", error) from error
            fault("jsonl.after-rotate")
            entry = Rotated(target.name, seq, self.active, plain=True)
            self._rotated.append(entry)
            self.active = 0
            self._trim()
            if entry in self._rotated:
                self._enqueue(entry)

    def _free_name(self, stem: str) -> Path:
        taken = {entry.name.removesuffix(".gz") for entry in self._rotated}
        suffix = self._path.suffix
        name = f"{stem}{suffix}"
        number = 0
        while name in taken:
            number += 1
            name = f"{stem}.{number}{suffix}"
        return self._path.with_name(name)

    # ------------------------------------------------------------------ compression

    def settle(self) -> None:
        """Wait until nothing is left to compress."""
        with self._lock:
            self._settled.wait_for(lambda: self._waiting == 0)

    def close(self) -> None:
        """Stop compressing: what is not finished is begun again by the next start."""
        with self._lock:
            self._closing = True
        if self._thread is not None:
            self._todo.put(None)
            self._thread.join()
            self._thread = None

    def _enqueue(self, entry: Rotated) -> None:
        if not (self._compress and entry.plain):
            return
        self._waiting += 1
        if self._thread is None:
            name = f"{self._path.name}-gzip"
            self._thread = threading.Thread(target=self._loop, name=name, daemon=True)
            self._thread.start()
        self._todo.put(entry)

    def _loop(self) -> None:
        while (entry := self._todo.get()) is not None:
            try:
                self._gzip(entry)
            except Exception as error:  # noqa: BLE001 - an uncompressed file is a whole file
                self._trouble(f"{entry.name} stays uncompressed: {error}")
            finally:
                with self._lock:
                    self._waiting -= 1
                    self._settled.notify_all()

    def _gzip(self, entry: Rotated) -> None:
        """Compress one file under a hidden name, bring it to the medium, give it its name."""
        if not self._wanted(entry):
            return
        plain = self._path.with_name(entry.name)
        hidden = self._path.with_name(f".{entry.name}.gz.tmp")
        source = self._files.open(plain, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            self._remove(hidden)
            target = self._files.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_EXCL, self._mode)
            try:
                whole = self._copy(source, target, entry)
                if whole:
                    self._files.fchmod(target, self._mode)
                    self._files.fsync(target)
            finally:
                self._files.close(target)
            if whole:
                self._replace(entry, plain, hidden)
        finally:
            self._files.close(source)
            with self._lock:
                self._remove(hidden)
                self._temporary = 0

    def _wanted(self, entry: Rotated) -> bool:
        return not self._closing and any(other is entry for other in self._rotated)

    def _copy(self, source: int, target: int, entry: Rotated) -> bool:
        """Compress `source` into `target`; False when it was given up on the way."""
        pack = zlib.compressobj(wbits=31)
        offset = 0
        while block := self._files.pread(source, _BLOCK, offset):
            offset += len(block)
            if not self._put(target, pack.compress(block), entry):
                return False
        return self._put(target, pack.flush(), entry)

    def _put(self, target: int, data: bytes, entry: Rotated) -> bool:
        with self._lock:
            if not self._wanted(entry) or not self.make_room(len(data), spare=entry):
                return False
            self._temporary += len(data)
        view = memoryview(data)
        while view:
            view = view[self._files.write(target, view) :]
        return True

    def _replace(self, entry: Rotated, plain: Path, hidden: Path) -> None:
        with self._lock:
            if not self._wanted(entry):
                return
            fault("jsonl.before-gzip-rename")
            final = plain.with_name(f"{plain.name}.gz")
            self._files.rename(hidden, final)
            fault("jsonl.after-gzip-rename")
            try:
                self._remove(plain)
            except RetryableError:
                self._remove(final)
                raise
            entry.name, entry.size, entry.plain = final.name, self._temporary, False
            self._temporary = 0

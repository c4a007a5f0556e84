"""A file of lines that other programs may move, and that a kill at any moment leaves whole.

One write(2) a batch to an O_APPEND descriptor.  What a short write or a full disk leaves behind is
cut off again at once; what a kill leaves behind is cut off by the next start.  So the file is, at
rest, a sequence of whole lines, and its last line says where to go on.

All of this blocks and runs in the sink's thread.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from datetime import datetime
from typing import TYPE_CHECKING, Final

from kevmond.errors import RetryableError
from kevmond.faultpoints import fault
from kevmond.sinks.files import identity, refused
from kevmond.sinks.tail import Tail, first_time, last_sequence_gzip, read_tail
from kevmond.sinks.writerlock import WriterLock

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from kevmond.events.event import Record
    from kevmond.sinks.files import Files
    from kevmond.sinks.rotation import Shelf

_SIBLINGS: Final = 3
"""How many files that another program rotated are looked into for the last event."""


class LineFile:
    """The active file."""

    def __init__(
        self,
        path: Path,
        shelf: Shelf,
        *,
        files: Files,
        mode: int,
        directory_mode: int,
        max_bytes: int,
        max_age: float,
        sync: bool,
    ) -> None:
        self._path = path
        self._shelf = shelf
        self._files = files
        self._mode = mode
        self._directory_mode = directory_mode
        self._max_bytes = max_bytes
        self._max_age_ns = int(max_age * 1e9)
        self._sync = sync
        self._lock = WriterLock(path, files)
        self._fd: int | None = None
        self._identity = (0, 0)
        self._size = 0
        self._cut_to: int | None = None
        """Where the last whole line ends, while what is behind it could not be cut off."""
        self._tail_seq: int | None = None
        """Position of the last event in the active file."""
        self._first_ns: int | None = None
        """Time of its first event."""
        self._written = -1
        """Last position that this object wrote: what is offered again, is not written again."""

    # ------------------------------------------------------------------ opening

    def open(self) -> int | None:
        """Open or create the file and return the last position it, or the newest before it, holds.

        Raises RetryableError, naming the file and what to do.
        """
        self._let_go()
        self._open_active()
        self._shelf.scan()
        if self._tail_seq is not None:
            return self._tail_seq
        newest = self._shelf.newest
        found = [] if newest is None else [newest.seq]
        found += self._siblings()
        return max(found, default=None)

    def reopen(self) -> None:
        """Let go of the file and open what is at the path now."""
        self._mend()
        self._let_go()
        self._open_active()

    def close(self) -> None:
        """Let go of everything; harmless twice."""
        self._shelf.close()
        with contextlib.suppress(RetryableError):  # what cannot be cut off now, the next start will
            self._mend()
        self._let_go()
        self._lock.release()

    def _open_active(self) -> None:
        path = self._path
        try:
            self._files.lstat(path.parent)
        except FileNotFoundError:
            self._make_directory()
        self._lock.take()
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
        try:
            fd = self._files.open(path, flags, self._mode)
        except OSError as error:
            raise refused(path, "cannot be opened", error) from error
        try:
            self._adopt(fd)
        except BaseException:
            self._files.close(fd)
            raise
        self._fd = fd

    def _make_directory(self) -> None:
        try:
            self._files.mkdir(self._path.parent, self._directory_mode)
        except OSError as error:
            raise refused(self._path.parent, "cannot be made", error) from error

    def _adopt(self, fd: int) -> None:
        """Take the file as it is: check it, cut a torn tail off, see where it ends."""
        path = self._path
        try:
            found = self._files.fstat(fd)
            if not stat.S_ISREG(found.st_mode):
                raise RetryableError(f"{path}: not a regular file; give the path of a file")
            if stat.S_IMODE(found.st_mode) != self._mode:
                self._files.fchmod(fd, self._mode)
            tail = read_tail(self._files, fd, found.st_size)
            if tail.foreign:
                raise RetryableError(
                    f"{path}: holds something else than kevmond's events; "
                    "move it away, or give this sink another path"
                )
            if tail.whole < found.st_size:
                self._files.ftruncate(fd, tail.whole)
            self._taken(fd, found, tail)
        except OSError as error:
            raise refused(path, "cannot be taken over", error) from error

    def _taken(self, fd: int, found: os.stat_result, tail: Tail) -> None:
        self._identity = identity(found)
        self._size = self._shelf.active = tail.whole
        self._tail_seq = tail.seq
        self._cut_to = None
        text = first_time(self._files, fd) if tail.whole else None
        try:
            self._first_ns = None if text is None else _nanoseconds(text)
        except ValueError:
            self._first_ns = None
        if self._sync:
            self._sync_directory()

    def _sync_directory(self) -> None:
        fd = self._files.open(self._path.parent, os.O_RDONLY)
        try:
            self._files.fsync(fd)
        finally:
            self._files.close(fd)

    def _siblings(self) -> list[int]:
        """Return the last positions in files that another program rotated (`events.jsonl.0.gz`)."""
        directory, own = self._path.parent, self._path.name
        dated: list[tuple[int, str]] = []
        for name in self._files.listdir(directory):
            if name.startswith((f"{own}.", f"{own}-")):
                found = self._files.lstat(directory / name)
                if stat.S_ISREG(found.st_mode):
                    dated.append((found.st_mtime_ns, name))
        dated.sort(reverse=True)
        seqs = [self._last_of(directory / name) for _, name in dated[:_SIBLINGS]]
        return [seq for seq in seqs if seq is not None]

    def _last_of(self, path: Path) -> int | None:
        try:
            fd = self._files.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        except OSError:
            return None
        try:
            if path.suffix != ".gz":
                return read_tail(self._files, fd, self._files.fstat(fd).st_size).seq
            offset = 0

            def read(length: int) -> bytes:
                nonlocal offset
                block = self._files.pread(fd, length, offset)
                offset += len(block)
                return block

            return last_sequence_gzip(read)
        except OSError:
            return None
        finally:
            self._files.close(fd)

    def _let_go(self) -> None:
        if self._fd is not None:
            fd, self._fd = self._fd, None
            self._files.close(fd)

    # ------------------------------------------------------------------ writing

    def write(self, batch: Sequence[Record]) -> None:
        """Append a batch; what of it was already written is passed over.

        Raises RetryableError, naming the file and the errno's symbol; then no line of the batch
        that is not counted as written is in the file.
        """
        if batch[0].seq <= self._written:
            batch = [record for record in batch if record.seq > self._written]
            if not batch:
                return
        self._look()
        if self._size and self._is_old(batch[0]):
            self._rotate(batch[0].wall_ns)
        lines = [record.line for record in batch]
        length = sum(map(len, lines)) + len(lines)
        if self._max_bytes == 0 or self._size + length <= self._max_bytes:
            self._append(b"\n".join([*lines, b""]), batch[0], batch[-1])
        else:
            self._append_in_pieces(batch, lines)

    def _append_in_pieces(self, batch: Sequence[Record], lines: list[bytes]) -> None:
        """Write a batch that crosses the limit: a file ends where the next line does not fit."""
        begin = 0
        length = 0
        for index, line in enumerate(lines):
            if length + self._size and self._size + length + len(line) + 1 > self._max_bytes:
                if begin < index:
                    self._append(
                        b"\n".join([*lines[begin:index], b""]), batch[begin], batch[index - 1]
                    )
                self._rotate(batch[index].wall_ns)
                begin, length = index, 0
            length += len(line) + 1
        self._append(b"\n".join([*lines[begin:], b""]), batch[begin], batch[-1])

    def _is_old(self, record: Record) -> bool:
        if self._max_age_ns == 0 or self._first_ns is None:
            return False
        return record.wall_ns - self._first_ns >= self._max_age_ns

    def _rotate(self, wall_ns: int) -> None:
        assert self._tail_seq is not None
        self._shelf.rotate(self._tail_seq, wall_ns)
        self._let_go()
        self._open_active()

    def _look(self) -> None:
        """Make sure that the descriptor is still the file at the path, and ends as it should."""
        if self._fd is None:
            self._open_active()
            return
        self._mend()
        try:
            found = self._files.lstat(self._path)
        except OSError:
            self.reopen()
            return
        if identity(found) != self._identity:
            self.reopen()
        elif found.st_size != self._size:  # somebody cut it, or wrote into it
            self._adopt(self._fd)

    def _append(self, data: bytes, first: Record, last: Record) -> None:
        assert self._fd is not None
        self._shelf.reserve(len(data))
        fault("jsonl.before-write")
        try:
            self._write_all(self._fd, data)
            if self._sync:
                self._files.fsync(self._fd)
        except OSError as error:
            self._cut_to = self._size
            with contextlib.suppress(RetryableError):  # the first error tells more
                self._mend()
            raise refused(self._path, f"{len(data)} bytes cannot be written", error) from error
        fault("jsonl.after-write")
        if self._size == 0:
            self._first_ns = first.wall_ns
        self._size += len(data)
        self._tail_seq = self._written = last.seq

    def _write_all(self, fd: int, data: bytes) -> None:
        """write(2); a short one is followed by another, which then tells the reason."""
        view = memoryview(data)
        while view:
            try:
                written = self._files.write(fd, view)
            except InterruptedError:
                continue
            if written == 0:
                raise OSError(errno.EIO, "write took nothing")
            view = view[written:]

    def _mend(self) -> None:
        """Cut off what a failed write left behind the last whole line."""
        if self._cut_to is None or self._fd is None:
            return
        try:
            if self._files.fstat(self._fd).st_size > self._cut_to:
                self._files.ftruncate(self._fd, self._cut_to)
        except OSError as error:
            raise refused(self._path, "a torn line cannot be cut off", error) from error
        self._shelf.active = self._cut_to
        self._cut_to = None


def _nanoseconds(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1e9)

"""The listening side of the `unix` sink: a socket file, and any number of readers behind it.

A reader gets the events from the moment it connected, whole lines only.  What waits for it is
bounded; a reader that lets its buffer fill and goes on too slowly is cut off: what it did not take
is counted and logged, and the last line it can read says behind which event it was lost:

    {"kevmond":"cut off","after":1041,"lost":212,"why":"too slow: ..."}

No method blocks: sockets are watched by the loop, the file is dealt with in a thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import stat
from typing import TYPE_CHECKING, Final, TypeVar

from kevmond.errors import RetryableError
from kevmond.sinks.files import Files, identity, refused
from kevmond.sinks.unix_reader import Reader, notice
from kevmond.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from kevmond.events.event import Record

T = TypeVar("T")

SUFFIX: Final = ".new"
"""Behind the name, and a dot before it: the socket's file before it is in its place."""
CHUNK: Final = 1 << 16
"""Bytes that are joined for one system call, unless a line is longer."""

_FLUSH: Final = 0.5
"""Seconds that a stopping sink lets its readers take what waits for them."""
_ACCEPTED_AT_ONCE: Final = 16
_NO_FILES: Final = 1.0
"""Seconds until connections are accepted again when the process has no file descriptor left."""


def chunks(batch: Sequence[Record]) -> Iterator[tuple[bytes, int]]:
    """Yield the records' lines, joined to pieces of some size, each with its last position."""
    lines: list[bytes] = []
    size = 0
    for record in batch:
        lines.append(record.line)
        size += len(record.line) + 1
        if size >= CHUNK or record is batch[-1]:
            yield b"\n".join([*lines, b""]), record.seq
            lines, size = [], 0


class Readers:
    """A listening socket and those who connected to it."""

    def __init__(
        self, name: str, path: Path, *, mode: int, most: int, buffer: int, patience: float
    ) -> None:
        self.lost = 0
        """Events that readers did not take, each reader's counted."""
        self._name = name
        self._path = path
        self._mode = mode
        self._most = most
        self._buffer = buffer
        self._patience = patience
        self._listener: socket.socket | None = None
        self._identity: tuple[int, int] | None = None
        self._readers: set[Reader] = set()
        self._fed_to = 0
        self._changed = asyncio.Event()
        self._later: asyncio.TimerHandle | None = None

    async def open(self) -> None:
        """Put the socket in its place; RetryableError if somebody else's is there."""
        await self._replace()

    async def reopen(self) -> None:
        """Listen anew if the socket's file is not ours any more; readers stay."""
        await self._replace()

    async def write(self, batch: Sequence[Record]) -> None:
        """Hand the batch to every reader; wait for slow ones a little, or cut them off."""
        if self._readers:
            fresh = [record for record in batch if record.seq > self._fed_to]
            for blob, last in chunks(fresh):
                self._fed_to = last
                for reader in list(self._readers):
                    reader.feed(blob, last)
                await self._room()
        self._fed_to = batch[-1].seq

    async def aclose(self) -> None:
        """Take the socket away, and let readers finish what waits for them, for a moment."""
        if self._listener is not None:
            await self._off_thread(self._take_away)
            self._stop_listening()
        loop = asyncio.get_running_loop()
        end = loop.time() + _FLUSH
        while any(reader.waiting for reader in self._readers) and loop.time() < end:
            await self._change(end - loop.time())
        for reader in list(self._readers):
            reader.close("the daemon stopped before the reader took them")

    # ------------------------------------------------------------------ the file

    async def _off_thread(self, job: Callable[[], T]) -> T:
        worker = Worker(f"sink-{self._name}")
        try:
            return await worker.run(job)
        finally:
            worker.stop()

    async def _replace(self) -> None:
        made = await self._off_thread(self._make)
        if made is not None:
            self._stop_listening()
            self._listener = made
            self._listen()

    def _make(self) -> socket.socket | None:
        """Make the socket and put it in its place at once; None if ours is there."""
        try:
            if self._listener is not None and self._is_ours():
                return None
            Files().mkdir(self._path.parent, 0o700)
            self._see_that_it_is_free()
            fresh = self._path.with_name(f".{self._path.name}{SUFFIX}")
            fresh.unlink(missing_ok=True)
            listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                listener.setblocking(False)
                listener.bind(str(fresh))
                fresh.chmod(self._mode)  # nobody can connect before `listen`
                listener.listen()
                self._identity = identity(fresh.lstat())
                fresh.rename(self._path)
            except OSError:
                listener.close()
                raise
        except OSError as error:
            raise refused(self._path, "cannot listen there", error) from error
        return listener

    def _see_that_it_is_free(self) -> None:
        """Raise RetryableError if anything is at the path but a socket that nobody listens on."""
        try:
            found = self._path.lstat()
        except FileNotFoundError:
            return
        if not stat.S_ISSOCK(found.st_mode):
            raise RetryableError(
                f"{self._path}: something that is no socket is there; move it away or set `path`"
            )
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.setblocking(False)
            try:
                probe.connect(str(self._path))
            except (ConnectionRefusedError, FileNotFoundError):
                return
            except OSError as error:
                if error.errno not in {errno.EAGAIN, errno.EPROTOTYPE}:
                    raise
        raise RetryableError(
            f"{self._path}: another program listens there; stop it or give this sink another path"
        )

    def _is_ours(self) -> bool:
        try:
            return identity(self._path.lstat()) == self._identity
        except FileNotFoundError:
            return False

    def _take_away(self) -> None:
        with contextlib.suppress(OSError):
            if self._is_ours():
                self._path.unlink()

    # ------------------------------------------------------------------ readers come and go

    def _listen(self) -> None:
        if self._listener is not None:
            asyncio.get_running_loop().add_reader(self._listener.fileno(), self._accept)

    def _stop_listening(self) -> None:
        if self._later is not None:
            self._later.cancel()
            self._later = None
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener.fileno())
            self._listener.close()
            self._listener = None

    def _accept(self) -> None:
        listener = self._listener
        assert listener is not None
        for _ in range(_ACCEPTED_AT_ONCE):
            try:
                connection, _address = listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:  # no descriptor left, say: the loop would call again at once
                loop = asyncio.get_running_loop()
                loop.remove_reader(listener.fileno())
                self._later = loop.call_later(_NO_FILES, self._listen)
                self._say("cannot accept readers", error=str(error))
                return
            connection.setblocking(False)
            if len(self._readers) >= self._most:
                for reader in list(self._readers):
                    reader.see_whether_it_is_there()
            if len(self._readers) >= self._most:
                why = f"{self._most} readers are connected already, which is max_readers"
                with contextlib.suppress(OSError):
                    connection.send(notice("refused", why=why))
                connection.close()
                continue
            self._readers.add(Reader(connection, self._buffer, self._moved))

    def _moved(self, reader: Reader) -> None:
        """Note that a reader took something, or went."""
        if reader.closed:
            self._readers.discard(reader)
            if reader.lost and not reader.leaving:  # else it was told when it began to leave
                self._tell(reader)
        self._changed.set()

    async def _change(self, seconds: float) -> None:
        self._changed.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()

    async def _room(self) -> None:
        """Wait until no reader's buffer is full; cut those off that take too long."""
        loop = asyncio.get_running_loop()
        while late := [reader for reader in self._readers if reader.waiting > self._buffer]:
            patience = self._patience - max(reader.held_up for reader in late)
            if patience > 0:
                start = loop.time()
                await self._change(patience)
                for reader in late:
                    reader.held_up += loop.time() - start
            for reader in late:
                if reader.held_up >= self._patience and reader.waiting > self._buffer:
                    why = f"too slow: it took less than {self._buffer} bytes "
                    reader.leave(f"{why}in {self._patience:g} s while others waited")
                    self._tell(reader)

    def _tell(self, reader: Reader) -> None:
        self.lost += reader.lost
        facts = {"lost": reader.lost, "after": reader.last, "why": reader.why}
        self._say("a reader lost events", **facts)

    def _say(self, what: str, **facts: object) -> None:
        import structlog  # noqa: PLC0415 - only in trouble

        log = structlog.get_logger("kevmond.sinks")
        log.warning("unix", sink=self._name, what=what, **facts)

"""The connecting side of the `unix` sink: events to a receiver that listens.

A write returns in time with what it achieved, so that a slow receiver is never sent the same batch
for ever.  No method blocks: sockets are watched by the loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections import deque
from typing import TYPE_CHECKING, ClassVar, Final

from kevmond.errors import PermanentError, RetryableError, SinkError
from kevmond.sinks.unix_readers import chunks

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from kevmond.events.event import Record

_DATAGRAM_SPACE: Final = 256 << 10
"""Send space of a datagram socket: on macOS it bounds the longest one, and is 2 KiB by default."""
_LOST: Final = frozenset(
    {errno.EPIPE, errno.ECONNRESET, errno.ECONNREFUSED, errno.ENOTCONN, errno.ENOENT}
)
"""The other end of the connection is gone."""
_LONGEST_ANSWER: Final = 32
_NO_BUFFERS: Final = 0.01
"""Seconds to wait where the system cannot tell when a receiver has room again (macOS: ENOBUFS)."""


class Sender:
    """A connection to a receiver, made when it is needed."""

    KIND: ClassVar[socket.SocketKind]

    def __init__(self, path: Path, *, acknowledged: bool, seconds: float) -> None:
        """Take the receiver's socket, and how long a write may take.

        `acknowledged`: events count when the receiver says so (a stream's only).
        """
        self._path = path
        self._acknowledged = acknowledged
        self._seconds = seconds
        self._socket: socket.socket | None = None

    async def open(self) -> None:
        """Connect."""
        self._connect()

    async def reopen(self) -> None:
        """Let go; the next write connects."""
        self._close()

    async def aclose(self) -> None:
        """Let go."""
        self._close()

    async def write(self, batch: Sequence[Record]) -> int:
        """Send; on a new connection if the old one's other end went away since the last write."""
        kept = self._socket is not None
        while True:
            try:
                return await self._send(batch, self._socket or self._connect())
            except OSError as error:
                self._close()
                if not (kept and error.errno in _LOST):
                    raise self._refused(error) from error
                kept = False

    async def _send(self, batch: Sequence[Record], connection: socket.socket) -> int:
        raise NotImplementedError

    def _connect(self) -> socket.socket:
        self._close()
        fresh = socket.socket(socket.AF_UNIX, self.KIND)
        try:
            fresh.setblocking(False)
            fresh.connect(str(self._path))  # at once or not at all: it is local
        except OSError as error:
            fresh.close()
            raise self._refused(error) from error
        self._socket = fresh
        return fresh

    def _close(self) -> None:
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket.fileno())
            self._socket.close()
            self._socket = None

    def _refused(self, error: OSError) -> RetryableError:
        symbol = errno.errorcode.get(error.errno or 0, str(error.errno))
        kind = "datagram" if self.KIND is socket.SOCK_DGRAM else "stream"
        hint = {
            "EACCES": "give the daemon's user the right to write to it",
            "EPROTOTYPE": f"it is no {kind} socket: see the setting `socket`",
            "EAGAIN": "the receiver does not accept connections",
        }.get(symbol, "is the receiver listening there?")
        return RetryableError(f"{self._path}: {symbol} ({error.strerror}); {hint}")

    def _idle(self, what: str) -> RetryableError:
        return RetryableError(f"{self._path}: the receiver has {what} for {self._seconds:g} s")


class StreamSender(Sender):
    """A stream that goes on where it stopped: what was begun is finished by the next write."""

    KIND = socket.SOCK_STREAM

    def __init__(self, path: Path, *, acknowledged: bool, seconds: float) -> None:
        super().__init__(path, acknowledged=acknowledged, seconds=seconds)
        self._rest = memoryview(b"")
        """Begun and not sent yet."""
        self._begun_to = self._sent_to = self._acknowledged_to = 0
        self._answer = b""
        self._wrong: bytes | None = None
        self._gone = False
        self._news = asyncio.Event()

    def _connect(self) -> socket.socket:
        connection = super()._connect()
        asyncio.get_running_loop().add_reader(connection.fileno(), self._hear, connection)
        return connection

    def _close(self) -> None:
        super()._close()
        self._rest = memoryview(b"")
        self._begun_to = self._sent_to = self._acknowledged_to = 0
        self._answer, self._wrong, self._gone = b"", None, False

    async def _send(self, batch: Sequence[Record], connection: socket.socket) -> int:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._seconds
        waiting = deque(chunks([record for record in batch if record.seq > self._begun_to]))
        going = True
        while going:
            if self._wrong is not None:
                raise self._misunderstood()
            if self._acknowledged and self._gone:
                return self._parted(batch)
            if not self._rest and waiting:
                blob, self._begun_to = waiting.popleft()
                self._rest = memoryview(blob)
            if self._rest:
                going = await self._push(connection, deadline - loop.time())
            elif self._acknowledged and self._acknowledged_to < batch[-1].seq:
                going = await self._hear_more(deadline - loop.time())
            else:
                return len(batch)
        count = _up_to(batch, self._acknowledged_to if self._acknowledged else self._sent_to)
        if not count:
            raise self._idle("acknowledged nothing" if self._acknowledged else "taken nothing")
        return count

    def _parted(self, batch: Sequence[Record]) -> int:
        """Return how many events the receiver acknowledged before it closed the connection."""
        count = _up_to(batch, self._acknowledged_to)
        if not count:
            raise ConnectionResetError(errno.ECONNRESET, "it closed the connection")
        self._close()
        return count

    async def _push(self, connection: socket.socket, seconds: float) -> bool:
        """Send what is taken now, or wait until something is; False if the time is over."""
        try:
            self._rest = self._rest[connection.send(self._rest) :]
        except BlockingIOError:
            return await _writable(connection, seconds)
        except OSError:
            if not self._acknowledged:
                raise
            while self._hear(connection):  # what it said before it went
                pass
            self._gone = True
            return True
        if not self._rest:
            self._sent_to = self._begun_to
        return seconds > 0

    async def _hear_more(self, seconds: float) -> bool:
        """Wait for an acknowledgement; False if the time is over."""
        self._news.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._news.wait()
                return True
        return False

    def _hear(self, connection: socket.socket) -> bool:
        """Read what the receiver says, and notice that it says nothing any more: then False."""
        try:
            data = connection.recv(1 << 16)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:  # it may read on: sending tells
            asyncio.get_running_loop().remove_reader(connection.fileno())
            self._gone = True
        elif self._acknowledged and self._wrong is None:
            self._understand(data)
        self._news.set()
        return bool(data)

    def _understand(self, data: bytes) -> None:
        *lines, self._answer = (self._answer + data).split(b"\n")
        for line in lines:
            if len(line) > _LONGEST_ANSWER or not line.strip().isdigit():
                self._wrong = line
                return
            told = min(int(line), self._begun_to)  # what it was not sent it cannot have
            self._acknowledged_to = max(self._acknowledged_to, told)
        if len(self._answer) > _LONGEST_ANSWER:
            self._wrong = self._answer

    def _misunderstood(self) -> RetryableError:
        said = (self._wrong or b"")[:_LONGEST_ANSWER]
        self._close()
        return RetryableError(
            f"{self._path}: the receiver said {said!r}; it is to write the seq of the last event "
            "that it is done with and a newline, or set acknowledge = false"
        )


class DatagramSender(Sender):
    """One event a datagram."""

    KIND = socket.SOCK_DGRAM

    def _connect(self) -> socket.socket:
        connection = super()._connect()
        with contextlib.suppress(OSError):  # more than the system allows
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _DATAGRAM_SPACE)
        return connection

    async def _send(self, batch: Sequence[Record], connection: socket.socket) -> int:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._seconds
        count = 0
        try:
            while count < len(batch):
                try:
                    self._send_one(connection, batch[count])
                    count += 1
                except OSError as error:
                    if not await _room(connection, error, deadline - loop.time()):
                        raise self._idle("taken nothing") from error
        except SinkError:
            if not count:
                raise
        return count

    def _send_one(self, connection: socket.socket, record: Record) -> None:
        """Send an event; if it is too long, without its raw bytes."""
        try:
            connection.send(record.line)
        except OSError as error:
            if error.errno != errno.EMSGSIZE:
                raise
            event = record.event.model_copy(update={"raw": None, "extra": None})
            try:
                connection.send(event.json_line())
            except OSError as again:
                if again.errno != errno.EMSGSIZE:
                    raise
                raise PermanentError(
                    f"{self._path}: event {record.seq} is longer than a datagram may be here", 1
                ) from again


async def _room(connection: socket.socket, error: OSError, seconds: float) -> bool:
    """Wait until the receiver may have room for a datagram; False if the time is over."""
    if isinstance(error, BlockingIOError):
        return await _writable(connection, seconds)
    if error.errno != errno.ENOBUFS:
        raise error
    await asyncio.sleep(_NO_BUFFERS)
    return seconds > 0


async def _writable(connection: socket.socket, seconds: float) -> bool:
    """Wait until the socket takes something again; False if it did not in time."""
    loop = asyncio.get_running_loop()
    room: asyncio.Future[None] = loop.create_future()
    fd = connection.fileno()

    def has_room() -> None:
        if not room.done():
            room.set_result(None)

    loop.add_writer(fd, has_room)
    try:
        async with asyncio.timeout(seconds):
            await room
    except TimeoutError:
        return False
    finally:
        loop.remove_writer(fd)
    return True


def _up_to(batch: Sequence[Record], seq: int) -> int:
    """Return how many records from the front are at positions up to `seq`."""
    return sum(record.seq <= seq for record in batch)

"""One reader of the `unix` sink's listening side: its connection, and what waits for it."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final

from pydantic_core import to_json

from kevmond.sinks.tail import sequence_of

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

_FAREWELL: Final = 30.0
"""Seconds that a reader which was cut off has to read its last line."""


class Reader:
    """One connection, with what waits for it."""

    def __init__(
        self, connection: socket.socket, buffer: int, moved: Callable[[Reader], None]
    ) -> None:
        self.waiting = 0
        """Bytes."""
        self.last = 0
        """Position of the last event of which it has the whole line."""
        self.lost = 0
        """Events that waited for it when it was cut off, or went."""
        self.why = ""
        """Why they did not reach it."""
        self.leaving = False
        """Whether it only has to read why it was cut off."""
        self.held_up = 0.0
        """Seconds that others waited for it since it last took a bufferful."""
        self.closed = False
        self._connection = connection
        self._fd = connection.fileno()
        self._buffer = buffer
        self._moved = moved
        self._chunks: deque[tuple[bytes, int]] = deque()
        self._offset = 0
        """Bytes of the first chunk that are sent."""
        self._taken = 0
        self._watching = False
        self._farewell: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._fd, self._hear)

    def feed(self, blob: bytes, last: int) -> None:
        """Put whole lines behind what waits, and send what it takes."""
        if self.leaving or self.closed:
            return
        self._chunks.append((blob, last))
        self.waiting += len(blob)
        if not self._watching:
            self._send()

    def leave(self, why: str) -> None:
        """Drop what waits but the line that is begun; tell why, and close when that is taken."""
        rest = self._drop(why, finish=True)
        self.leaving = True
        told = notice("cut off", after=self.last, lost=self.lost, why=why)
        self._chunks = deque([(rest + told, self.last)])
        self.waiting = len(rest) + len(told)
        self._farewell = self._loop.call_later(_FAREWELL, self.close)
        self._send()

    def close(self, why: str = "the reader went away before it took them") -> None:
        """Let go of the connection, and count what waits for it."""
        if self.closed:
            return
        self.closed = True
        self._loop.remove_reader(self._fd)
        self._loop.remove_writer(self._fd)
        self._connection.close()
        if self._farewell is not None:
            self._farewell.cancel()
        if not self.leaving:
            self._drop(why, finish=False)
        self._moved(self)

    def see_whether_it_is_there(self) -> None:
        """Close if the other end is closed; it may also just have ended what it says."""
        try:
            self._connection.send(b"")
        except BlockingIOError:
            pass
        except OSError:
            self.close()

    def _drop(self, why: str, *, finish: bool) -> bytes:
        """Count and drop what waits; return the rest of a line that is begun and to be finished."""
        self.why = why
        rest = b""
        if self._offset:
            blob, _ = self._chunks[0]
            if finish:
                end = blob.index(b"\n", self._offset - 1) + 1
                rest = blob[self._offset : end]
            else:
                end = blob.rfind(b"\n", 0, self._offset) + 1
            if end:
                begin = blob.rfind(b"\n", 0, end - 1) + 1
                self.last = sequence_of(blob[begin:end]) or self.last
            self.lost -= blob.count(b"\n", 0, end)
        self.lost += sum(blob.count(b"\n") for blob, _ in self._chunks)
        self._chunks.clear()
        self.waiting = self._offset = 0
        return rest

    def _send(self) -> None:
        """Send until nothing waits or it takes no more; then the loop calls again."""
        while self._chunks:
            blob, last = self._chunks[0]
            try:
                sent = self._connection.send(memoryview(blob)[self._offset :])
            except BlockingIOError:
                break
            except OSError:
                self.close()
                return
            self._note(sent)
            if self._offset == len(blob):
                self._chunks.popleft()
                self._offset = 0
                self.last = last
        if bool(self._chunks) is not self._watching:
            self._watching = not self._watching
            if self._watching:
                self._loop.add_writer(self._fd, self._send)
            else:
                self._loop.remove_writer(self._fd)
        if self.leaving and not self._chunks:
            self.close()
        else:
            self._moved(self)

    def _note(self, sent: int) -> None:
        self._offset += sent
        self.waiting -= sent
        self._taken += sent
        if self._taken >= self._buffer or not self.waiting:
            self._taken = 0
            self.held_up = 0.0

    def _hear(self) -> None:
        """Throw away what it says; notice that it went."""
        try:
            said = self._connection.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError:
            said = b""
        if not said:
            self._loop.remove_reader(self._fd)
            self.see_whether_it_is_there()


def notice(what: str, **facts: object) -> bytes:
    """Return a line that is no event: it has no `schema`."""
    return to_json({"kevmond": what, **facts}) + b"\n"

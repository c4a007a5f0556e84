"""What is on its way to a client of a served kernel, sent as fast as it takes it."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Final

from kevmond.kernel.simulated.wire import ProtocolError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence

_MOST: Final = 256 * 1024 * 1024
"""Bytes that may wait for a client; one that lets more pile up does not read."""


class Output:
    """Sends whole frames on a non-blocking `connection`.

    `on_broken` is called when the connection is at its end, and must lead to `close`.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        connection: socket.socket,
        on_broken: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._connection = connection
        self._on_broken = on_broken
        self._waiting = bytearray()
        self._closed = False

    @property
    def waits(self) -> bool:
        """Whether the client has not yet taken all that was sent."""
        return bool(self._waiting)

    def send(self, frame: bytes, descriptors: Sequence[int] = ()) -> None:
        """Send a frame; OSError or ProtocolError: this client is to be dropped."""
        if self._closed:
            return
        if self._waiting:
            if descriptors or len(self._waiting) + len(frame) > _MOST:
                raise ProtocolError("a client does not read its replies")
            self._waiting += frame
            return
        try:
            if descriptors:
                sent = socket.send_fds(self._connection, [frame], descriptors)
            else:
                sent = self._connection.send(frame)
        except BlockingIOError:
            if descriptors:
                raise
            sent = 0
        if sent < len(frame):
            self._waiting += memoryview(frame)[sent:]
            self._loop.add_writer(self._connection.fileno(), self._go_on)

    def close(self) -> None:
        """Send no more; the connection is its owner's to close."""
        if self._waiting and not self._closed:
            self._loop.remove_writer(self._connection.fileno())
        self._closed = True

    def _go_on(self) -> None:
        try:
            sent = self._connection.send(self._waiting)
        except BlockingIOError:
            return
        except OSError:
            self._on_broken()
            return
        del self._waiting[:sent]
        if not self._waiting:
            self._loop.remove_writer(self._connection.fileno())

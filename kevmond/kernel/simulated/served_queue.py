"""Moves a simulated socket's queue to a reader in another process, event and control alike.

Messages go down a socket pair.  What the pair cannot take waits in the kernel's own queue, so
queueing never blocks, and a slow or dead reader concerns nobody else.  Space is charged until the
reader has read, as in XNU: how much is unread in the pair, FIONREAD tells.
"""

from __future__ import annotations

import contextlib
import fcntl
import socket
import struct
import sys
import termios
from collections import deque
from enum import Enum
from typing import TYPE_CHECKING, Final

from kevmond.kernel.simulated import wire

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

_LINUX: Final = sys.platform == "linux"
_INT: Final = struct.Struct("<i")

_SOCKET_BUFFER: Final = 4 * 1024 * 1024
"""What is asked for the pair, bytes; the system grants less and the rest waits in the queue.  A
single message of more than it grants (some 400 KiB) cannot be passed on, and ends the reading."""


class Style(Enum):
    """What the pair is."""

    PACKETS = "packets"
    """A message is a packet."""
    FRAMES = "frames"
    """A byte stream of `u32 size, message`."""
    STREAM = "stream"
    """A byte stream of nothing but the data."""


class ServedQueue:
    """The `Reader` of an EventPcb or a ControlPcb; `attach` names what it reads.

    `on_broken` is called when nothing more can be passed on, `on_gone` when the kernel went away;
    both must lead to `close`.  `theirs` is the end for the other process.  It stays open here as
    well, so that what is unread in it can be asked and taken back.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        style: Style,
        on_broken: Callable[[], None],
        on_gone: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._style = style
        self._prefix = wire.U32.size if style is Style.FRAMES else 0
        self._on_broken = on_broken
        self._on_gone = on_gone
        self._ours, self.theirs = _pair(style)
        self._queue: deque[bytes] = deque()
        self._release: Callable[[int], None] = _nobody
        self._sent: deque[int] = deque()
        """Sizes of the messages that were in the pair when last asked, oldest first; a stream has
        none."""
        self._sent_bytes = 0
        """Bytes that were in the pair then, prefixes included."""
        self._cut = b""
        """Rest of a frame of which the pair took only the beginning."""
        self._charged: int | None = None
        """What the system charged the pair with when last asked; None if more was sent since."""
        self._waits_for_room = False

    def attach(self, queue: deque[bytes], release: Callable[[int], None]) -> None:
        """Take messages from `queue`, and tell `release` the size of each that was read."""
        self._queue = queue
        self._release = release

    def unread(self) -> list[int]:
        """Sizes of the messages that were not read yet, oldest first."""
        self.settle()
        return [*self._sent, *map(len, self._queue)]

    def arrived(self) -> None:
        """See `Reader.arrived`: pass it on, unless the pair is known to be full."""
        if not self._waits_for_room:
            self._pump()

    def settle(self) -> None:
        """See `Reader.settle`."""
        if not self._sent_bytes or self._nothing_read():
            return
        unread = _INT.unpack(fcntl.ioctl(self.theirs.fileno(), termios.FIONREAD, bytes(4)))[0]
        unread += len(self._cut)
        if self._style is Style.STREAM:
            read, self._sent_bytes = self._sent_bytes - unread, unread
            if read:
                self._release(read)
            return
        prefix = self._prefix
        while self._sent and self._sent_bytes - (self._sent[0] + prefix) >= unread:
            size = self._sent.popleft()
            self._sent_bytes -= size + prefix
            self._release(size)

    def _nothing_read(self) -> bool:
        """Tell for certain that nothing was read since last asked, where that costs little.

        FIONREAD walks all that is queued, which would make each drop at a full buffer dear.  Part
        of a stream's chunk that was read does not show.
        """
        if not _LINUX or self._style is Style.STREAM:
            return False
        charged: int = _INT.unpack(fcntl.ioctl(self._ours.fileno(), termios.TIOCOUTQ, bytes(4)))[0]
        same = charged == self._charged
        self._charged = charged
        return same

    def take_back(self) -> None:
        """See `ControlReader.take_back`; not for frames, of which a reader may hold a part.

        A reader that reads at this very moment gets what it gets.  Where it is one of several
        packets that are being taken back, those before it come after it: a control that queues
        with and without CTL_DATA_EOR by turns must live with that, here.
        """
        assert self._style is not Style.FRAMES
        size = self._sent_bytes if self._style is Style.STREAM else max(self._sent, default=0)
        back = []
        while size:
            try:
                message = self.theirs.recv(size, socket.MSG_DONTWAIT)
            except BlockingIOError:
                break
            if not message:
                break
            back.append(message)
        self._queue.extendleft(reversed(back))
        self._sent.clear()
        self._sent_bytes = 0
        self._charged = None

    def discard(self) -> None:
        """Make void what was passed on and not read, and what waits behind it."""
        self.take_back()
        self._queue.clear()

    def ended(self) -> None:
        """See `ControlReader.ended`."""
        self.discard()
        self._wait_for_room(False)
        with contextlib.suppress(OSError):
            self._ours.shutdown(socket.SHUT_WR)

    def gone(self) -> None:
        """See `Reader.gone`."""
        self._on_gone()

    def close(self) -> None:
        """Close the pair: its reader reads what is in it, and then the end."""
        self._wait_for_room(False)
        self._ours.close()
        self.theirs.close()

    def _pump(self) -> None:
        """Put into the pair what it takes; come back when it has room for the rest."""
        queue = self._queue
        try:
            while queue or self._cut:
                if self._style is Style.PACKETS:
                    self._ours.send(queue[0])
                    self._took(len(queue.popleft()))
                elif self._style is Style.STREAM:
                    self._send_stream()
                else:
                    self._send_frame()
        except BlockingIOError:
            self._wait_for_room(True)
        except OSError:  # nothing more can reach this reader: let it see the end
            self._on_broken()
        else:
            self._wait_for_room(False)

    def _send_stream(self) -> None:
        data = self._queue[0]
        size = self._ours.send(data)
        self._sent_bytes += size
        self._charged = None
        if size < len(data):
            self._queue[0] = data[size:]
        else:
            self._queue.popleft()

    def _send_frame(self) -> None:
        if not self._cut:
            message = self._queue.popleft()
            self._cut = wire.U32.pack(len(message)) + message
            self._took(len(message))
        self._cut = self._cut[self._ours.send(self._cut) :]
        self._charged = None

    def _took(self, size: int) -> None:
        self._sent.append(size)
        self._sent_bytes += size + self._prefix
        self._charged = None

    def _wait_for_room(self, wait: bool) -> None:
        if wait and not self._waits_for_room:
            self._loop.add_writer(self._ours.fileno(), self._pump)
        elif self._waits_for_room and not wait:
            self._loop.remove_writer(self._ours.fileno())
        self._waits_for_room = wait


def _pair(style: Style) -> tuple[socket.socket, socket.socket]:
    """Make a non-blocking pair: the server's end, which only sends, and the reader's."""
    kind = socket.SOCK_SEQPACKET if style is Style.PACKETS else socket.SOCK_STREAM
    ours, theirs = socket.socketpair(socket.AF_UNIX, kind)
    ours.setblocking(False)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BUFFER)
    theirs.shutdown(socket.SHUT_WR)
    return ours, theirs


def _nobody(_: int) -> None:
    """Stand in until `attach`."""

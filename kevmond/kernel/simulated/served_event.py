"""An event socket of a simulated kernel whose reader is another process: the server's half.

Messages go down a socket pair.  What the pair cannot take waits in the kernel's own queue, so
posting never blocks, and a slow or dead reader concerns nobody else.  Space is charged until the
reader has read, as in XNU: how much is unread in the pair, FIONREAD tells.
"""

from __future__ import annotations

import fcntl
import socket
import struct
import sys
import termios
from collections import deque
from typing import TYPE_CHECKING

from kevmond.errors import KernelError
from kevmond.kernel import abi
from kevmond.kernel.base import KernelFilter
from kevmond.kernel.simulated import wire
from kevmond.kernel.simulated.event_pcb import EventPcb

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from kevmond.kernel.simulated.model import SimulatedKernel

_LINUX = sys.platform == "linux"

_INT = struct.Struct("<i")
_SOCKET_BUFFER = 4 * 1024 * 1024
"""What is asked for the pair, bytes; the system grants less and the rest waits in the queue."""

_SNDSPACE = 4096
_SNDLOWAT = 2048
_RCVLOWAT = 1


class ServedEventSocket:
    """One event socket, and the `Reader` of its queue.

    `on_gone` is called when no more will come: it must lead to `close`.  `theirs` is the end for
    the other process.  It stays open here as well, so that what is unread in it can be asked.
    """

    def __init__(
        self,
        kernel: SimulatedKernel,
        loop: asyncio.AbstractEventLoop,
        transport: wire.Transport,
        pid: int,
        on_gone: Callable[[], None],
    ) -> None:
        self._kernel = kernel
        self._loop = loop
        self._on_gone = on_gone
        self._framed = transport is wire.Transport.FRAMED
        self._ours, self.theirs = _pair(framed=self._framed)
        self._sent: deque[int] = deque()
        """Sizes of the messages that were in the pair when last asked, oldest first."""
        self._sent_bytes = 0
        """Their bytes as the pair counts them, prefixes included."""
        self._cut = b""
        """Rest of a frame of which the pair took only the beginning."""
        self._charged: int | None = None
        """What the system charged the pair with when last asked; None if more was sent since."""
        self._waits_for_room = False
        self.pcb = EventPcb(kernel.sockbuf_rules, self, pid)
        kernel.attach(self.pcb)

    def ioctl(self, request: int, argument: bytes) -> bytes:
        """Do an ioctl as the kernel does; ENOTSUP for one that event sockets do not know."""
        if request == abi.SIOCGKEVID:
            return self._kernel.last_id.to_bytes(4, "little")
        if request == abi.SIOCGKEVFILT:
            chosen = self.pcb.kernel_filter
            return abi.KEV_REQUEST.pack(chosen.vendor, chosen.kev_class, chosen.subclass)
        if request == abi.SIOCSKEVFILT and len(argument) == abi.KEV_REQUEST.size:
            self.pcb.kernel_filter = KernelFilter(*abi.KEV_REQUEST.unpack(argument))
            return argument
        if request == abi.SIOCGKEVVENDOR and len(argument) == abi.KEV_VENDOR_CODE.size:
            _, name = abi.KEV_VENDOR_CODE.unpack(argument)
            return abi.KEV_VENDOR_CODE.pack(self._kernel.vendor_code(name), name)
        if request == abi.FIONREAD:
            self.settle()
            return _INT.pack(self.pcb.sockbuf.cc)
        raise KernelError(f"ioctl {request:#x}", "ENOTSUP")

    def getsockopt(self, level: int, name: int) -> bytes:
        """Read a socket option as the kernel does; ENOPROTOOPT for those it does not know."""
        self.settle()
        unread = [*self._sent, *map(len, self.pcb.queue)] if name == abi.SO_NREAD else []
        values = {
            abi.SO_RCVBUF: self.pcb.sockbuf.hiwat,
            abi.SO_SNDBUF: _SNDSPACE,
            abi.SO_RCVLOWAT: _RCVLOWAT,
            abi.SO_SNDLOWAT: _SNDLOWAT,
            abi.SO_ERROR: 0,
            abi.SO_TYPE: abi.SOCK_RAW,
            abi.SO_NREAD: unread[0] if unread else 0,
            abi.SO_NUMRCVPKT: len(self._sent) + len(self.pcb.queue),
        }
        if level != abi.SOL_SOCKET or name not in values:
            raise KernelError(f"getsockopt {level:#x} {name:#x}", "ENOPROTOOPT")
        return _INT.pack(values[name])

    def setsockopt(self, level: int, name: int, value: bytes) -> None:
        """Set SO_RCVBUF; ENOPROTOOPT for anything else."""
        if level != abi.SOL_SOCKET or name != abi.SO_RCVBUF:
            raise KernelError(f"setsockopt {level:#x} {name:#x}", "ENOPROTOOPT")
        if len(value) < _INT.size:
            raise KernelError("setsockopt SO_RCVBUF", "EINVAL")
        self.pcb.sockbuf.reserve(_INT.unpack_from(value)[0])

    def arrived(self) -> None:
        """See `Reader.arrived`: pass it on, unless the pair is known to be full."""
        if not self._waits_for_room:
            self._pump()

    def settle(self) -> None:
        """See `Reader.settle`."""
        if not self._sent or self._nothing_read():
            return
        unread = _INT.unpack(fcntl.ioctl(self.theirs.fileno(), termios.FIONREAD, bytes(4)))[0]
        prefix = wire.U32.size if self._framed else 0
        unread += len(self._cut)
        while self._sent and self._sent_bytes - (self._sent[0] + prefix) >= unread:
            size = self._sent.popleft()
            self._sent_bytes -= size + prefix
            self.pcb.sockbuf.release(size)

    def _nothing_read(self) -> bool:
        """Tell for certain that nothing was read since last asked, where that costs little.

        FIONREAD walks all that is queued, which would make each drop at a full buffer dear.
        """
        if not _LINUX:
            return False
        charged: int = _INT.unpack(fcntl.ioctl(self._ours.fileno(), termios.TIOCOUTQ, bytes(4)))[0]
        same = charged == self._charged
        self._charged = charged
        return same

    def gone(self) -> None:
        """See `Reader.gone`."""
        self._on_gone()

    def close(self) -> None:
        """Close the socket: its reader reads what is in the pair, and then the end."""
        if self._waits_for_room:
            self._loop.remove_writer(self._ours.fileno())
            self._waits_for_room = False
        self._kernel.detach(self.pcb)
        self._ours.close()
        self.theirs.close()

    def _pump(self) -> None:
        """Put into the pair what it takes; come back when it has room for the rest."""
        queue = self.pcb.queue
        try:
            while queue or self._cut:
                if self._framed:
                    self._send_framed()
                else:
                    self._ours.send(queue[0])
                    self._took(queue.popleft(), 0)
        except BlockingIOError:
            self._wait_for_room(True)
        except OSError:  # nothing more can reach this reader: let it see the end
            self._on_gone()
        else:
            self._wait_for_room(False)

    def _send_framed(self) -> None:
        if not self._cut:
            message = self.pcb.queue.popleft()
            self._cut = wire.U32.pack(len(message)) + message
            self._took(message, wire.U32.size)
        self._cut = self._cut[self._ours.send(self._cut) :]
        self._charged = None

    def _took(self, message: bytes, prefix: int) -> None:
        self._sent.append(len(message))
        self._sent_bytes += len(message) + prefix
        self._charged = None

    def _wait_for_room(self, wait: bool) -> None:
        if wait and not self._waits_for_room:
            self._loop.add_writer(self._ours.fileno(), self._pump)
        elif self._waits_for_room and not wait:
            self._loop.remove_writer(self._ours.fileno())
        self._waits_for_room = wait


def _pair(*, framed: bool) -> tuple[socket.socket, socket.socket]:
    """Make a non-blocking pair: the server's end, which only sends, and the reader's."""
    kind = socket.SOCK_STREAM if framed else socket.SOCK_SEQPACKET
    ours, theirs = socket.socketpair(socket.AF_UNIX, kind)
    ours.setblocking(False)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BUFFER)
    theirs.shutdown(socket.SHUT_WR)
    return ours, theirs

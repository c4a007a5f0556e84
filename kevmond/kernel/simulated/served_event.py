"""An event socket of a simulated kernel whose reader is another process: the server's half."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from kevmond.errors import KernelError
from kevmond.kernel import abi
from kevmond.kernel.base import KernelFilter
from kevmond.kernel.simulated import wire
from kevmond.kernel.simulated.event_pcb import EventPcb
from kevmond.kernel.simulated.served_queue import ServedQueue, Style
from kevmond.kernel.simulated.sockbuf import RECEIVE_LOWAT, SEND_LOWAT
from kevmond.kernel.simulated.wire import Operation

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from kevmond.kernel.simulated.model import SimulatedKernel

_INT = struct.Struct("<i")


class ServedEventSocket:
    """One event socket; `on_end` is called when no more will come, and must lead to `close`."""

    def __init__(
        self,
        kernel: SimulatedKernel,
        loop: asyncio.AbstractEventLoop,
        transport: wire.Transport,
        pid: int,
        on_end: Callable[[], None],
    ) -> None:
        self._kernel = kernel
        style = Style.FRAMES if transport is wire.Transport.FRAMED else Style.PACKETS
        self._queue = ServedQueue(loop, style, on_end, on_end)
        self.pcb = EventPcb(kernel.sockbuf_rules, self._queue, pid)
        self._queue.attach(self.pcb.queue, self.pcb.sockbuf.release)
        kernel.attach(self.pcb)

    def fileno(self) -> int:
        """Return the descriptor for the reader."""
        return self._queue.theirs.fileno()

    def request(self, operation: Operation, body: bytes) -> bytes:
        """Do a client's request and return the reply's body."""
        if operation is Operation.IOCTL:
            (request,) = wire.unpack(wire.IOCTL, body)
            return self.ioctl(request, body[wire.IOCTL.size :])
        if operation is Operation.GETSOCKOPT:
            level, name, size = wire.unpack(wire.SOCKOPT, body)
            value = self.getsockopt(level, name)[:size]
            return wire.U32.pack(len(value)) + value
        if operation is Operation.SETSOCKOPT:
            level, name, _ = wire.unpack(wire.SOCKOPT, body)
            self.setsockopt(level, name, body[wire.SOCKOPT.size :])
            return b""
        if operation is Operation.DROPPED:
            return wire.U64.pack(self.pcb.dropped)
        if operation in {Operation.GETPEER, Operation.SHUTDOWN}:
            raise KernelError(operation.name, "ENOTCONN")
        raise KernelError(operation.name, "EOPNOTSUPP")

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
            self._queue.settle()
            return _INT.pack(self.pcb.sockbuf.cc)
        raise KernelError(f"ioctl {request:#x}", "ENOTSUP")

    def getsockopt(self, level: int, name: int) -> bytes:
        """Read a socket option as the kernel does; ENOPROTOOPT for those it does not know."""
        unread = self._queue.unread() if name in {abi.SO_NREAD, abi.SO_NUMRCVPKT} else []
        values = {
            abi.SO_RCVBUF: self.pcb.sockbuf.hiwat,
            abi.SO_SNDBUF: abi.KEV_SNDSPACE,
            abi.SO_RCVLOWAT: RECEIVE_LOWAT,
            abi.SO_SNDLOWAT: SEND_LOWAT,
            abi.SO_ERROR: 0,
            abi.SO_TYPE: abi.SOCK_RAW,
            abi.SO_NREAD: unread[0] if unread else 0,
            abi.SO_NUMRCVPKT: len(unread),
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

    def close(self) -> None:
        """Close the socket: its reader reads what was passed on, and then the end."""
        self._kernel.detach(self.pcb)
        self._queue.close()

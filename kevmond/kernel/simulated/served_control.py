"""A control socket of a simulated kernel whose user is another process: the server's half."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kevmond.errors import KernelError
from kevmond.kernel.simulated import wire
from kevmond.kernel.simulated.kctl_pcb import ControlPcb, State
from kevmond.kernel.simulated.served_queue import ServedQueue, Style
from kevmond.kernel.simulated.wire import Operation

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Coroutine

    from kevmond.kernel.simulated.model import SimulatedKernel

_SOCKOPT_SIZE = wire.SOCKOPT.size


class ServedControlSocket:
    """One control socket; `on_broken` and `on_gone` are those of `ServedQueue`."""

    def __init__(
        self,
        kernel: SimulatedKernel,
        loop: asyncio.AbstractEventLoop,
        *,
        stream: bool,
        pid: int,
        uid: int,
        on_broken: Callable[[], None],
        on_gone: Callable[[], None],
    ) -> None:
        self._on_gone = on_gone
        style = Style.STREAM if stream else Style.PACKETS
        self._queue = ServedQueue(loop, style, on_broken, self._gone)
        self._pcb = ControlPcb(kernel, self._queue, stream=stream, pid=pid, uid=uid)
        self._queue.attach(self._pcb.received.queue, self._pcb.received.release)
        self._slow: dict[Operation, Callable[[bytes], Coroutine[Any, Any, bytes]]] = {
            Operation.CONNECT: self._connect,
            Operation.BIND: self._bind,
            Operation.SEND: self._send,
            Operation.GETSOCKOPT: self._getsockopt,
            Operation.SETSOCKOPT: self._setsockopt,
        }
        """What calls functions of the control."""

    def fileno(self) -> int:
        """Return the descriptor for the reader."""
        return self._queue.theirs.fileno()

    def request(self, operation: Operation, body: bytes) -> bytes | Coroutine[Any, Any, bytes]:
        """Do a client's request: the reply's body, or what will return it.

        What calls a function of the control is a coroutine: a hosted kext answers later.
        """
        pcb = self._pcb
        if operation is Operation.IOCTL:
            (request,) = wire.unpack(wire.IOCTL, body)
            return pcb.ioctl(request, body[wire.IOCTL.size :])
        if operation is Operation.GETPEER:
            return pcb.getpeername()
        if operation is Operation.SHUTDOWN:
            (how,) = wire.unpack(wire.SHUTDOWN, body)
            pcb.shutdown(how)
            return b""
        if operation not in self._slow:
            raise KernelError(operation.name, "ENOTSUP")
        return self._slow[operation](body)

    async def close(self) -> None:
        """Close the socket; the control's disconnect function has run by then."""
        try:
            await self._pcb.close()
        finally:
            self._queue.close()

    def _gone(self) -> None:
        self._pcb.state = State.CLOSED  # nobody is left who could be told of the end
        self._on_gone()

    async def _connect(self, body: bytes) -> bytes:
        try:
            await self._pcb.connect(body)
        except BaseException:
            if self._pcb.control is None:  # what a refusing control has queued goes with it
                self._queue.discard()
            raise
        return b""

    async def _bind(self, body: bytes) -> bytes:
        await self._pcb.bind(body)
        return b""

    async def _send(self, body: bytes) -> bytes:
        (flags,) = wire.unpack(wire.SEND, body)
        return wire.U32.pack(await self._pcb.send(body[wire.SEND.size :], flags))

    async def _getsockopt(self, body: bytes) -> bytes:
        level, name, size = wire.unpack(wire.SOCKOPT, body)
        buffer = body[_SOCKOPT_SIZE:] or None
        value, length = await self._pcb.getsockopt(level, name, buffer, size)
        return wire.U32.pack(length) + value

    async def _setsockopt(self, body: bytes) -> bytes:
        level, name, given = wire.unpack(wire.SOCKOPT, body)
        await self._pcb.setsockopt(level, name, body[_SOCKOPT_SIZE:] if given else None)
        return b""

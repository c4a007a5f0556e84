"""A control socket of a simulated kernel, for users in the same process."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from kevmond.errors import KernelError, KernelGone
from kevmond.kernel.control_address import packed, unpacked
from kevmond.kernel.control_calls import ControlCalls
from kevmond.kernel.simulated.handlers import NEEDS_LOOP, now
from kevmond.kernel.simulated.kctl_pcb import ControlPcb, State
from kevmond.kernel.simulated.readiness import Readiness

if TYPE_CHECKING:
    from kevmond.kernel.control_base import ControlAddress
    from kevmond.kernel.simulated.model import SimulatedKernel


class SimulatedControlSocket(ControlCalls):
    """See `ControlSocket`; also the `ControlReader` of its own queue."""

    def __init__(self, kernel: SimulatedKernel, *, stream: bool) -> None:
        self._kernel = kernel
        self._pcb = ControlPcb(kernel, self, stream=stream, pid=os.getpid(), uid=kernel.uid)
        self._ready = Readiness()
        self._gone = False

    @property
    def stream(self) -> bool:
        """See `ControlSocket.stream`."""
        return self._pcb.stream

    def fileno(self) -> int:
        """See `ControlSocket.fileno`."""
        return -1 if self._pcb.state is State.CLOSED else self._ready.fileno()

    def bind(self, address: ControlAddress) -> None:
        """See `ControlSocket.bind`."""
        self._check("bind")
        self._check_inline(address)
        now(self._pcb.bind(packed(address)))

    def connect(self, address: ControlAddress) -> None:
        """See `ControlSocket.connect`."""
        self._check("connect")
        self._check_inline(address)
        now(self._pcb.connect(packed(address)))

    def peer(self) -> ControlAddress:
        """See `ControlSocket.peer`."""
        self._check("getpeername")
        return unpacked(self._pcb.getpeername())

    def send(self, data: bytes) -> int:
        """See `ControlSocket.send`."""
        self._check("send")
        return now(self._pcb.send(bytes(data)))

    def receive(self, size: int) -> bytes:
        """See `ControlSocket.receive`."""
        self._check("recv")
        received = self._pcb.received
        if not received.queue:
            if received.shut:
                return b""
            self._ready.lower()  # what was there may have been void
            if self._pcb.state is not State.CONNECTED:
                raise KernelError("recv", "ENOTCONN")
            raise BlockingIOError
        record = received.queue.popleft()
        if self.stream and len(record) > size:
            received.queue.appendleft(record[size:])
            received.release(size)
            return record[:size]
        received.release(len(record))
        if not received.queue:
            self._ready.lower()
        return record[:size]

    def shutdown(self, how: int) -> None:
        """See `ControlSocket.shutdown`."""
        self._check("shutdown")
        self._pcb.shutdown(how)

    def close(self) -> None:
        """See `ControlSocket.close`."""
        if self._gone:
            self._pcb.state = State.CLOSED
        now(self._pcb.close())
        self._ready.close()

    # -- the kernel's side ----------------------------------------------------------------------

    def arrived(self) -> None:
        """See `ControlReader.arrived`."""
        self._ready.raise_()

    def settle(self) -> None:
        """See `ControlReader.settle`: space is released as records are read, so none is owed."""

    def take_back(self) -> None:
        """See `ControlReader.take_back`: nothing was passed on."""

    def ended(self) -> None:
        """See `ControlReader.ended`."""
        self._ready.raise_()

    def gone(self) -> None:
        """See `ControlReader.gone`."""
        self._gone = True
        self._pcb.received.flush()
        self._ready.raise_()

    # -- inside ---------------------------------------------------------------------------------

    def _ioctl(self, request: int, argument: bytes) -> bytes:
        self._check("ioctl")
        return self._pcb.ioctl(request, argument)

    def _getsockopt(
        self, level: int, name: int, buffer: bytes | None, size: int
    ) -> tuple[bytes, int]:
        self._check("getsockopt")
        return now(self._pcb.getsockopt(level, name, buffer, size))

    def _setsockopt(self, level: int, name: int, value: bytes | None) -> None:
        self._check("setsockopt")
        now(self._pcb.setsockopt(level, name, value))

    def _check_inline(self, address: ControlAddress) -> None:
        """Refuse a control that needs an event loop before anything is asked of it."""
        control = self._kernel.kctl.find(address.control_id, address.unit)
        if control is not None and control.handlers.suspends:
            raise RuntimeError(f"{control.name.decode('utf-8', 'replace')}: {NEEDS_LOOP}")

    def _check(self, call: str) -> None:
        if self._pcb.state is State.CLOSED:
            raise KernelError(call, "EBADF", "the socket is closed")
        if self._gone:
            raise KernelGone(call, "ECONNRESET", "the simulated kernel rebooted")

"""A control socket of a simulated kernel, for users in the same process."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from kevmond.errors import KernelError, KernelGone
from kevmond.kernel import abi, control_abi
from kevmond.kernel.control_address import control_id_of, packed, unpacked
from kevmond.kernel.simulated.handlers import now
from kevmond.kernel.simulated.kctl_pcb import ControlPcb, State
from kevmond.kernel.simulated.readiness import Readiness

if TYPE_CHECKING:
    from kevmond.kernel.control_base import ControlAddress
    from kevmond.kernel.simulated.model import SimulatedKernel


class SimulatedControlSocket:
    """See `ControlSocket`; also the `ControlReader` of its own queue."""

    def __init__(self, kernel: SimulatedKernel, *, stream: bool) -> None:
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

    def lookup(self, name: str) -> int:
        """See `ControlSocket.lookup`."""
        return control_id_of(self._ioctl, name)

    def count(self) -> int:
        """See `ControlSocket.count`."""
        return int.from_bytes(self._ioctl(control_abi.CTLIOCGCOUNT, bytes(4)), "little")

    def bind(self, address: ControlAddress) -> None:
        """See `ControlSocket.bind`."""
        self._check("bind")
        now(self._pcb.bind(packed(address)))

    def connect(self, address: ControlAddress) -> None:
        """See `ControlSocket.connect`."""
        self._check("connect")
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

    def next_size(self) -> int:
        """See `ControlSocket.next_size`."""
        return self._get(abi.SO_NREAD)

    def set_option(self, option: int, value: bytes | None) -> None:
        """See `ControlSocket.set_option`."""
        self._check("setsockopt")
        given = None if value is None else bytes(value)
        now(self._pcb.setsockopt(abi.SYSPROTO_CONTROL, option, given))

    def get_option(self, option: int, size: int, request: bytes = b"") -> bytes:
        """See `ControlSocket.get_option`."""
        self._check("getsockopt")
        buffer = request.ljust(size, b"\0")[:size]
        return now(self._pcb.getsockopt(abi.SYSPROTO_CONTROL, option, buffer, size))[0]

    def option_size(self, option: int) -> int:
        """See `ControlSocket.option_size`."""
        self._check("getsockopt")
        return now(self._pcb.getsockopt(abi.SYSPROTO_CONTROL, option, None, 0))[1]

    @property
    def send_space(self) -> int:
        """See `ControlSocket.send_space`."""
        return self._get(abi.SO_SNDBUF)

    @property
    def receive_space(self) -> int:
        """See `ControlSocket.receive_space`."""
        return self._get(abi.SO_RCVBUF)

    def set_send_space(self, size: int) -> None:
        """See `ControlSocket.set_send_space`."""
        self._set(abi.SO_SNDBUF, size)

    def set_receive_space(self, size: int) -> None:
        """See `ControlSocket.set_receive_space`."""
        self._set(abi.SO_RCVBUF, size)

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

    def _get(self, name: int) -> int:
        self._check("getsockopt")
        data, _ = now(self._pcb.getsockopt(abi.SOL_SOCKET, name, bytes(4), 4))
        return int.from_bytes(data, "little")

    def _set(self, name: int, size: int) -> None:
        self._check("setsockopt")
        try:
            value = size.to_bytes(4, "little", signed=True)
        except OverflowError:
            raise KernelError(f"setsockopt {name:#x} {size}", "EINVAL") from None
        now(self._pcb.setsockopt(abi.SOL_SOCKET, name, value))

    def _check(self, call: str) -> None:
        if self._pcb.state is State.CLOSED:
            raise KernelError(call, "EBADF", "the socket is closed")
        if self._gone:
            raise KernelGone(call, "ECONNRESET", "the simulated kernel rebooted")

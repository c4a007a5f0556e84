"""The kernel's side of a control socket: its state, its queue, its options.

Mirrors struct ctl_cb, ctl_connect(), ctl_send(), ctl_ctloutput() and the generic socket code around
them (bsd/kern/kern_control.c, uipc_socket.c), as measured on XNU's own code.  What calls a
control's functions is a coroutine; who reads the queue is behind `ControlReader`.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final

from kevmond.errors import KernelError
from kevmond.kernel import abi, control_abi
from kevmond.kernel.control_abi import ControlFlag
from kevmond.kernel.simulated.kctl_queue import ReceiveQueue
from kevmond.kernel.simulated.sockbuf import RECEIVE_LOWAT, SEND_LOWAT

if TYPE_CHECKING:
    from kevmond.kernel.simulated.kctl import Control
    from kevmond.kernel.simulated.kctl_queue import ControlReader
    from kevmond.kernel.simulated.model import SimulatedKernel

_OPTION_MAX: Final = 64 * 1024 * 1024
_INT: Final = 4
_U32: Final = 0xFFFFFFFF
_IGNORED: Final = frozenset({0x1003, 0x1004, 0x1005, 0x1006, 0x1022})
"""SO_SNDLOWAT, SO_RCVLOWAT, SO_SNDTIMEO, SO_RCVTIMEO, SO_NOSIGPIPE: set without effect here."""


class State(Enum):
    """How far a socket is."""

    NEW = "new"
    CONNECTING = "connecting"
    BOUND = "bound"
    CONNECTED = "connected"
    DEAD = "dead"
    """Its control crashed."""
    CLOSED = "closed"


class ControlPcb:
    """One control socket, as the kernel sees it.

    What its control sends it lies in `received`.
    """

    __slots__ = (
        "_address", "_kernel", "control", "pid", "reader", "received", "send_hiwat", "state",
        "stream", "uid", "unit", "unitinfo",
    )  # fmt: skip

    def __init__(
        self, kernel: SimulatedKernel, reader: ControlReader, *, stream: bool, pid: int, uid: int
    ) -> None:
        self._kernel = kernel
        self.reader = reader
        self.stream = stream
        self.pid = pid
        self.uid = uid & _U32
        self.state = State.NEW
        self.control: Control | None = None
        """What it is attached to."""
        self.unit = 0
        self.unitinfo = 0
        """The control's own word for this connection (void *unitinfo)."""
        self.send_hiwat = 0
        self.received = ReceiveQueue(reader, kernel.sockbuf_rules, stream=stream)
        self._address = b""
        kernel.kctl.pcbs.add(self)

    # -- connecting -----------------------------------------------------------------------------

    async def connect(self, address: bytes) -> None:
        """Connect; the order of the checks is XNU's."""
        if self.state is State.CONNECTED:
            raise KernelError("connect", "EISCONN")
        if self.state is State.CONNECTING:
            raise KernelError("connect", "EALREADY")
        self._check_open("connect")
        bound = self.state is State.BOUND
        if not bound:  # a bound socket's own address counts, not this one
            self.state, before = State.CONNECTING, self.state
            try:
                await self._attach("connect", address)
            except BaseException:
                self.state = before
                raise
        self.state = State.CONNECTING
        control, table = self._control(), self._kernel.kctl
        try:
            if not bound:
                self._reserve("connect")
            await control.handlers.connect(self, self._address)
        except BaseException:
            table.counters.conn_fail += 1
            if self.state is State.CONNECTING:
                await self._disconnect()
                self.state = State.NEW
            raise
        if self.state is not State.CONNECTING:  # its control crashed meanwhile
            raise KernelError("connect", "ENOENT", "the control is gone")
        table.counters.connections += 1
        self.state = State.CONNECTED

    async def bind(self, address: bytes) -> None:
        """Attach without connecting: EINVAL without a bind function, but attached all the same."""
        self._check_open("bind")
        if self.state is not State.NEW:
            raise KernelError("bind", "EINVAL")
        await self._attach("bind", address)
        self.state = State.BOUND
        self._reserve("bind")
        control = self._control()
        if "bind" not in control.handlers.provides:
            raise KernelError("bind", "EINVAL")
        await control.handlers.bind(self, self._address)

    async def _attach(self, call: str, address: bytes) -> None:
        """Find the control and give out the unit (ctl_setup_kctl, but for its end)."""
        if len(address) != control_abi.SOCKADDR_CTL.size:
            raise KernelError(call, "EINVAL", f"an address of {len(address)} bytes")
        length, family, system, control_id, unit = control_abi.SOCKADDR_CTL.unpack(address)
        control = self._kernel.kctl.find(control_id, unit)
        if control is None:
            raise KernelError(call, "ENOENT", f"no control {control_id} with unit {unit}")
        if control.is_stream != self.stream:
            raise KernelError(call, "EPROTOTYPE", "the control wants the other type of socket")
        if ControlFlag.PRIVILEGED in control.flags and self.uid != 0:
            raise KernelError(call, "EPERM", "only root may connect")
        if "setup" in control.handlers.provides:
            unit = await control.handlers.setup(unit)
        if control.is_static or unit:
            if control.find(unit) is not None:
                raise KernelError(call, "EBUSY", f"unit {unit} is connected already")
        else:
            unit = self._free_unit(call, control)
        del length  # the kernel sets it to the call's own
        size = control_abi.SOCKADDR_CTL.size
        self._address = control_abi.SOCKADDR_CTL.pack(size, family, system, control_id, unit)
        self.control, self.unit, self.unitinfo = control, unit, 0
        control.pcbs.append(self)
        self._kernel.kctl.counters.gencnt += 1

    def _reserve(self, call: str) -> None:
        """Reserve the buffers (soreserve): ENOBUFS for sizes that no buffer may have."""
        control, rules = self._control(), self._kernel.sockbuf_rules
        self.send_hiwat = rules.granted(call, control.send_size)
        self.received.begin(rules.granted(call, control.receive_size))

    @staticmethod
    def _free_unit(call: str, control: Control) -> int:
        used = {pcb.unit for pcb in control.pcbs}
        for unit in range(1, control_abi.UNIT_MAX + 1):
            if unit not in used:
                return unit
        raise KernelError(call, "EBUSY", "every unit is taken")

    async def _disconnect(self) -> None:
        """Run the disconnect function, then unlink: in this order, so it finds itself attached."""
        control = self.control
        if control is None:
            return
        try:
            if "disconnect" in control.handlers.provides:
                await control.handlers.disconnect(self)
        except KernelError:  # its return value is ignored
            pass
        finally:
            self._detach()

    def _detach(self) -> None:
        control, self.control = self.control, None
        if control is not None and self in control.pcbs:
            control.pcbs.remove(self)
            self._kernel.kctl.counters.gencnt += 1
        self.received.flush()
        self.send_hiwat = self.received.hiwat = 0

    # -- sending --------------------------------------------------------------------------------

    async def send(self, data: bytes, flags: int = 0) -> int:
        """Send: the control's function is called once, or once a chunk on a stream."""
        if self.state is State.DEAD:
            raise KernelError("send", "EPIPE")
        if self.state is not State.CONNECTED:
            raise KernelError("send", "ENOTCONN")
        if flags & control_abi.MSG_OOB:
            raise KernelError("send", "EOPNOTSUPP")
        if self.stream and flags & control_abi.MSG_EOR:
            raise KernelError("send", "EINVAL", "a stream has no records")
        limit = self.send_hiwat
        if len(data) <= limit:
            await self._send_one(data, flags)
        elif self.stream:
            for start in range(0, len(data), limit):
                await self._send_one(data[start : start + limit], flags)
        else:
            raise KernelError("send", "EMSGSIZE", f"{len(data)} bytes, {limit} is the most")
        return len(data)

    async def _send_one(self, data: bytes, flags: int) -> None:
        control = self.control
        if control is None:  # its host went away after the piece before this one
            raise KernelError("send", "EPIPE")
        try:
            if "send" not in control.handlers.provides:
                raise KernelError("send", "ENOTSUP", "the control takes no data")
            await control.handlers.send(self, data, flags)
        except KernelError:
            self._kernel.kctl.counters.send_fail += 1
            raise

    # -- options --------------------------------------------------------------------------------

    async def setsockopt(self, level: int, name: int, value: bytes | None) -> None:
        """Set an option, of the socket or of the control."""
        self._check_open("setsockopt")
        if level == abi.SOL_SOCKET:
            self._set_own(name, value)
            return
        control = self._optioned("setsockopt", level, len(value or b""))
        if "setopt" not in control.handlers.provides:
            raise KernelError("setsockopt", "ENOTSUP", "the control has no options to set")
        await control.handlers.setopt(self, name, value or None)

    async def getsockopt(
        self, level: int, name: int, value: bytes | None, size: int
    ) -> tuple[bytes, int]:
        """Read an option into a buffer of `size` bytes: the data, and the length that is told.

        `value` is that buffer as it came; None for none, which an option's function may answer
        with the length it would have.
        """
        self._check_open("getsockopt")
        if level == abi.SOL_SOCKET:
            data = self._get_own(name)[:size]
            return data, len(data)
        control = self._optioned("getsockopt", level, size)
        if "getopt" not in control.handlers.provides:
            raise KernelError("getsockopt", "ENOTSUP", "the control has no options to read")
        size = 0 if value is None else size
        given = value[:size].ljust(size, b"\0") if value is not None and size else None
        answer, length = await control.handlers.getopt(self, name, given, size)
        if given is None:
            return b"", length
        if length > size:
            raise AssertionError(f"getopt of {control.name!r} returned {length} of {size}: a panic")
        return (answer if answer is not None else given)[:length].ljust(length, b"\0"), length

    def _optioned(self, call: str, level: int, size: int) -> Control:
        if level != abi.SYSPROTO_CONTROL or size > _OPTION_MAX or self.control is None:
            raise KernelError(call, "EINVAL")
        return self.control

    def _set_own(self, name: int, value: bytes | None) -> None:
        call = f"setsockopt {name:#x}"
        if name in _IGNORED:
            return
        if name not in {abi.SO_RCVBUF, abi.SO_SNDBUF}:
            raise KernelError(call, "ENOPROTOOPT")
        size = int.from_bytes((value or b"")[:_INT], "little", signed=True)
        if value is None or len(value) < _INT:
            raise KernelError(call, "EINVAL")
        size = self._kernel.sockbuf_rules.granted(call, size)
        if name == abi.SO_RCVBUF:
            self.received.hiwat = size
        else:
            self.send_hiwat = size

    def _get_own(self, name: int) -> bytes:
        received = self.received
        received.settle()
        values = {
            abi.SO_RCVBUF: received.hiwat,
            abi.SO_SNDBUF: self.send_hiwat,
            abi.SO_RCVLOWAT: RECEIVE_LOWAT,
            abi.SO_SNDLOWAT: SEND_LOWAT,
            abi.SO_ERROR: 0,
            abi.SO_TYPE: control_abi.SOCK_STREAM if self.stream else control_abi.SOCK_DGRAM,
            abi.SO_NREAD: received.next_size,
        }
        if not self.stream:
            values[abi.SO_NUMRCVPKT] = received.count
        if name not in values:
            raise KernelError(f"getsockopt {name:#x}", "ENOPROTOOPT")
        return values[name].to_bytes(4, "little")

    def ioctl(self, request: int, argument: bytes) -> bytes:
        """Do an ioctl: ENOTSUP for one that control sockets do not know."""
        if request == control_abi.CTLIOCGCOUNT:
            return len(self._kernel.kctl.controls).to_bytes(4, "little")
        if request == control_abi.CTLIOCGINFO and len(argument) == control_abi.CTL_INFO.size:
            _, name = control_abi.CTL_INFO.unpack(argument)
            return control_abi.CTL_INFO.pack(self._kernel.kctl.lookup(name), name)
        if request == abi.FIONREAD:
            self.received.settle()
            return self.received.bytes.to_bytes(4, "little")
        raise KernelError(f"ioctl {request:#x}", "ENOTSUP")

    # -- the rest of the calls ------------------------------------------------------------------

    def getpeername(self) -> bytes:
        """Return the peer: the address with the control's id and the unit given out."""
        if self.state is State.DEAD:
            raise KernelError("getpeername", "EINVAL")
        if self.state is not State.CONNECTED:
            raise KernelError("getpeername", "ENOTCONN")
        _, _, _, control_id, unit = control_abi.SOCKADDR_CTL.unpack(self._address)
        return control_abi.SOCKADDR_CTL.pack(
            control_abi.SOCKADDR_CTL.size,
            abi.PF_SYSTEM,
            control_abi.AF_SYS_CONTROL,
            control_id,
            unit,
        )

    def shutdown(self, how: int) -> None:
        """Shut reading down; the rest is refused, after that was done."""
        if self.state is not State.CONNECTED:
            raise KernelError("shutdown", "ENOTCONN")
        if how not in {control_abi.SHUT_RD, control_abi.SHUT_WR, control_abi.SHUT_RDWR}:
            raise KernelError("shutdown", "EINVAL")
        if how != control_abi.SHUT_WR:
            self.received.end()
        if how != control_abi.SHUT_RD:
            raise KernelError("shutdown", "EOPNOTSUPP")

    async def close(self) -> None:
        """Close: the disconnect function runs, then the unit is free.  Twice is harmless."""
        before, self.state = self.state, State.CLOSED
        if before is not State.CLOSED:
            self._kernel.kctl.pcbs.discard(self)
            await self._disconnect()

    def abandon(self) -> None:
        """Lose the control without its being asked: its registrant crashed."""
        self._detach()
        if self.state is not State.CLOSED:
            self.state = State.DEAD
            self.received.end()

    def _control(self) -> Control:
        assert self.control is not None, "an attached socket has a control"
        return self.control

    def _check_open(self, call: str) -> None:
        if self.state is State.CLOSED:
            raise KernelError(call, "EBADF", "the socket is closed")
        if self.state is State.DEAD:
            raise KernelError(call, "EINVAL", "the control is gone")

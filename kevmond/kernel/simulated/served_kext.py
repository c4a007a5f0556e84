"""Kernel extensions that another process hosts, and that a served simulated kernel calls.

The connection of a host (kext/host is one) begins with HOST (see `wire`).  From then on both sides
ask and answer, in frames of `u32 size, u32 kind, body`.  Every body begins with a u32 tag that the
asker chose and the answer repeats; many questions may be open at once.  Errors are Darwin's numbers,
0 for none; a ref is what ctl_register gave out.

What a host asks, answered by a REPLY: tag, i32 error, and on success

| kind           | body behind the tag                                                | REPLY |
|----------------|--------------------------------------------------------------------|-------|
| REGISTER       | u32 flags, id, unit, sendsize, recvsize, handlers; name, 96 bytes   | u32 ref, id, sendsize, recvsize |
| DEREGISTER     | u32 ref                                                            |       |
| ENQUEUE        | u32 ref, unit, flags; data                                          |       |
| SPACE          | u32 ref, unit                                                       | u64 bytes |
| VENDOR_FIND    | name                                                               | u32 code |
| POST           | u32 vendor, class, subclass, code; data                             | u32 id |

What the kernel asks, answered by a RETURN: tag, i32 error, u64 unitinfo, and

| kind            | body behind tag, u32 ref, unit, pid, uid                           | RETURN |
|-----------------|-------------------------------------------------------------------|--------|
| CALL_CONNECT    | sockaddr_ctl                                                       |        |
| CALL_DISCONNECT | u64 unitinfo                                                       |        |
| CALL_SEND       | u64 unitinfo, u32 flags; data                                      |        |
| CALL_SETOPT     | u64 unitinfo, i32 option, u32 1 if there is a value; value          |        |
| CALL_GETOPT     | u64 unitinfo, i32 option, u32 1 if there is a buffer, u32 its size; what it holds | u32 length, u32 1 if there is data; data |
"""  # noqa: E501 - a table's row is one line

from __future__ import annotations

import asyncio
import struct
from enum import IntEnum
from itertools import count
from typing import TYPE_CHECKING, Any, ClassVar, Final

from kevmond.errors import KernelError
from kevmond.kernel import abi
from kevmond.kernel.control_abi import ControlFlag
from kevmond.kernel.simulated import wire
from kevmond.kernel.simulated.handlers import Handlers
from kevmond.kernel.simulated.kctl import Registration
from kevmond.kernel.simulated.wire import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Callable

    from kevmond.kernel.simulated.kctl import Control
    from kevmond.kernel.simulated.kctl_pcb import ControlPcb
    from kevmond.kernel.simulated.model import SimulatedKernel


class Kind(IntEnum):
    """What a frame is."""

    REGISTER = 0x10
    DEREGISTER = 0x11
    ENQUEUE = 0x12
    SPACE = 0x13
    VENDOR_FIND = 0x14
    POST = 0x15
    CALL_CONNECT = 0x20
    CALL_DISCONNECT = 0x21
    CALL_SEND = 0x22
    CALL_SETOPT = 0x23
    CALL_GETOPT = 0x24
    REPLY = 0x81
    RETURN = 0x91


HANDLER_BITS: Final = {"connect": 1, "disconnect": 2, "send": 4, "setopt": 8, "getopt": 16}
"""Which functions a control has, as REGISTER says it."""

TAG: Final = wire.U32
REGISTER: Final = struct.Struct("<6I96s")
REGISTERED: Final = struct.Struct("<4I")
DEREGISTER: Final = struct.Struct("<I")
ENQUEUE: Final = struct.Struct("<3I")
SPACE: Final = struct.Struct("<2I")
POST: Final = struct.Struct("<4I")
REPLY: Final = struct.Struct("<Ii")
CALL: Final = struct.Struct("<5I")
RETURN: Final = struct.Struct("<IiQ")
UNITINFO: Final = struct.Struct("<Q")
SEND: Final = struct.Struct("<QI")
SETOPT: Final = struct.Struct("<QiI")
GETOPT: Final = struct.Struct("<QiII")
GOT: Final = struct.Struct("<2I")

_U32: Final = 0xFFFFFFFF


class KextHost:
    """One host, as the kernel sees it: a kernel extension, with whatever controls it registers.

    `send` writes a whole frame, `drop` ends the connection; whoever owns that hands each frame to
    `received` and calls `closed` once at its end.  A host that goes away with controls registered
    has crashed: their sockets are dead, and calls that run fail.
    """

    def __init__(
        self,
        kernel: SimulatedKernel,
        *,
        send: Callable[[bytes], object],
        drop: Callable[[], object],
    ) -> None:
        self._kernel = kernel
        self._send = send
        self._drop = drop
        self._controls: dict[int, Control] = {}
        self._calls: dict[int, asyncio.Future[tuple[int, int, bytes]]] = {}
        self._tags = count(1)
        self._is_closed = False
        self._requests: dict[int, Callable[[bytes], bytes]] = {
            Kind.REGISTER: self._register,
            Kind.DEREGISTER: self._deregister,
            Kind.ENQUEUE: self._enqueue,
            Kind.SPACE: self._space,
            Kind.VENDOR_FIND: self._vendor_find,
            Kind.POST: self._post,
        }

    def received(self, kind: int, body: bytes) -> None:
        """Take a frame.  One that is not of this protocol ends the connection, and no more."""
        if self._is_closed:
            return
        try:
            if kind == Kind.RETURN:
                self._take_return(body)
            else:
                self._answer(kind, body)
        except ProtocolError:
            self._drop()

    def closed(self) -> None:
        """Take note that the host is gone."""
        self._is_closed = True
        table = self._kernel.kctl
        for control in self._controls.values():
            if control in table.controls:  # a kernel that was rebooted meanwhile has none of them
                table.deregister(control, force=True)
        self._controls.clear()
        calls, self._calls = self._calls, {}
        for call in calls.values():
            if not call.done():
                call.set_exception(_gone())

    def kernel_gone(self) -> None:
        """Take note that the kernel went away: its extensions went with it."""
        if not self._is_closed:
            self._drop()

    async def call(self, kind: Kind, ref: int, pcb: ControlPcb, body: bytes) -> tuple[int, bytes]:
        """Have a handler run for `pcb`, and return its unitinfo and the body of what it returned.

        KernelError with the handler's errno, `pcb` knowing the unitinfo all the same; EIO if the
        host goes away.
        """
        if self._is_closed:
            raise _gone()
        tag = next(self._tags) & _U32
        call = asyncio.get_running_loop().create_future()
        self._calls[tag] = call
        head = CALL.pack(tag, ref, pcb.unit, pcb.pid & _U32, pcb.uid & _U32)
        self._send(wire.frame(kind, head + body))
        cancelled = await _finished(call)
        error, unitinfo, returned = call.result()
        if kind is Kind.CALL_CONNECT:
            pcb.unitinfo = unitinfo
        if cancelled is not None:
            raise cancelled
        if error:
            raise KernelError(kind.name.lower(), abi.errno_symbol(error))
        return unitinfo, returned

    def _take_return(self, body: bytes) -> None:
        tag, error, unitinfo = wire.unpack(RETURN, body)
        call = self._calls.pop(tag, None)
        if call is None:
            raise ProtocolError(f"a return from call {tag}, which was never made")
        if not call.done():
            call.set_result((error, unitinfo, body[RETURN.size :]))

    def _answer(self, kind: int, body: bytes) -> None:
        request = self._requests.get(kind)
        if request is None:
            raise ProtocolError(f"no frame of kind {kind:#x}")
        (tag,) = wire.unpack(TAG, body)
        try:
            reply = REPLY.pack(tag, 0) + request(body[TAG.size :])
        except KernelError as error:
            reply = REPLY.pack(tag, abi.errno_number(error.symbol))
        self._send(wire.frame(Kind.REPLY, reply))

    # -- what a kext asks -----------------------------------------------------------------------

    def _register(self, body: bytes) -> bytes:
        if len(body) != REGISTER.size:
            raise ProtocolError("a registration of another size")
        flags, control_id, unit, send_size, receive_size, bits, name = REGISTER.unpack(body)
        wanted = Registration(name, ControlFlag(flags), control_id, unit, send_size, receive_size)
        provides = frozenset(word for word, bit in HANDLER_BITS.items() if bits & bit)
        handlers = HostedHandlers(self, provides)
        control = self._kernel.kctl.register(wanted, handlers)
        handlers.ref = control.ref
        self._controls[control.ref] = control
        return REGISTERED.pack(
            control.ref, control.control_id, control.send_size, control.receive_size
        )

    def _deregister(self, body: bytes) -> bytes:
        (ref,) = wire.unpack(DEREGISTER, body)
        self._kernel.kctl.deregister(self._control("ctl_deregister", ref))
        del self._controls[ref]
        return b""

    def _enqueue(self, body: bytes) -> bytes:
        ref, unit, flags = wire.unpack(ENQUEUE, body)
        control = self._control("ctl_enqueuedata", ref)
        self._kernel.kctl.enqueue(control, unit, body[ENQUEUE.size :], flags)
        return b""

    def _space(self, body: bytes) -> bytes:
        ref, unit = wire.unpack(SPACE, body)
        control = self._control("ctl_getenqueuespace", ref)
        return wire.U64.pack(max(0, self._kernel.kctl.enqueue_space(control, unit)))

    def _vendor_find(self, body: bytes) -> bytes:
        try:
            name = body.decode()
        except UnicodeDecodeError:
            raise KernelError("kev_vendor_code_find", "EINVAL", "the name is no text") from None
        return wire.U32.pack(self._kernel.vendor_code_find(name))

    def _post(self, body: bytes) -> bytes:
        vendor, kev_class, subclass, code = wire.unpack(POST, body)
        data = body[POST.size :]
        return wire.U32.pack(self._kernel.kext_post(vendor, kev_class, subclass, code, data))

    def _control(self, call: str, ref: int) -> Control:
        control = self._controls.get(ref)
        if control is None:
            self._kernel.kctl.counters.bad_kctlref += 1
            raise KernelError(call, "EINVAL", f"{ref:#x} is none of this kext's controls")
        return control


class HostedHandlers(Handlers):
    """The functions of a control in a host: each call is a frame, and waits for another."""

    suspends: ClassVar[bool] = True

    def __init__(self, host: KextHost, provides: frozenset[str]) -> None:
        self.provides = provides  # type: ignore[misc]  # each kext's own
        self.ref = 0
        self._host = host

    async def connect(self, pcb: ControlPcb, address: bytes) -> None:
        """See `Handlers.connect`."""
        await self._host.call(Kind.CALL_CONNECT, self.ref, pcb, address)

    async def disconnect(self, pcb: ControlPcb) -> None:
        """See `Handlers.disconnect`."""
        await self._host.call(Kind.CALL_DISCONNECT, self.ref, pcb, UNITINFO.pack(pcb.unitinfo))

    async def send(self, pcb: ControlPcb, data: bytes, flags: int) -> None:
        """See `Handlers.send`."""
        body = SEND.pack(pcb.unitinfo, flags & _U32) + data
        await self._host.call(Kind.CALL_SEND, self.ref, pcb, body)

    async def setopt(self, pcb: ControlPcb, option: int, value: bytes | None) -> None:
        """See `Handlers.setopt`."""
        body = SETOPT.pack(pcb.unitinfo, option, value is not None) + (value or b"")
        await self._host.call(Kind.CALL_SETOPT, self.ref, pcb, body)

    async def getopt(
        self, pcb: ControlPcb, option: int, value: bytes | None, size: int
    ) -> tuple[bytes | None, int]:
        """See `Handlers.getopt`."""
        body = GETOPT.pack(pcb.unitinfo, option, value is not None, size) + (value or b"")
        _, returned = await self._host.call(Kind.CALL_GETOPT, self.ref, pcb, body)
        if len(returned) < GOT.size:
            raise KernelError("getsockopt", "EIO", "the kext's host returned half an answer")
        length, has_data = GOT.unpack_from(returned)
        if value is not None and length > size:
            raise KernelError("getsockopt", "EIO", "a kext's host lets through what panics kernels")
        return returned[GOT.size :] if has_data else None, length

    def gone(self) -> None:
        """See `Handlers.gone`."""
        self._host.kernel_gone()


async def _finished(call: asyncio.Future[Any]) -> asyncio.CancelledError | None:
    """Wait until a handler has returned: whoever called it cannot leave it, as in any kernel.

    If the caller was cancelled meanwhile, that is returned.
    """
    cancelled: asyncio.CancelledError | None = None
    while not call.done():
        try:
            await asyncio.wait({call})
        except asyncio.CancelledError as error:
            cancelled = error
    return cancelled


def _gone() -> KernelError:
    return KernelError("kext host", "EIO", "the process that hosts the control went away")

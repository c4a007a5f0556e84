"""The requests that a served simulated kernel answers at once, about no socket in particular."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kevmond.kernel.simulated import sysctls, wire
from kevmond.kernel.simulated.wire import Operation, ProtocolError

if TYPE_CHECKING:
    from collections.abc import Callable

    from kevmond.kernel.simulated.model import SimulatedKernel


def _sysctl(kernel: SimulatedKernel, body: bytes) -> bytes:
    (writes,) = wire.unpack(wire.SYSCTL, body)
    name = body[wire.SYSCTL.size :].decode("utf-8", "replace")
    probe, value = sysctls.read(kernel, name, writes=bool(writes))
    return wire.U32.pack(probe) + value


def _post(kernel: SimulatedKernel, body: bytes) -> bytes:
    return _post_with(kernel.post, body)


def _kext_post(kernel: SimulatedKernel, body: bytes) -> bytes:
    return _post_with(kernel.kext_post, body)


def _post_with(post: Callable[[int, int, int, int, bytes], int], body: bytes) -> bytes:
    """Post one event as often as is asked, back to back."""
    vendor, kev_class, subclass, code, times = wire.unpack(wire.POST, body)
    if not 0 < times <= wire.MESSAGES_MAX:
        raise ProtocolError(f"{times} posts at once")
    data = body[wire.POST.size :]
    last = 0
    for _ in range(times):
        last = post(vendor, kev_class, subclass, code, data)
    return wire.U32.pack(last)


def _inject(kernel: SimulatedKernel, body: bytes) -> bytes:
    for message in wire.unpack_messages(body):
        kernel.inject(message)
    return b""


def _vendor_find(kernel: SimulatedKernel, body: bytes) -> bytes:
    return wire.U32.pack(kernel.vendor_code_find(body.decode()))


def _reboot(kernel: SimulatedKernel, _: bytes) -> bytes:
    kernel.reboot()
    return b""


KERNEL_REQUESTS: Final[dict[Operation, Callable[[SimulatedKernel, bytes], bytes]]] = {
    Operation.SYSCTL: _sysctl,
    Operation.POST: _post,
    Operation.KEXT_POST: _kext_post,
    Operation.INJECT: _inject,
    Operation.VENDOR_FIND: _vendor_find,
    Operation.REBOOT: _reboot,
}
"""Each gives the reply's body; KernelError, ProtocolError, or ValueError for nonsense."""

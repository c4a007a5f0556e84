"""com.apple.netsrc: which source address the system would use for a destination; for anybody.

Mirrors struct netsrc_req and netsrc_repv2 of bsd/net/netsrc.h, and which requests are refused.
The simulated system has its loopback only: nothing else can be reached from it.
"""

# ruff: noqa: ARG002 - a control's functions take what the kernel hands them

from __future__ import annotations

import ipaddress
import struct
from typing import TYPE_CHECKING, ClassVar, Final

from kevmond.errors import KernelError
from kevmond.kernel import control_abi
from kevmond.kernel.control_abi import EnqueueFlag
from kevmond.kernel.simulated.apple.bare import Bare

if TYPE_CHECKING:
    from kevmond.kernel.simulated.kctl_pcb import ControlPcb

_REQUEST: Final = struct.Struct("<2I28s")
"""netsrc_req: version, interface to be used (0: any), destination as a sockaddr."""
_REPLY: Final = struct.Struct("<28s4I6H")
"""netsrc_repv2: source as a sockaddr, min_rtt, attempts, successes, flags, label, precedence,
dstlabel, dstprecedence, ifindex, padding."""
_SOCKADDR_IN: Final = struct.Struct("<2BH4s8x")
_SOCKADDR_IN6: Final = struct.Struct("<2BHI16sI")
_VERSION: Final = 2
_LOOPBACK_INDEX: Final = 1
_POLICY: Final = {4: (4, 35), 6: (0, 50)}
"""Label and precedence of IPv4 and loopback addresses (RFC 6724, section 2.1)."""


class Netsrc(Bare):
    """Answers at once, with one message a request."""

    provides: ClassVar[frozenset[str]] = frozenset({"connect", "send"})

    async def send(self, pcb: ControlPcb, data: bytes, flags: int) -> None:
        """See `Handlers.send`: EINVAL, or EHOSTUNREACH for what the loopback does not reach."""
        if len(data) < _REQUEST.size:
            raise KernelError("send", "EINVAL", f"a request has {_REQUEST.size} bytes")
        version, _, destination = _REQUEST.unpack_from(data)
        if version > _VERSION:
            raise KernelError("send", "EINVAL", f"version {version} is unknown")
        address = _address(destination)
        if version < _VERSION or not address.is_loopback:
            raise KernelError("send", "EHOSTUNREACH")
        label, precedence = _POLICY[address.version]
        reply = _REPLY.pack(
            _sockaddr(address),
            *(0, 0, 0, 0),
            *(label, precedence, label, precedence, _LOOPBACK_INDEX, 0),
        )
        assert pcb.control is not None, "a control sends to attached sockets"
        self._table.enqueue(pcb.control, pcb.unit, reply, EnqueueFlag.EOR)


def _address(sockaddr: bytes) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    size, family = sockaddr[:2]
    address: ipaddress.IPv4Address | ipaddress.IPv6Address
    if family == control_abi.DARWIN_AF_INET and size >= _SOCKADDR_IN.size:
        address = ipaddress.IPv4Address(_SOCKADDR_IN.unpack_from(sockaddr)[3])
    elif family == control_abi.DARWIN_AF_INET6 and size >= _SOCKADDR_IN6.size:
        address = ipaddress.IPv6Address(_SOCKADDR_IN6.unpack_from(sockaddr)[4])
    else:
        raise KernelError("send", "EINVAL", "the destination is neither IPv4 nor IPv6")
    if address.is_unspecified:
        raise KernelError("send", "EINVAL", "no destination")
    return address


def _sockaddr(destination: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bytes:
    if destination.version == 4:  # noqa: PLR2004 - IPv4
        source = ipaddress.IPv4Address("127.0.0.1").packed
        return _SOCKADDR_IN.pack(_SOCKADDR_IN.size, control_abi.DARWIN_AF_INET, 0, source)
    source = ipaddress.IPv6Address("::1").packed
    return _SOCKADDR_IN6.pack(_SOCKADDR_IN6.size, control_abi.DARWIN_AF_INET6, 0, 0, source, 0)

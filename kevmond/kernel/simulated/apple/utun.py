"""com.apple.net.utun_control: a network interface whose packets a program reads and writes.

Mirrors bsd/net/if_utun.c: units, framing and options.  Behind the tunnel lies a mirror: whatever
a program writes comes back with source and destination exchanged, so that the far end of every
conversation answers, and every checksum stays right.  Packets wait in the socket; the interface's
own queue, of which MAX_PENDING_PACKETS bounds the part that lies in the socket, is not simulated.
"""

# ruff: noqa: ARG002 - a control's functions take what the kernel hands them

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

from kevmond.errors import KernelError
from kevmond.kernel import control_abi
from kevmond.kernel.control_abi import EnqueueFlag, UtunOption
from kevmond.kernel.simulated.apple.tunnel import DELEGATE_CHANGED, Tunnel

if TYPE_CHECKING:
    from kevmond.kernel.simulated.kctl import ControlTable
    from kevmond.kernel.simulated.kctl_pcb import ControlPcb

_U32: Final = struct.Struct("<I")
_FAMILY: Final = struct.Struct("!I")
_STATS: Final = struct.Struct("<3Q")
"""utun_stats_param: packets, bytes, errors."""

_IF_NAME_SIZE: Final = 16
_UUID: Final = 16
_BLOCKING: Final = 0x1 | 0x2
"""UTUN_FLAGS_NO_OUTPUT, UTUN_FLAGS_NO_INPUT: packets stop on their way there or back."""
_ENABLE_PROC_UUID: Final = 0x4

_BEFORE_CONNECT: Final = frozenset({UtunOption.FLAGS, *range(20, 28)})
_ADDRESSES: Final = {
    # family: version, shortest packet, where the source is, length of an address
    control_abi.DARWIN_AF_INET: (4, 20, 12, 4),
    control_abi.DARWIN_AF_INET6: (6, 40, 8, 16),
}


@dataclass(slots=True)
class _Settings:
    """Options of one socket."""

    flags: int = 0
    ext_stats: int = 0
    max_pending: int = 1


class Utun(Tunnel):
    """A utunN interface for each socket."""

    PREFIX: ClassVar[str] = "utun"
    FAMILY: ClassVar[int] = 17

    provides: ClassVar[frozenset[str]] = Tunnel.provides | {"rcvd"}

    def __init__(self, table: ControlTable) -> None:
        super().__init__(table)
        self._settings: dict[ControlPcb, _Settings] = {}

    async def disconnect(self, pcb: ControlPcb) -> None:
        """See `Handlers.disconnect`."""
        self._settings.pop(pcb, None)
        await super().disconnect(pcb)

    async def send(self, pcb: ControlPcb, data: bytes, flags: int) -> None:
        """See `Handlers.send`; what is no packet is taken and lost, as the kernel does it."""
        flags = self._of(pcb).flags
        header = _FAMILY.size + (_UUID if flags & _ENABLE_PROC_UUID else 0)
        if flags & _BLOCKING or len(data) < header:
            return
        packet = mirrored(_FAMILY.unpack_from(data)[0], data[header:])
        if packet is None:
            return
        assert pcb.control is not None, "a control sends to attached sockets"
        try:
            self._table.enqueue(pcb.control, pcb.unit, data[:header] + packet, EnqueueFlag.EOR)
        except KernelError:  # as on any network: what finds no room is lost
            return

    async def setopt(self, pcb: ControlPcb, option: int, value: bytes | None) -> None:
        """See `Handlers.setopt`."""
        data = value or b""
        settings = self._of(pcb)
        if option in _BEFORE_CONNECT and self.has_interface(pcb):
            raise KernelError("setsockopt", "EINVAL", "only between bind and connect")
        if option == UtunOption.FLAGS:
            settings.flags = _u32(data)
        elif option == UtunOption.EXT_IFDATA_STATS:
            settings.ext_stats = int(_u32(data) != 0)
        elif option in {UtunOption.INC_IFDATA_STATS_IN, UtunOption.INC_IFDATA_STATS_OUT}:
            if not settings.ext_stats or len(data) < _STATS.size:
                raise KernelError("setsockopt", "EINVAL", "needs EXT_IFDATA_STATS, and 24 bytes")
        elif option == UtunOption.SET_DELEGATE_INTERFACE:
            self._delegate(pcb, data)
        elif option == UtunOption.MAX_PENDING_PACKETS:
            pending = _u32(data)
            if not pending:
                raise KernelError("setsockopt", "EINVAL", "at least 1")
            settings.max_pending = pending
        else:
            raise KernelError("setsockopt", "ENOPROTOOPT", f"option {option}")

    async def getopt(
        self, pcb: ControlPcb, option: int, value: bytes | None, size: int
    ) -> tuple[bytes | None, int]:
        """See `Handlers.getopt`: numbers into 4 bytes exactly."""
        if option == UtunOption.IFNAME:
            return self.ifname(pcb, size)
        settings = self._of(pcb)
        numbers: dict[int, int] = {
            UtunOption.FLAGS: settings.flags,
            UtunOption.EXT_IFDATA_STATS: settings.ext_stats,
            UtunOption.MAX_PENDING_PACKETS: settings.max_pending,
        }
        if option not in numbers:
            raise KernelError("getsockopt", "ENOPROTOOPT", f"option {option}")
        if size != _U32.size:
            raise KernelError("getsockopt", "EMSGSIZE", "it takes 4 bytes")
        return _U32.pack(numbers[option]), size

    def _of(self, pcb: ControlPcb) -> _Settings:
        return self._settings.setdefault(pcb, _Settings())

    def _delegate(self, pcb: ControlPcb, name: bytes) -> None:
        if len(name) >= _IF_NAME_SIZE:
            raise KernelError("setsockopt", "EMSGSIZE", "an interface's name has up to 15 bytes")
        if not self.has_interface(pcb):
            raise KernelError("setsockopt", "EINVAL", "only after connect")
        self.post(pcb, DELEGATE_CHANGED)


def mirrored(family: int, packet: bytes) -> bytes | None:
    """Exchange source and destination of an IP packet; None if it is none of this family."""
    version, shortest, at, size = _ADDRESSES.get(family, (0, 0, 0, 0))
    if not version or len(packet) < shortest or packet[0] >> 4 != version:
        return None
    middle, end = at + size, at + 2 * size
    return packet[:at] + packet[middle:end] + packet[at:middle] + packet[end:]


def _u32(data: bytes) -> int:
    if len(data) != _U32.size:
        raise KernelError("setsockopt", "EMSGSIZE", "it takes 4 bytes")
    number: int = _U32.unpack(data)[0]
    return number

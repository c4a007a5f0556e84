"""A utun tunnel: a network interface whose packets this program reads and writes (net/if_utun.h).

Connecting to Apple's utun control makes an interface, closing takes it away again; both need root.
On the socket every packet has its protocol family in front, 4 bytes in network order: 2 for IPv4
and 30, Darwin's AF_INET6, for IPv6.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntFlag
from typing import TYPE_CHECKING, Final, Self

from kevmond.control.channel import ControlChannel
from kevmond.control.hints import joined, said
from kevmond.control.target import ControlTarget
from kevmond.errors import KernelError
from kevmond.kernel.control_abi import (
    DARWIN_AF_INET,
    DARWIN_AF_INET6,
    UTUN_CONTROL,
    UtunOption,
)
from kevmond.kernel.control_base import ControlAddress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from kevmond.kernel.control_base import ControlKernel, ControlSocket

_FAMILY: Final = struct.Struct("!I")
_U32: Final = struct.Struct("<I")
_STATS: Final = struct.Struct("<3Q")
"""utun_stats_param: packets, bytes, errors."""
_IFNAME_SIZE: Final = 32
_DELEGATE_MAX: Final = 15
_UUID_SIZE: Final = 16
_UNIT_MAX: Final = 65534
_FAMILIES: Final = {4: DARWIN_AF_INET, 6: DARWIN_AF_INET6}
"""Protocol family by the version that an IP packet begins with."""

_HINTS: Final = {
    "EPERM": "only root may open a tunnel: run as root",
    "ENOENT": "this kernel has no utun control",
    "EPROTOTYPE": "this kernel's utun control is not one for messages",
}


class UtunFlag(IntFlag):
    """Flags of a tunnel, which can be set before it is connected only (UTUN_FLAGS_)."""

    NO_OUTPUT = 0x1
    """Packets of the system do not come here."""
    NO_INPUT = 0x2
    """Packets from here do not reach the system."""
    ENABLE_PROC_UUID = 0x4
    """A UUID stands in front of every packet, behind its family: of the process that sent it."""


@dataclass(frozen=True, slots=True)
class Packet:
    """An IP packet that the system sent into the tunnel."""

    family: int
    """2 for IPv4, 30 for IPv6: Darwin's numbers, whatever this system's are."""
    data: bytes
    """The packet, its IP header first."""
    process_uuid: bytes = b""
    """16 bytes with ENABLE_PROC_UUID, else none."""


@dataclass(slots=True)
class UtunStatistics:
    """What passed; bytes are those of packets, without what stands in front of them."""

    packets_in: int = 0
    """Read: what the system sent into the tunnel."""
    bytes_in: int = 0
    packets_out: int = 0
    """Written: what this program gave to the system."""
    bytes_out: int = 0
    malformed: int = 0
    """Messages read that were no IP packet of a known family; they are passed over."""
    failed: int = 0
    """Packets that the kernel did not take."""


class Utun:
    """An open tunnel: iterate over it for packets, `send` others, `aclose` it."""

    def __init__(self, channel: ControlChannel, name: str, flags: UtunFlag) -> None:
        """Take a connected channel; `open` makes it."""
        self._channel = channel
        self._header = _FAMILY.size
        if UtunFlag.ENABLE_PROC_UUID in flags:
            self._header += _UUID_SIZE
        self._name = name
        self._flags = flags
        self.statistics = UtunStatistics()

    @classmethod
    async def open(
        cls,
        kernel: ControlKernel,
        unit: int | None = None,
        *,
        scan: Iterable[int] | None = None,
        flags: UtunFlag = UtunFlag(0),  # noqa: B008 - it cannot be changed
        send_space: int | None = None,
        receive_space: int | None = None,
        queue: int = 1024,
    ) -> Self:
        """Make an interface: utun`unit`, the first free one of `scan`, or any.

        Units are those of interface names: 3 is utun3.  `send_space` and `receive_space` are the
        socket's buffers (512 KiB each unless given), `queue` the most packets held here unread.
        KernelError EBUSY if every unit asked for is taken, EPERM for others than root, ENOENT on a
        kernel without utun; ValueError for a unit that no interface can have.
        """
        if unit is not None and scan is not None:
            raise ValueError("give a unit, or units to scan, not both")
        wanted: list[int | None] = [unit] if scan is None else list(scan)
        for each in wanted:
            if each is not None and not 0 <= each <= _UNIT_MAX:
                raise ValueError(f"no interface is called utun{each}: units are 0 to {_UNIT_MAX}")
        for each in wanted:
            socket_unit = 0 if each is None else each + 1
            try:
                channel = await ControlChannel.connect(
                    kernel,
                    ControlTarget(UTUN_CONTROL, unit=socket_unit),
                    stream=False,
                    send_space=send_space,
                    receive_space=receive_space,
                    queue=queue,
                    prepare=_prepare(socket_unit, flags),
                )
            except KernelError as error:
                if error.symbol == "EBUSY" and each is not None:
                    continue
                hint = joined(said(error), _HINTS.get(error.symbol, ""))
                raise KernelError("open a utun", error.symbol, hint) from error
            try:
                name = await channel.get_option(UtunOption.IFNAME, _IFNAME_SIZE)
                return cls(channel, name.rstrip(b"\0").decode(), flags)
            except BaseException:
                await channel.aclose()
                raise
        raise KernelError(*_all_taken(wanted))

    @property
    def name(self) -> str:
        """Name of the interface, such as "utun4"."""
        return self._name

    @property
    def unit(self) -> int:
        """Number in that name."""
        return self._channel.unit - 1

    @property
    def flags(self) -> UtunFlag:
        """Flags that it was opened with."""
        return self._flags

    @property
    def channel(self) -> ControlChannel:
        """The channel that carries it, for what this class does not offer."""
        return self._channel

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Packet:
        """Wait for the next packet; ends after `aclose`, KernelError if the socket died."""
        header, counted = self._header, self.statistics
        while True:
            message = await anext(self._channel)
            packet = message[header:]
            if packet and _FAMILIES.get(packet[0] >> 4) == _FAMILY.unpack_from(message)[0]:
                counted.packets_in += 1
                counted.bytes_in += len(packet)
                family = _FAMILIES[packet[0] >> 4]
                return Packet(family, packet, message[_FAMILY.size : header])
            counted.malformed += 1

    async def send(self, packet: bytes, *, timeout: float = 5.0) -> None:  # noqa: ASYNC109 - it names the errno
        """Give the system an IP packet, as if it had come from the network behind the tunnel.

        ValueError for what is no IP packet: the kernel would take it and lose it.  KernelError
        EMSGSIZE if it is longer than the socket's buffer, ENOBUFS if it is not taken in time.
        """
        family = _FAMILIES.get(packet[0] >> 4) if packet else None
        if family is None:
            told = f"begins with {packet[:1].hex()}" if packet else "is empty"
            raise ValueError(f"neither an IPv4 nor an IPv6 packet: it {told}")
        head = _FAMILY.pack(family).ljust(self._header, b"\0")
        try:
            await self._channel.send(head + packet, timeout=timeout)
        except KernelError:
            self.statistics.failed += 1
            raise
        self.statistics.packets_out += 1
        self.statistics.bytes_out += len(packet)

    async def max_pending(self) -> int:
        """Packets that may wait in the socket, 1 unless set; more wait in the interface's queue."""
        return await self._channel.get_u32(UtunOption.MAX_PENDING_PACKETS)

    async def set_max_pending(self, count: int) -> None:
        """Let more packets wait in the socket: fewer wake-ups for a reader that drains it."""
        await self._channel.set_option(UtunOption.MAX_PENDING_PACKETS, count)

    async def set_delegate(self, interface: str | None) -> None:
        """Name the interface that really carries the traffic; None for none any more."""
        name = (interface or "").encode()
        if len(name) > _DELEGATE_MAX:
            raise ValueError(f"{interface!r}: an interface's name has up to {_DELEGATE_MAX} bytes")
        await self._channel.set_option(UtunOption.SET_DELEGATE_INTERFACE, name or None)

    async def external_statistics(self) -> bool:
        """Whether the interface's counters are given by `add_statistics`, not by the kernel."""
        return await self._channel.get_u32(UtunOption.EXT_IFDATA_STATS) != 0

    async def set_external_statistics(self, *, on: bool) -> None:
        """Choose who counts on the interface: this program, or the kernel."""
        await self._channel.set_option(UtunOption.EXT_IFDATA_STATS, int(on))

    async def add_statistics(
        self, *, incoming: bool, packets: int = 0, size: int = 0, errors: int = 0
    ) -> None:
        """Add to the interface's counters of packets, bytes and errors.

        KernelError EINVAL unless `set_external_statistics(on=True)` was called.
        """
        option = UtunOption.INC_IFDATA_STATS_IN if incoming else UtunOption.INC_IFDATA_STATS_OUT
        await self._channel.set_option(option, _STATS.pack(packets, size, errors))

    async def aclose(self) -> None:
        """Close the tunnel: the interface is gone.  Twice is harmless."""
        await self._channel.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


def _prepare(unit: int, flags: UtunFlag) -> Callable[[ControlSocket], None] | None:
    """Return what sets flags: possible only between bind and connect."""
    if not flags:
        return None

    def prepare(sock: ControlSocket) -> None:
        sock.bind(ControlAddress(sock.lookup(UTUN_CONTROL), unit))
        sock.set_option(UtunOption.FLAGS, _U32.pack(flags))

    return prepare


def _all_taken(units: list[int | None]) -> tuple[str, str, str]:
    if len(units) == 1:
        return (
            f"open utun{units[0]}",
            "EBUSY",
            "it exists already: leave the unit out to get one that is free",
        )
    if not units:
        return "open a utun", "EBUSY", "the range to scan is empty"
    return f"open utun{units[0]} to utun{units[-1]}", "EBUSY", "all of them exist already"

"""Packets that woke the system (net/if_ports_used.h).

The structures grew at their ends: macOS 12, 13 and 14 each have their own.  The newest do not fit
in a message of an x86_64 kernel, which cannot post them at all.
"""

from typing import Annotated, ClassVar, Final

from kevmond.events import names
from kevmond.events.event import Severity
from kevmond.events.kinds import Code, Family, Variant
from kevmond.events.wire import I32, U16, U16_BE, U32, At, C, Enum, Flags, Part, WirePayload
from kevmond.events.wire_net import UUID, In4or6
from kevmond.events.wire_text import TIMEVAL32, CountedBytes, Text


class WakePacket156(WirePayload):
    """A wake that was traced to a process with an offloaded port (macOS 12)."""

    SIZE: ClassVar[int] = 156
    C_STRUCT: ClassVar[str] = "net_port_info_wake_event"
    HEADER: ClassVar[str] = "bsd/net/if_ports_used.h"

    wake_uuid: Annotated[str | None, UUID]
    """UUID of the wake."""
    received_at: Annotated[str | None, TIMEVAL32, C("wake_pkt_timestamp")] = None
    """When the packet came."""
    if_index: Annotated[int, U16, C("wake_pkt_if_index")]
    """Index of the interface it came in on."""
    local_port: Annotated[int, U16_BE, C("wake_pkt_port")]
    """Local port."""
    flags: Annotated[tuple[str, ...], Flags(U16, names.NPIF), C("wake_pkt_flags")]
    """What is known of the flow."""
    owner_pid: Annotated[int, I32, C("wake_pkt_owner_pid")]
    """Process that owns the port."""
    effective_pid: Annotated[int, I32, C("wake_pkt_effective_pid")]
    """Process it acts for."""
    owner_name: Annotated[str, Text(17), C("wake_pkt_owner_pname")]
    """Name of the owner, perhaps cut."""
    effective_name: Annotated[str, Text(17), C("wake_pkt_effective_pname")]
    """Name of the effective process, perhaps cut."""
    owner_uuid: Annotated[str | None, UUID, C("wake_pkt_owner_uuid")] = None
    """UUID of the owner's executable."""
    effective_uuid: Annotated[str | None, UUID, C("wake_pkt_effective_uuid")] = None
    """UUID of the effective process's executable."""
    remote_port: Annotated[int, U16_BE, C("wake_pkt_foreign_port")]
    """Remote port."""
    local_address: Annotated[
        str | None, In4or6(flags="flags", scope="local_scope"), C("wake_pkt_local_addr_")
    ] = None
    """Local address."""
    local_scope: Annotated[int | None, Part("local_address")] = None
    """Index of the interface that a link-local address belongs to."""
    remote_address: Annotated[
        str | None, In4or6(flags="flags", scope="remote_scope"), C("wake_pkt_foreign_addr_")
    ] = None
    """Remote address."""
    remote_scope: Annotated[int | None, Part("remote_address")] = None
    """Index of the interface that a link-local address belongs to."""
    if_name: Annotated[str, Text(16), C("wake_pkt_ifname")]
    """BSD name of the interface, unit included."""

    def interface_name(self) -> str | None:
        """BSD name of the interface the packet came in on."""
        return self.if_name or None


class WakePacket168(WakePacket156):
    """The same on macOS 13, with lengths and control flags."""

    SIZE: ClassVar[int] = 168

    packet_length: Annotated[int, U32, C("wake_pkt_total_len")]
    """Length of the packet, bytes."""
    data_length: Annotated[int, U32, C("wake_pkt_data_len")]
    """Length behind the transport header, bytes."""
    control_flags: Annotated[
        tuple[str, ...], Flags(U16, names.NPICF), C("wake_pkt_control_flags")
    ] = ()
    """TCP flags, and whether the packet should not have woken the system."""


class WakePacket(WakePacket168):
    """A wake that was traced to a process with an offloaded port."""

    SIZE: ClassVar[int] = 208

    inner_family: Annotated[str, Enum(U32, names.IFNET_FAMILY), C("wake_pkt_if_info.npi_if_family")]
    """Innermost interface: family."""
    inner_subfamily: Annotated[
        str, Enum(U32, names.IF_SUBFAMILY), C("wake_pkt_if_info.npi_if_subfamily")
    ]
    """Innermost interface: subfamily."""
    inner_functional_type: Annotated[
        str, Enum(U32, names.IF_FUNCTIONAL_TYPE), C("wake_pkt_if_info.npi_if_functional_type")
    ]
    """Innermost interface: what it is for."""
    physical_if_name: Annotated[str, Text(16), C("wake_pkt_phy_ifname")]
    """BSD name of the physical interface."""
    physical_family: Annotated[
        str, Enum(U32, names.IFNET_FAMILY), C("wake_pkt_phy_if_info.npi_if_family")
    ]
    """Physical interface: family."""
    physical_subfamily: Annotated[
        str, Enum(U32, names.IF_SUBFAMILY), C("wake_pkt_phy_if_info.npi_if_subfamily")
    ]
    """Physical interface: subfamily."""
    physical_functional_type: Annotated[
        str,
        Enum(U32, names.IF_FUNCTIONAL_TYPE),
        C("wake_pkt_phy_if_info.npi_if_functional_type"),
    ]
    """Physical interface: what it is for."""


class UnattributedWake188(WirePayload):
    """A wake that could not be traced to a process (macOS 12)."""

    SIZE: ClassVar[int] = 188
    C_STRUCT: ClassVar[str] = "net_port_info_una_wake_event"
    HEADER: ClassVar[str] = "bsd/net/if_ports_used.h"
    RESERVED: ClassVar[dict[str, tuple[int, int]]] = {"_una_wake_pkt_reserved": (28, 2)}

    wake_uuid: Annotated[str | None, UUID, C("una_wake_uuid")]
    """UUID of the wake."""
    received_at: Annotated[str | None, TIMEVAL32, C("una_wake_pkt_timestamp")] = None
    """When the packet came."""
    if_index: Annotated[int, U16, C("una_wake_pkt_if_index")]
    """Index of the interface it came in on."""
    flags: Annotated[tuple[str, ...], Flags(U16, names.NPIF), C("una_wake_pkt_flags")]
    """What is known of the flow."""
    captured_length: Annotated[int, U16, At(30), C("una_wake_ptk_len")]
    """Bytes in `packet`; at most 102."""
    packet: Annotated[str, CountedBytes(102, count="captured_length"), C("una_wake_pkt")]
    """First bytes of the packet, hex."""
    local_port: Annotated[int, U16_BE, C("una_wake_pkt_local_port")]
    """Local port."""
    remote_port: Annotated[int, U16_BE, C("una_wake_pkt_foreign_port")]
    """Remote port."""
    local_address: Annotated[
        str | None, In4or6(flags="flags", scope="local_scope"), C("una_wake_pkt_local_addr_")
    ] = None
    """Local address."""
    local_scope: Annotated[int | None, Part("local_address")] = None
    """Index of the interface that a link-local address belongs to."""
    remote_address: Annotated[
        str | None, In4or6(flags="flags", scope="remote_scope"), C("una_wake_pkt_foreign_addr_")
    ] = None
    """Remote address."""
    remote_scope: Annotated[int | None, Part("remote_address")] = None
    """Index of the interface that a link-local address belongs to."""
    if_name: Annotated[str, Text(16), C("una_wake_pkt_ifname")]
    """BSD name of the interface, unit included."""

    def interface_name(self) -> str | None:
        """BSD name of the interface the packet came in on."""
        return self.if_name or None


class UnattributedWake200(UnattributedWake188):
    """The same on macOS 13, with lengths, control flags and protocol."""

    SIZE: ClassVar[int] = 200

    packet_length: Annotated[int, U32, C("una_wake_pkt_total_len")]
    """Length of the packet, bytes."""
    data_length: Annotated[int, U32, C("una_wake_pkt_data_len")]
    """Length behind the transport header, bytes."""
    control_flags: Annotated[
        tuple[str, ...], Flags(U16, names.NPICF), C("una_wake_pkt_control_flags")
    ] = ()
    """TCP flags, and whether the packet should not have woken the system."""
    ip_protocol: Annotated[int, U16, C("una_wake_pkt_proto")]
    """IP protocol number of an IPv4 or IPv6 packet."""


class UnattributedWake(UnattributedWake200):
    """A wake that could not be traced to a process."""

    SIZE: ClassVar[int] = 240

    inner_family: Annotated[
        str, Enum(U32, names.IFNET_FAMILY), C("una_wake_pkt_if_info.npi_if_family")
    ]
    """Innermost interface: family."""
    inner_subfamily: Annotated[
        str, Enum(U32, names.IF_SUBFAMILY), C("una_wake_pkt_if_info.npi_if_subfamily")
    ]
    """Innermost interface: subfamily."""
    inner_functional_type: Annotated[
        str,
        Enum(U32, names.IF_FUNCTIONAL_TYPE),
        C("una_wake_pkt_if_info.npi_if_functional_type"),
    ]
    """Innermost interface: what it is for."""
    physical_if_name: Annotated[str, Text(16), C("una_wake_pkt_phy_ifname")]
    """BSD name of the physical interface."""
    physical_family: Annotated[
        str, Enum(U32, names.IFNET_FAMILY), C("una_wake_pkt_phy_if_info.npi_if_family")
    ]
    """Physical interface: family."""
    physical_subfamily: Annotated[
        str, Enum(U32, names.IF_SUBFAMILY), C("una_wake_pkt_phy_if_info.npi_if_subfamily")
    ]
    """Physical interface: subfamily."""
    physical_functional_type: Annotated[
        str,
        Enum(U32, names.IF_FUNCTIONAL_TYPE),
        C("una_wake_pkt_phy_if_info.npi_if_functional_type"),
    ]
    """Physical interface: what it is for."""


_WAKE: Final = (
    Variant(WakePacket, first=23),
    Variant(WakePacket168, first=22, last=22),
    Variant(WakePacket156, first=21, last=21),
)
_UNATTRIBUTED_WAKE: Final = (
    Variant(UnattributedWake, first=23),
    Variant(UnattributedWake200, first=22, last=22),
    Variant(UnattributedWake188, first=21, last=21),
)


FAMILY: Final = Family(
    1,
    14,
    (
        Code(
            1,
            "wake-packet",
            "KEV_POWER_WAKE_PACKET",
            "A wake was traced to a process with an offloaded port.",
            _WAKE,
            xnu="xnu-8019.41.5",
            macos="12",
            severity=Severity.NOTICE,
            posted_by="bsd/net/if_ports_used.c:deliver_attributed_wake_packet_event",
        ),
        Code(
            2,
            "unattributed-wake",
            "KEV_POWER_UNATTRIBUTED_WAKE",
            "A wake packet could not be traced to a process.",
            _UNATTRIBUTED_WAKE,
            xnu="xnu-8019.41.5",
            macos="12",
            severity=Severity.NOTICE,
            posted_by="bsd/net/if_ports_used.c:deliver_unattributed_wake_packet_event",
        ),
    ),
)

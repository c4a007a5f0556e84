"""IPv4 addresses, ARP and port conflicts (netinet/in_var.h)."""

from typing import Annotated, ClassVar, Final

from kevmond.events.event import Severity
from kevmond.events.kinds import Code, Family
from kevmond.events.payloads.link import LinkEvent
from kevmond.events.wire import U16, U32, C, WirePayload
from kevmond.events.wire_link import Counted
from kevmond.events.wire_net import IN4, IN4_HOST


class Ipv4Address(LinkEvent):
    """An IPv4 address of an interface.

    The kernel keeps four of these in host order and three in network order; all are shown as
    usual.  0.0.0.0 stands where there is none.
    """

    SIZE: ClassVar[int] = 52
    C_STRUCT: ClassVar[str] = "kev_in_data"
    HEADER: ClassVar[str] = "bsd/netinet/in_var.h"

    address: Annotated[str, IN4, C("ia_addr")]
    """The address."""
    class_network: Annotated[str, IN4_HOST, C("ia_net")]
    """Network by the address's class (A, B, C), which says little today."""
    class_mask: Annotated[str, IN4_HOST, C("ia_netmask")]
    """Mask by the address's class: not the one that is configured."""
    subnet: Annotated[str, IN4_HOST, C("ia_subnet")]
    """Subnet."""
    subnet_mask: Annotated[str, IN4_HOST, C("ia_subnetmask")]
    """The mask that is configured."""
    broadcast: Annotated[str, IN4, C("ia_netbroadcast")]
    """Broadcast address."""
    destination: Annotated[str, IN4, C("ia_dstaddr")]
    """Peer of a point-to-point link, or the broadcast address."""


class ArpCollision(LinkEvent):
    """Another host that uses one of our addresses.

    The link-layer address begins right behind its length, at an odd offset, and three bytes of
    filler end the payload: it is as long as the link-layer address wants.
    """

    SIZE: ClassVar[int] = 32
    C_STRUCT: ClassVar[str] = "kev_in_collision"
    HEADER: ClassVar[str] = "bsd/netinet/in_var.h"

    address: Annotated[str, IN4, C("ia_ipaddr")]
    """The address that both use."""
    hardware_address: Annotated[str | None, Counted(filler=3), C("hw_len")] = None
    """Link-layer address of the other host; Ethernet has 6 bytes, the kernel gives at most 10."""


class PortInUse(WirePayload):
    """A bind to a port whose owner asked to be told of conflicts."""

    SIZE: ClassVar[int] = 16
    C_STRUCT: ClassVar[str] = "kev_in_portinuse"
    HEADER: ClassVar[str] = "bsd/netinet/in_var.h"
    RESERVED: ClassVar[dict[str, tuple[int, int]]] = {"reserved": (8, 8)}

    port: Annotated[int, U16]
    """Local port; the kernel gives it in host order here."""
    pid: Annotated[int, U32, C("req_pid")]
    """Process that tried to bind."""


class ArpFailure(LinkEvent):
    """The interface whose router ARP cannot resolve."""

    C_STRUCT: ClassVar[str] = "kev_in_arpfailure"
    HEADER: ClassVar[str] = "bsd/netinet/in_var.h"


class ArpAlive(LinkEvent):
    """The interface whose router ARP resolved again."""

    C_STRUCT: ClassVar[str] = "kev_in_arpalive"
    HEADER: ClassVar[str] = "bsd/netinet/in_var.h"


FAMILY: Final = Family(
    1,
    1,
    (
        Code(
            1,
            "new-addr",
            "KEV_INET_NEW_ADDR",
            "An IPv4 address was added to an interface.",
            Ipv4Address,
            xnu="xnu-123.5",
            macos="10.0",
            posted_by="bsd/netinet/in.c:inctl_ifaddr",
        ),
        Code(
            2,
            "changed-addr",
            "KEV_INET_CHANGED_ADDR",
            "An existing IPv4 address had its settings (such as mask) changed without a "
            "new host part.",
            Ipv4Address,
            xnu="xnu-123.5",
            macos="10.0",
            posted_by="bsd/netinet/in.c:inctl_ifaddr",
        ),
        Code(
            3,
            "addr-deleted",
            "KEV_INET_ADDR_DELETED",
            "An IPv4 address was removed (the header comment says IPv6 by mistake).",
            Ipv4Address,
            xnu="xnu-123.5",
            macos="10.0",
            posted_by="bsd/netinet/in.c:inctl_ifaddr",
        ),
        Code(
            4,
            "dstaddr-set",
            "KEV_INET_SIFDSTADDR",
            "The point-to-point destination address was set.",
            Ipv4Address,
            xnu="xnu-123.5",
            macos="10.0",
            posted_by="bsd/netinet/in.c:inctl_ifdstaddr",
        ),
        Code(
            5,
            "brdaddr-set",
            "KEV_INET_SIFBRDADDR",
            "The broadcast address was set.",
            Ipv4Address,
            xnu="xnu-123.5",
            macos="10.0",
            posted_by="bsd/netinet/in.c:inctl_ifbrdaddr",
        ),
        Code(
            6,
            "netmask-set",
            "KEV_INET_SIFNETMASK",
            "The netmask was set.",
            Ipv4Address,
            xnu="xnu-123.5",
            macos="10.0",
            posted_by="bsd/netinet/in.c:inctl_ifnetmask",
        ),
        Code(
            7,
            "arp-collision",
            "KEV_INET_ARPCOLLISION",
            "Another host answered for one of our IPv4 addresses.",
            ArpCollision,
            xnu="xnu-344.21.73",
            macos="10.2.x",
            severity=Severity.WARNING,
            posted_by="bsd/netinet/in_arp.c:arp_ip_handle_input",
        ),
        Code(
            8,
            "port-in-use",
            "KEV_INET_PORTINUSE",
            "A bind hit a port whose owner asked to be told of conflicts.",
            PortInUse,
            xnu="xnu-1228",
            macos="10.5",
            severity=Severity.NOTICE,
            posted_by="bsd/netinet/in_pcb.c:in_pcb_conflict_post_msg",
        ),
        Code(
            9,
            "arp-router-failure",
            "KEV_INET_ARPRTRFAILURE",
            "ARP could not resolve the router on this link.",
            ArpFailure,
            xnu="xnu-2782.1.97",
            macos="10.10",
            severity=Severity.WARNING,
            posted_by="bsd/netinet/in_arp.c:post_kev_in_arpfailure",
        ),
        Code(
            10,
            "arp-router-alive",
            "KEV_INET_ARPRTRALIVE",
            "ARP resolved the router again after a reported failure.",
            ArpAlive,
            xnu="xnu-2782.1.97",
            macos="10.10",
            severity=Severity.NOTICE,
            posted_by="bsd/netinet/in_arp.c:arp_ip_handle_input",
        ),
    ),
)

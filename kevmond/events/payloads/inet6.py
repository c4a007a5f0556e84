"""IPv6 addresses of interfaces (netinet6/in6_var.h)."""

from typing import Annotated, ClassVar, Final

from kevmond.events import names
from kevmond.events.kinds import Code, Family, Variant
from kevmond.events.payloads.link import LinkEvent
from kevmond.events.wire import INFINITE_LIFETIME, U32, C, Flags, NullAt, Part
from kevmond.events.wire_link import MAC
from kevmond.events.wire_net import SockaddrIn6
from kevmond.events.wire_text import Epoch


class Ipv6Address160(LinkEvent):
    """An IPv6 address of an interface, as kernels before OS X 10.10 post it."""

    SIZE: ClassVar[int] = 160
    C_STRUCT: ClassVar[str] = "kev_in6_data"
    HEADER: ClassVar[str] = "bsd/netinet6/in6_var.h"

    address: Annotated[str | None, SockaddrIn6(scope="scope"), C("ia_addr")]
    """The address."""
    scope: Annotated[int | None, Part("address")] = None
    """Index of the interface that a link-local address belongs to; null for any other address."""
    network: Annotated[str | None, SockaddrIn6(scope="network_scope"), C("ia_net")] = None
    """Network part; kernels leave it empty."""
    network_scope: Annotated[int | None, Part("network")] = None
    """Scope of `network`."""
    destination: Annotated[str | None, SockaddrIn6(scope="destination_scope"), C("ia_dstaddr")] = (
        None
    )
    """Peer of a point-to-point link; null where there is none."""
    destination_scope: Annotated[int | None, Part("destination")] = None
    """Scope of `destination`."""
    prefix_mask: Annotated[str | None, SockaddrIn6(), C("ia_prefixmask")] = None
    """Mask of the prefix, written as an address."""
    prefix_length: Annotated[int, U32, C("ia_plen")]
    """Bits of the prefix."""
    flags: Annotated[tuple[str, ...], Flags(U32, names.IN6_IFF), C("ia6_flags")] = ()
    """State of the address; `duplicated` on a new address says that its detection failed."""
    expires_at: Annotated[str | None, Epoch(U32), C("ia_lifetime.ia6t_expire")] = None
    """When the address becomes invalid; null if never."""
    deprecated_at: Annotated[str | None, Epoch(U32), C("ia_lifetime.ia6t_preferred")] = None
    """When it stops to be preferred; null if never."""
    valid_lifetime: Annotated[
        int | None, NullAt(U32, INFINITE_LIFETIME), C("ia_lifetime.ia6t_vltime")
    ] = 0
    """Valid lifetime, seconds; null if infinite."""
    preferred_lifetime: Annotated[
        int | None, NullAt(U32, INFINITE_LIFETIME), C("ia_lifetime.ia6t_pltime")
    ] = 0
    """Preferred lifetime, seconds; null if infinite."""


class Ipv6Address(Ipv6Address160):
    """An IPv6 address of an interface."""

    SIZE: ClassVar[int] = 168

    duplicate_mac: Annotated[str | None, MAC, C("ia_mac")] = None
    """Link-layer address of the host that has the same address, when detection failed; or null."""


_IN6: Final = (Variant(Ipv6Address, first=14), Variant(Ipv6Address160, last=13))


FAMILY: Final = Family(
    1,
    6,
    (
        Code(
            1,
            "new-user-addr",
            "KEV_INET6_NEW_USER_ADDR",
            "A user-configured IPv6 address finished (or failed) duplicate detection: "
            "look at flag IN6_IFF_DUPLICATED.",
            _IN6,
            xnu="xnu-344",
            macos="10.2",
            posted_by="bsd/netinet6/nd6_nbr.c:nd6_dad_timer, nd6_dad_duplicated",
        ),
        Code(
            2,
            "changed-addr",
            "KEV_INET6_CHANGED_ADDR",
            "Reserved for a changed address.",
            _IN6,
            xnu="xnu-344",
            macos="10.2",
            status="defined, no poster in any release looked at",
        ),
        Code(
            3,
            "addr-deleted",
            "KEV_INET6_ADDR_DELETED",
            "An IPv6 address was removed.",
            _IN6,
            xnu="xnu-344",
            macos="10.2",
            posted_by="bsd/netinet6/in6.c:in6_purgeaddr",
        ),
        Code(
            4,
            "new-ll-addr",
            "KEV_INET6_NEW_LL_ADDR",
            "A link-local address was made.",
            _IN6,
            xnu="xnu-344",
            macos="10.2",
            posted_by="bsd/netinet6/in6_ifattach.c:in6_ifattach_linklocal",
        ),
        Code(
            5,
            "new-rtadv-addr",
            "KEV_INET6_NEW_RTADV_ADDR",
            "An address was formed from a router advertisement.",
            _IN6,
            xnu="xnu-344",
            macos="10.2",
            posted_by="bsd/netinet6/nd6_rtr.c:in6_pfx_newpersistaddr",
        ),
        Code(
            6,
            "default-router",
            "KEV_INET6_DEFROUTER",
            "A default router was found.",
            _IN6,
            xnu="xnu-344",
            macos="10.2",
            status="defined, no longer posted",
            last="last posted in xnu-1504 (10.6)",
            posted_by="bsd/netinet6/nd6_rtr.c",
        ),
        Code(
            7,
            "nat64-prefix-request",
            "KEV_INET6_REQUEST_NAT64_PREFIX",
            "The stack asks user space to learn the NAT64 prefix; address fields are zero.",
            _IN6,
            xnu="xnu-4570.1.46",
            macos="10.13",
            status="defined, no longer posted",
            last="last posted in xnu-6153 (10.15); no poster in xnu-7195 or later",
            posted_by="bsd/netinet/mptcp.c:1377 @ xnu-6153 (in6_post_msg with no address)",
        ),
    ),
)

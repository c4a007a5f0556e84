"""Neighbour discovery: router advertisements, neighbours, lifetimes (netinet6/nd6.h)."""

from typing import Annotated, ClassVar, Final

from kevmond.events import names
from kevmond.events.event import Severity
from kevmond.events.kinds import Code, Family, Variant
from kevmond.events.payloads.link import LinkEvent
from kevmond.events.wire import (
    INFINITE_LIFETIME,
    U8,
    U32,
    U64,
    Align,
    C,
    Enum,
    Flags,
    NullAt,
    Part,
    WirePayload,
)
from kevmond.events.wire_link import CountedAddress
from kevmond.events.wire_net import In6, SockaddrIn6
from kevmond.events.wire_text import Epoch


class RouterAdvertisement(WirePayload):
    """One prefix of a router advertisement that was taken in; one event for each prefix.

    The interface is told by its index only.  An advertisement that leaves no prefix in the list
    gives no event.
    """

    SIZE: ClassVar[int] = 104
    C_STRUCT: ClassVar[str] = "kev_nd6_ra_data"
    HEADER: ClassVar[str] = "bsd/netinet6/nd6.h"
    RESERVED: ClassVar[dict[str, tuple[int, int]]] = {"prefix.pad": (92, 4), "pad": (96, 4)}

    mtu: Annotated[int, U32] = 0
    """MTU of the link, bytes; only if `valid` has `mtu`."""
    list_index: Annotated[int, U32] = 0
    """Place of this prefix in the list, from 0."""
    list_length: Annotated[int, U32]
    """Prefixes in the list."""
    valid: Annotated[tuple[str, ...], Flags(U32, names.ND6_RA_VALID), C("flags")]
    """Which parts mean anything."""
    prefix: Annotated[str | None, SockaddrIn6(scope="prefix_scope"), Align(8), C("prefix.prefix")]
    """The prefix that was advertised."""
    prefix_scope: Annotated[int | None, Part("prefix")] = None
    """Index of the interface that a link-local prefix belongs to; null for any other."""
    prefix_options: Annotated[
        tuple[str, ...], Flags(U8, names.RA_PREFIX_BITS), C("prefix.raflags")
    ] = ()
    """Bits of the prefix option."""
    prefix_length: Annotated[int, U32, C("prefix.prefixlen")]
    """Bits of the prefix."""
    origin: Annotated[str, Enum(U32, names.ND_PREFIX_ORIGIN), C("prefix.origin")] = "ra"
    """Where the prefix comes from."""
    valid_lifetime: Annotated[int | None, NullAt(U64, INFINITE_LIFETIME), C("prefix.vltime")]
    """Valid lifetime, seconds; null if infinite."""
    preferred_lifetime: Annotated[int | None, NullAt(U64, INFINITE_LIFETIME), C("prefix.pltime")]
    """Preferred lifetime, seconds; null if infinite."""
    expires_at: Annotated[str | None, Epoch(U64), C("prefix.expire")] = None
    """When the prefix becomes invalid; null if never."""
    prefix_state: Annotated[tuple[str, ...], Flags(U32, names.NDPRF), C("prefix.flags")] = ()
    """State of the prefix in the kernel's list."""
    references: Annotated[int, U32, C("prefix.refcnt")] = 0
    """Addresses made from the prefix."""
    if_index: Annotated[int, U32, C("prefix.if_index")]
    """Index of the interface."""


class RouterAddress(WirePayload):
    """What stood in front of a router advertisement before macOS 10.13."""

    router_link_address: Annotated[str | None, CountedAddress(64), C("lladdr")] = None
    """Link-layer address of the router."""


class RouterAdvertisement176(RouterAdvertisement, RouterAddress):
    """The same before macOS 10.13, with the router's link-layer address in front.

    pydantic puts the fields of the last base class first, and so did C.
    """

    SIZE: ClassVar[int] = 176
    RESERVED: ClassVar[dict[str, tuple[int, int]]] = {"prefix.pad": (164, 4), "pad": (168, 4)}


class NeighbourFailure(LinkEvent):
    """The interface whose default router does not answer neighbour resolution."""

    C_STRUCT: ClassVar[str] = "kev_nd6_ndfailure"
    HEADER: ClassVar[str] = "bsd/netinet6/nd6.h"


class NeighbourAlive(LinkEvent):
    """The interface whose default router answers again."""

    C_STRUCT: ClassVar[str] = "kev_nd6_ndalive"
    HEADER: ClassVar[str] = "bsd/netinet6/nd6.h"


class AddressState(LinkEvent):
    """A change in the life of an IPv6 address."""

    SIZE: ClassVar[int] = 44
    C_STRUCT: ClassVar[str] = "kev_nd6_event"
    HEADER: ClassVar[str] = "bsd/netinet6/nd6.h"

    address: Annotated[str, In6(scope="scope"), C("in6_address")]
    """The address."""
    scope: Annotated[int | None, Part("address")] = None
    """Index of the interface that a link-local address belongs to; null for any other address."""
    value: Annotated[int, U32, C("val")] = 0
    """Means nothing for this event."""


class RouterExpired(LinkEvent):
    """A default router whose lifetime ended."""

    SIZE: ClassVar[int] = 44
    C_STRUCT: ClassVar[str] = "kev_nd6_event"
    HEADER: ClassVar[str] = "bsd/netinet6/nd6.h"

    router: Annotated[str, In6(scope="scope"), C("in6_address")]
    """Address of the router."""
    scope: Annotated[int | None, Part("router")] = None
    """Index of the interface that a link-local address belongs to."""
    lifetime: Annotated[int, U32, C("val")] = 0
    """Lifetime that the router had told, seconds."""


class PrefixExpired(LinkEvent):
    """A prefix whose lifetime ended."""

    SIZE: ClassVar[int] = 44
    C_STRUCT: ClassVar[str] = "kev_nd6_event"
    HEADER: ClassVar[str] = "bsd/netinet6/nd6.h"

    prefix: Annotated[str, In6(scope="scope"), C("in6_address")]
    """The prefix, written as an address."""
    scope: Annotated[int | None, Part("prefix")] = None
    """Index of the interface that a link-local prefix belongs to."""
    value: Annotated[int, U32, C("val")] = 0
    """Means nothing for this event."""


_RA: Final = (Variant(RouterAdvertisement, first=17), Variant(RouterAdvertisement176, last=16))


FAMILY: Final = Family(
    1,
    7,
    (
        Code(
            1,
            "router-advertisement",
            "KEV_ND6_RA",
            "A router advertisement was taken in: one event per prefix in the list (none "
            "when it has no prefix).",
            _RA,
            xnu="xnu-2050.7.9",
            macos="10.8",
            posted_by="bsd/netinet6/nd6.c:nd6_post_msg from nd6_ra_input",
        ),
        Code(
            2,
            "nd-failure",
            "KEV_ND6_NDFAILURE",
            "Neighbour resolution of a default router failed.",
            NeighbourFailure,
            xnu="xnu-3247.1.106",
            macos="10.11",
            severity=Severity.WARNING,
            posted_by="bsd/netinet6/nd6.c:nd6_service_neighbor_cache",
        ),
        Code(
            3,
            "nd-alive",
            "KEV_ND6_NDALIVE",
            "That router is reachable again.",
            NeighbourAlive,
            xnu="xnu-3247.1.106",
            macos="10.11",
            severity=Severity.NOTICE,
            posted_by="bsd/netinet6/nd6_nbr.c:nd6_na_input",
        ),
        Code(
            4,
            "dad-failure",
            "KEV_ND6_DAD_FAILURE",
            "An IPv6 address failed duplicate detection.",
            AddressState,
            xnu="xnu-4570.1.46",
            macos="10.13",
            severity=Severity.WARNING,
            posted_by="bsd/netinet6/in6.c:in6_eventhdlr_callback (from nd6_dad_duplicated)",
        ),
        Code(
            5,
            "dad-success",
            "KEV_ND6_DAD_SUCCESS",
            "Duplicate detection succeeded (reserved).",
            AddressState,
            xnu="xnu-4570.1.46",
            macos="10.13",
            status="defined, no poster in any release looked at",
        ),
        Code(
            6,
            "addr-detached",
            "KEV_ND6_ADDR_DETACHED",
            "An address was judged detached from the link.",
            AddressState,
            xnu="xnu-4570.1.46",
            macos="10.13",
            status="mapping exists, never queued in releases looked at",
            posted_by="bsd/netinet6/in6.c:in6_eventhdlr_callback (no caller queues it)",
        ),
        Code(
            7,
            "addr-deprecated",
            "KEV_ND6_ADDR_DEPRECATED",
            "The preferred lifetime of an address ended.",
            AddressState,
            xnu="xnu-4570.1.46",
            macos="10.13",
            posted_by="bsd/netinet6/in6.c:in6_eventhdlr_callback (from nd6_service_ip6_addr)",
        ),
        Code(
            8,
            "addr-expired",
            "KEV_ND6_ADDR_EXPIRED",
            "An address expired.",
            AddressState,
            xnu="xnu-4570.1.46",
            macos="10.13",
            posted_by="bsd/netinet6/in6.c:in6_eventhdlr_callback (from nd6_service_ip6_addr)",
        ),
        Code(
            9,
            "router-expired",
            "KEV_ND6_RTR_EXPIRED",
            "A default router expired; val is its lifetime.",
            RouterExpired,
            xnu="xnu-4570.1.46",
            macos="10.13",
            severity=Severity.NOTICE,
            posted_by="bsd/netinet6/in6.c:in6_eventhdlr_callback (from "
            "nd6_service_expired_default_router)",
        ),
        Code(
            10,
            "prefix-expired",
            "KEV_ND6_PFX_EXPIRED",
            "A prefix expired; the address field holds the prefix.",
            PrefixExpired,
            xnu="xnu-4570.1.46",
            macos="10.13",
            posted_by="bsd/netinet6/in6.c:in6_eventhdlr_callback (from nd6_service_expired_prefix)",
        ),
    ),
)

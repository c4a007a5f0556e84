"""Hints to processes about their network (net/route_private.h, netinet6/in6_private.h)."""

from typing import Annotated, ClassVar, Final

from kevmond.events import names
from kevmond.events.event import Severity
from kevmond.events.kinds import Code, Family
from kevmond.events.wire import I32, U32, C, Enum, NullAt, WirePayload
from kevmond.events.wire_net import UUID


class ApnFallback(WirePayload):
    """A process that should fall back to another access point of the cellular network."""

    SIZE: ClassVar[int] = 20
    C_STRUCT: ClassVar[str] = "kev_netevent_apnfallbk_data"
    HEADER: ClassVar[str] = "bsd/net/route_private.h"

    effective_pid: Annotated[int, I32, C("epid")]
    """Effective process id."""
    effective_uuid: Annotated[str | None, UUID, C("euuid")] = None
    """UUID of the effective process's executable."""


class Clat46(WirePayload):
    """What happened to IPv4 on a network that has only IPv6."""

    SIZE: ClassVar[int] = 24
    C_STRUCT: ClassVar[str] = "kev_netevent_clat46_data"
    HEADER: ClassVar[str] = "bsd/netinet6/in6_private.h"

    clat46_event: Annotated[str, Enum(U32, names.CLAT46_EVENT), C("clat46_event_code")]
    """What happened."""
    effective_pid: Annotated[int | None, NullAt(I32, 0), C("epid")] = None
    """Effective process id; null where no process is meant."""
    effective_uuid: Annotated[str | None, UUID, C("euuid")] = None
    """UUID of the effective process's executable."""


FAMILY: Final = Family(
    1,
    11,
    (
        Code(
            1,
            "apn-fallback",
            "KEV_NETEVENT_APNFALLBACK",
            "A process should be told to fall back to another APN.",
            ApnFallback,
            xnu="xnu-3789.1.32",
            macos="10.12",
            severity=Severity.NOTICE,
            posted_by="bsd/netinet/in_pcb.c:apn_fallback_trigger",
        ),
        Code(
            2,
            "clat46",
            "KEV_NETEVENT_CLAT46_EVENT",
            "An IPv4 flow on an IPv6-only link, or a failure to make the CLAT46 address.",
            Clat46,
            xnu="xnu-4903.221.2",
            macos="10.14",
            posted_by="bsd/net/nat464_utils.c:in6_clat46_eventhdlr_callback",
        ),
    ),
)

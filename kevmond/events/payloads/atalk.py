"""AppleTalk, until OS X 10.8 (netat/at_var.h there)."""

from typing import Annotated, ClassVar, Final

from kevmond.events.kinds import Code, Family
from kevmond.events.payloads.link import LinkEvent
from kevmond.events.wire import U8, U16, C
from kevmond.events.wire_text import Pascal


class AppleTalkAddress(LinkEvent):
    """An AppleTalk node; zeros where the event is about no node."""

    SIZE: ClassVar[int] = 60
    C_STRUCT: ClassVar[str] = "kev_atalk_data"
    HEADER: ClassVar[str] = "bsd/netat/at_var.h"

    network: Annotated[int, U16, C("node_data")] = 0
    """AppleTalk network, taken to be in host order."""
    node: Annotated[int, U8, C("node_data.node")] = 0
    """AppleTalk node."""


class AppleTalkZone(LinkEvent):
    """The zone of an interface."""

    SIZE: ClassVar[int] = 60
    C_STRUCT: ClassVar[str] = "kev_atalk_data"
    HEADER: ClassVar[str] = "bsd/netat/at_var.h"

    zone: Annotated[str, Pascal(33), C("node_data")]
    """Name of the zone, at most 32 bytes."""


FAMILY: Final = Family(
    1,
    5,
    (
        Code(
            1,
            "enabled",
            "KEV_ATALK_ENABLED",
            "AppleTalk was started; carries the node address.",
            AppleTalkAddress,
            xnu="xnu-344",
            macos="10.2",
            status="removed",
            last="last in xnu-2050 (10.8)",
            posted_by="bsd/netat/*.c:atalk_post_msg",
        ),
        Code(
            2,
            "disabled",
            "KEV_ATALK_DISABLED",
            "AppleTalk was stopped; interface fields are zero.",
            AppleTalkAddress,
            xnu="xnu-344",
            macos="10.2",
            status="removed",
            last="last in xnu-2050 (10.8)",
            posted_by="bsd/netat/*.c:atalk_post_msg",
        ),
        Code(
            3,
            "zone-updated",
            "KEV_ATALK_ZONEUPDATED",
            "The zone of an interface changed; carries the zone.",
            AppleTalkZone,
            xnu="xnu-344",
            macos="10.2",
            status="removed",
            last="last in xnu-2050 (10.8)",
            posted_by="bsd/netat/*.c:atalk_post_msg",
        ),
        Code(
            4,
            "router-up",
            "KEV_ATALK_ROUTERUP",
            "An AppleTalk router appeared.",
            AppleTalkAddress,
            xnu="xnu-344",
            macos="10.2",
            status="removed",
            last="last in xnu-2050 (10.8)",
            posted_by="bsd/netat/*.c:atalk_post_msg",
        ),
        Code(
            5,
            "router-up-invalid",
            "KEV_ATALK_ROUTERUP_INVALID",
            "A router appeared whose net range does not fit.",
            AppleTalkAddress,
            xnu="xnu-344",
            macos="10.2",
            status="removed",
            last="last in xnu-2050 (10.8)",
            posted_by="bsd/netat/*.c:atalk_post_msg",
        ),
        Code(
            6,
            "router-down",
            "KEV_ATALK_ROUTERDOWN",
            "The router went away.",
            AppleTalkAddress,
            xnu="xnu-344",
            macos="10.2",
            status="removed",
            last="last in xnu-2050 (10.8)",
            posted_by="bsd/netat/*.c:atalk_post_msg",
        ),
        Code(
            7,
            "zone-list-changed",
            "KEV_ATALK_ZONELISTCHANGED",
            "The zone list changed.",
            AppleTalkAddress,
            xnu="xnu-344",
            macos="10.2",
            status="removed",
            last="last in xnu-2050 (10.8)",
            posted_by="bsd/netat/*.c:atalk_post_msg",
        ),
    ),
)

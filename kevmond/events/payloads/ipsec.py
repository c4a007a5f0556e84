"""IPsec packets that woke the system (netinet6/ipsec.h until macOS 13)."""

from typing import Annotated, ClassVar, Final

from kevmond.events.event import Severity
from kevmond.events.kinds import Code, Family
from kevmond.events.wire import WirePayload
from kevmond.events.wire_text import Text


class IpsecWake(WirePayload):
    """A wake, by its UUID in text."""

    SIZE: ClassVar[int] = 37
    C_STRUCT: ClassVar[str] = "ipsec_wake_pkt_event_data"
    HEADER: ClassVar[str] = "bsd/netinet6/ipsec.h"

    wake_uuid: Annotated[str, Text(37)]
    """UUID of the wake, as the kernel writes it."""


FAMILY: Final = Family(
    1,
    13,
    (
        Code(
            1,
            "wake-packet",
            "KEV_IPSEC_WAKE_PACKET",
            "First IPsec packet after a wake is available.",
            IpsecWake,
            xnu="xnu-6153.41.3",
            macos="10.15.x",
            severity=Severity.NOTICE,
            status="defined, no longer posted",
            last="last posted in xnu-8796 (13.x)",
            posted_by="bsd/netinet6/ipsec.c:5213 @ xnu-8796.141.3",
        ),
    ),
)

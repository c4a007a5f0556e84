"""Lines of the old IPv4 firewall's log (netinet/ip_fw2.c); its event code is 0."""

from typing import Annotated, ClassVar, Final

from kevmond.events.event import Severity
from kevmond.events.kinds import Code, Family
from kevmond.events.wire import U8, WirePayload
from kevmond.events.wire_text import Text


class IpfwLog(WirePayload):
    """One line of the log; always 101 bytes, whatever the length of the text."""

    SIZE: ClassVar[int] = 101
    C_STRUCT: ClassVar[str] = "two data vectors"
    HEADER: ClassVar[str] = "bsd/netinet/ip_fw2.c"

    priority: Annotated[int, U8]
    """Syslog priority."""
    text: Annotated[str, Text(100)]
    """The line."""


FAMILY: Final = Family(
    1,
    10,
    (
        Code(
            0,
            "ipfw-log",
            "IPFWLOGEVENT",
            "A line logged by the old ipfw firewall (note: event code 0).",
            IpfwLog,
            xnu="xnu-792",
            macos="10.4",
            severity=Severity.NOTICE,
            status="defined, no longer posted",
            last="last in xnu-6153 (10.15)",
            posted_by="bsd/netinet/ip_fw2.c @ xnu-6153",
        ),
    ),
)

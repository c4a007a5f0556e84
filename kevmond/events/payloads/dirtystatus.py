"""Processes becoming dirty or clean, macOS 11 only (sys/kern_memorystatus.h there)."""

from typing import Annotated, ClassVar, Final

from kevmond.events import names
from kevmond.events.event import Severity
from kevmond.events.kinds import Code, Family
from kevmond.events.wire import I32, U32, U64, C, Enum, WirePayload
from kevmond.events.wire_text import Text


class DirtyStatus(WirePayload):
    """A tracked process that became dirty or clean."""

    SIZE: ClassVar[int] = 72
    C_STRUCT: ClassVar[str] = "dirty_status_change_event_t"
    HEADER: ClassVar[str] = "bsd/sys/kern_memorystatus.h"

    pid: Annotated[int, I32, C("dsc_pid")]
    """The process."""
    process_name: Annotated[str, Text(33), C("dsc_process_name")]
    """Its name."""
    change: Annotated[str, Enum(U32, names.DIRTY_STATUS), C("dsc_event_type")]
    """What it became."""
    changed_at: Annotated[int, U64, C("dsc_time")]
    """Time of the change; no public source tells its unit."""
    pages: Annotated[int, U64, C("dsc_pages")]
    """Pages of its footprint."""
    priority: Annotated[int, I32, C("dsc_priority")]
    """Its priority when memory runs short: the lowest go first."""


FAMILY: Final = Family(
    3,
    4,
    (
        Code(
            1,
            "changed",
            "kDirtyStatusChangeNote",
            "A tracked process became dirty or clean.",
            DirtyStatus,
            xnu="xnu-7195.50.7.100.1",
            macos="11",
            severity=Severity.DEBUG,
            status="removed",
            last="last in xnu-7195 (macOS 11)",
            posted_by="bsd/kern/kern_memorystatus_notify.c @ xnu-7195",
        ),
    ),
)

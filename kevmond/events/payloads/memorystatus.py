"""Memory running short, snapshots, frozen processes (kern/kern_memorystatus.c)."""

from typing import Annotated, ClassVar, Final

from kevmond.events import names
from kevmond.events.event import Severity
from kevmond.events.kinds import Code, Family, Variant
from kevmond.events.wire import EVENT_CODE, I32, U32, U64, Flags, Part, WirePayload


class MemoryLevel(WirePayload):
    """Free memory, from Mac OS X 10.6 and 10.7."""

    SIZE: ClassVar[int] = 24
    C_STRUCT: ClassVar[str] = "level and jetsam_kernel_stats_t"
    HEADER: ClassVar[str] = "bsd/kern/kern_memorystatus.c"

    level: Annotated[int, U32]
    """Memory free, percent."""
    free_pages: Annotated[int, U32]
    """Pages free."""
    active_pages: Annotated[int, U32]
    """Pages active."""
    inactive_pages: Annotated[int, U32]
    """Pages inactive."""
    purgeable_pages: Annotated[int, U32]
    """Pages that may be purged."""
    wired_pages: Annotated[int, U32]
    """Pages wired."""


class MemoryLevelInCode(WirePayload):
    """Memory in use, from Mac OS X 10.5, which posted no payload and put it in the event code."""

    SIZE: ClassVar[int] = 0
    C_STRUCT: ClassVar[str] = "none"
    HEADER: ClassVar[str] = "bsd/kern/kern_memorystatus.c"

    used: Annotated[int, Part(EVENT_CODE)]
    """Memory in use, percent."""


class SnapshotReady(WirePayload):
    """A list of memory use is ready to be fetched."""

    SIZE: ClassVar[int] = 8
    C_STRUCT: ClassVar[str] = "size_t"
    HEADER: ClassVar[str] = "bsd/kern/kern_memorystatus.c"

    snapshot_size: Annotated[int, U64]
    """Size of the list, bytes."""


class Freeze(WirePayload):
    """A process that was frozen or resumed."""

    SIZE: ClassVar[int] = 12
    C_STRUCT: ClassVar[str] = "memorystatus_freeze_entry_t"
    HEADER: ClassVar[str] = "bsd/sys/kern_memorystatus_freeze.h"

    pid: Annotated[int, I32]
    """The process."""
    flags: Annotated[tuple[str, ...], Flags(U32, names.FREEZE)]
    """`frozen`, or empty for a process that was resumed."""
    pages: Annotated[int, U32]
    """Pages frozen; 0 on resume."""


class Pressure(WirePayload):
    """A process that is asked to give memory back."""

    SIZE: ClassVar[int] = 4
    C_STRUCT: ClassVar[str] = "pid_t"
    HEADER: ClassVar[str] = "bsd/kern/kern_memorystatus_notify.c"

    pid: Annotated[int, I32]
    """The process."""


_LEVEL: Final = (Variant(MemoryLevel), Variant(MemoryLevelInCode, first=9, last=9, certain=True))

FAMILY: Final = Family(
    3,
    3,
    (
        Code(
            1,
            "level",
            "kMemorystatusLevelNote",
            "Memory level changed.",
            _LEVEL,
            xnu="xnu-1456.1.26",
            macos="10.6",
            severity=Severity.NOTICE,
            status="defined, no longer posted",
            last="last posted in xnu-1699 (10.7)",
            posted_by="bsd/kern/kern_memorystatus.c @ xnu-1456..1699",
        ),
        Code(
            2,
            "snapshot",
            "kMemorystatusSnapshotNote",
            "A jetsam snapshot is ready.",
            SnapshotReady,
            xnu="xnu-1699.22.73",
            macos="10.7",
            severity=Severity.NOTICE,
            posted_by="bsd/kern/kern_memorystatus.c:memorystatus_post_snapshot, "
            "memorystatus_kill_process_sync",
        ),
        Code(
            3,
            "freeze",
            "kMemorystatusFreezeNote",
            "A process was frozen or resumed (called kMemoryStatusHibernationNote in xnu-1699).",
            Freeze,
            xnu="xnu-1699.22.73",
            macos="10.7",
            status="posted on CONFIG_FREEZE kernels only",
            posted_by="bsd/kern/kern_memorystatus_freeze.c:1910; "
            "kern_memorystatus.c:memorystatus_on_resume",
        ),
        Code(
            4,
            "pressure",
            "kMemorystatusPressureNote",
            "A process is asked to react to memory pressure.",
            Pressure,
            xnu="xnu-2050.7.9",
            macos="10.8",
            severity=Severity.WARNING,
            status="function exists, no in-tree caller in xnu-11417",
            posted_by="bsd/kern/kern_memorystatus_notify.c:memorystatus_send_pressure_note (no in- "
            "tree caller)",
        ),
    ),
)

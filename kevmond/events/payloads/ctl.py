"""Kernel controls appearing and going (sys/kern_control.h)."""

from typing import Annotated, ClassVar, Final

from kevmond.events.kinds import Code, Family
from kevmond.events.wire import U32, C, NullAt, WirePayload


class Control(WirePayload):
    """A kernel control, by number."""

    SIZE: ClassVar[int] = 8
    C_STRUCT: ClassVar[str] = "ctl_event_data"
    HEADER: ClassVar[str] = "bsd/sys/kern_control.h"

    control_id: Annotated[int, U32, C("ctl_id")]
    """Number of the control (sc_id)."""
    control_unit: Annotated[int | None, NullAt(U32, 0), C("ctl_unit")] = None
    """Unit; null because the kernel never fills it in."""


FAMILY: Final = Family(
    3,
    2,
    (
        Code(
            1,
            "registered",
            "KEV_CTL_REGISTERED",
            "A kernel control was registered.",
            Control,
            xnu="xnu-344",
            macos="10.2",
            posted_by="bsd/kern/kern_control.c:ctl_post_msg",
        ),
        Code(
            2,
            "deregistered",
            "KEV_CTL_DEREGISTERED",
            "A kernel control was removed.",
            Control,
            xnu="xnu-344",
            macos="10.2",
            posted_by="bsd/kern/kern_control.c:ctl_post_msg",
        ),
    ),
)

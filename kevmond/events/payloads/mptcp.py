"""Multipath TCP (netinet/mptcp_var.h)."""

from typing import Annotated, ClassVar, Final

from kevmond.events.kinds import Code, Family
from kevmond.events.wire import I32, C, WirePayload


class CellularUse(WirePayload):
    """Whether multipath TCP uses the cellular network."""

    SIZE: ClassVar[int] = 4
    C_STRUCT: ClassVar[str] = "kev_mptcp_data"
    HEADER: ClassVar[str] = "bsd/netinet/mptcp_var.h"

    cellular: Annotated[int, I32, C("value")]
    """1 when it began to use cellular, 0 when it stopped."""


FAMILY: Final = Family(
    1,
    12,
    (
        Code(
            1,
            "cellular-use",
            "KEV_MPTCP_CELLUSE",
            "MPTCP began or stopped using cellular.",
            CellularUse,
            xnu="xnu-4570.1.46",
            macos="10.13",
            posted_by="bsd/netinet/mptcp_subr.c:mptcp_post_event",
        ),
    ),
)

"""Network extension control policies (net/necp.h)."""

from typing import Annotated, ClassVar, Final

from kevmond.events.event import Severity
from kevmond.events.kinds import Code, Family
from kevmond.events.wire import U32, WirePayload


class PoliciesChanged(WirePayload):
    """How many policies changed."""

    SIZE: ClassVar[int] = 4
    C_STRUCT: ClassVar[str] = "kev_necp_policies_changed_data"
    HEADER: ClassVar[str] = "bsd/net/necp.h"

    changed_count: Annotated[int, U32]
    """Policies that changed."""


FAMILY: Final = Family(
    1,
    8,
    (
        Code(
            1,
            "policies-changed",
            "KEV_NECP_POLICIES_CHANGED",
            "Network extension control policies were changed.",
            PoliciesChanged,
            xnu="xnu-3247.1.106",
            macos="10.11",
            severity=Severity.DEBUG,
            posted_by="bsd/net/necp.c:necp_post_change_event",
        ),
    ),
)

"""The application firewall; its payload, if it has one, is not public."""

from typing import Final

from kevmond.events.event import Severity
from kevmond.events.kinds import Code, Family

FAMILY: Final = Family(
    7,
    1,
    (
        Code(
            1,
            "state-changed",
            "KEV_NKE_ALF_STATE_CHANGED",
            "The application firewall changed state; xnu itself reacts when it is posted "
            "(macOS only).",
            xnu="xnu-8019.41.5",
            macos="12",
            severity=Severity.NOTICE,
            posted_by="closed application firewall kext; hook in "
            "bsd/kern/kern_event.c:kev_post_msg_internal",
            private=True,
        ),
    ),
)

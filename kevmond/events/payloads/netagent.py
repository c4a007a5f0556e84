"""Network agents (net/network_agent.h)."""

from typing import Annotated, ClassVar, Final

from kevmond.events.event import Severity
from kevmond.events.kinds import Code, Family
from kevmond.events.wire import C, WirePayload
from kevmond.events.wire_net import UUID


class NetworkAgent(WirePayload):
    """A network agent, by its UUID."""

    SIZE: ClassVar[int] = 16
    C_STRUCT: ClassVar[str] = "kev_netagent_data"
    HEADER: ClassVar[str] = "bsd/net/network_agent.h"

    agent_uuid: Annotated[str | None, UUID, C("netagent_uuid")]
    """UUID of the agent."""


FAMILY: Final = Family(
    1,
    9,
    (
        Code(
            1,
            "registered",
            "KEV_NETAGENT_REGISTERED",
            "A network agent was registered.",
            NetworkAgent,
            xnu="xnu-3247.1.106",
            macos="10.11",
            severity=Severity.DEBUG,
            posted_by="bsd/net/network_agent.c:netagent_post_event",
        ),
        Code(
            2,
            "unregistered",
            "KEV_NETAGENT_UNREGISTERED",
            "A network agent was removed.",
            NetworkAgent,
            xnu="xnu-3247.1.106",
            macos="10.11",
            severity=Severity.DEBUG,
            posted_by="bsd/net/network_agent.c:netagent_post_event",
        ),
        Code(
            3,
            "updated",
            "KEV_NETAGENT_UPDATED",
            "A network agent changed its data.",
            NetworkAgent,
            xnu="xnu-3247.1.106",
            macos="10.11",
            severity=Severity.DEBUG,
            posted_by="bsd/net/network_agent.c:netagent_post_event",
        ),
        Code(
            4,
            "updated-interfaces",
            "KEV_NETAGENT_UPDATED_INTERFACES",
            "The interfaces an agent belongs to changed.",
            NetworkAgent,
            xnu="xnu-3247.1.106",
            macos="10.11",
            severity=Severity.DEBUG,
            posted_by="bsd/net/network_agent.c:netagent_post_event",
        ),
    ),
)

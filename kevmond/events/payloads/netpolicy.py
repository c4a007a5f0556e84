"""Processes refused an interface or a network by policy (sys/socket_private.h)."""

from typing import Annotated, ClassVar, Final

from kevmond.events import names
from kevmond.events.event import Severity
from kevmond.events.kinds import Code, Family, Variant
from kevmond.events.wire import I32, U32, U64, At, C, Enum, NullAt, WirePayload
from kevmond.events.wire_net import UUID


class InterfaceDenied(WirePayload):
    """A process that was refused a kind of interface."""

    SIZE: ClassVar[int] = 40
    C_STRUCT: ClassVar[str] = "kev_netpolicy_ifdenied"
    HEADER: ClassVar[str] = "bsd/sys/socket_private.h"

    effective_unique_pid: Annotated[int | None, NullAt(U64, 0), C("ev_data.eupid")] = None
    """Unique id of the effective process; null where the kernel does not fill it in."""
    effective_pid: Annotated[int, U64, C("ev_data.epid")]
    """Effective process id."""
    effective_uuid: Annotated[str | None, UUID, C("ev_data.euuid")] = None
    """UUID of the effective process's executable."""
    functional_type: Annotated[str, Enum(U32, names.IF_FUNCTIONAL_TYPE), C("ev_if_functional_type")]
    """Kind of interface that was refused."""


class InterfaceDenied40(WirePayload):
    """The same from macOS 10.12 to 10.14: as long, with another inside."""

    SIZE: ClassVar[int] = 40
    C_STRUCT: ClassVar[str] = "kev_netpolicy_ifdenied"
    HEADER: ClassVar[str] = "bsd/sys/socket.h"

    effective_unique_pid: Annotated[int | None, NullAt(U64, 0), C("ev_data.eupid")] = None
    """Unique id of the effective process; null where the kernel does not fill it in."""
    effective_pid: Annotated[int, I32, C("ev_data.epid")]
    """Effective process id."""
    effective_uuid: Annotated[str | None, UUID, C("ev_data.euuid")] = None
    """UUID of the effective process's executable."""
    functional_type: Annotated[
        str, Enum(U32, names.IF_FUNCTIONAL_TYPE), At(32), C("ev_if_functional_type")
    ]
    """Kind of interface that was refused."""


class InterfaceDenied32(WirePayload):
    """The same from OS X 10.9 to 10.11, when only cellular could be refused."""

    SIZE: ClassVar[int] = 32
    C_STRUCT: ClassVar[str] = "kev_netpolicy_ifdenied"
    HEADER: ClassVar[str] = "bsd/sys/socket.h"

    effective_unique_pid: Annotated[int | None, NullAt(U64, 0), C("ev_data.eupid")] = None
    """Unique id of the effective process; null where the kernel does not fill it in."""
    effective_pid: Annotated[int, I32, C("ev_data.epid")]
    """Effective process id."""
    effective_uuid: Annotated[str | None, UUID, C("ev_data.euuid")] = None
    """UUID of the effective process's executable."""


class NetworkDenied(WirePayload):
    """A process that was refused a kind of network."""

    SIZE: ClassVar[int] = 40
    C_STRUCT: ClassVar[str] = "kev_netpolicy_netdenied"
    HEADER: ClassVar[str] = "bsd/sys/socket_private.h"

    effective_unique_pid: Annotated[int | None, NullAt(U64, 0), C("ev_data.eupid")] = None
    """Unique id of the effective process; null where the kernel does not fill it in."""
    effective_pid: Annotated[int, U64, C("ev_data.epid")]
    """Effective process id."""
    effective_uuid: Annotated[str | None, UUID, C("ev_data.euuid")] = None
    """UUID of the effective process's executable."""
    network_type: Annotated[str, Enum(U32, names.NETPOLICY_NETWORK_TYPE), C("ev_network_type")]
    """Kind of network that was refused."""


_IF_DENIED: Final = (
    Variant(InterfaceDenied, first=19),
    Variant(InterfaceDenied40, first=16, last=18),
    Variant(InterfaceDenied32, first=13, last=15),
)


FAMILY: Final = Family(
    1,
    3,
    (
        Code(
            1,
            "if-denied",
            "KEV_NETPOLICY_IFDENIED",
            "A process was refused an interface by policy.",
            _IF_DENIED,
            xnu="xnu-2422.1.72",
            macos="10.9",
            severity=Severity.NOTICE,
            posted_by="bsd/kern/uipc_socket2.c:soevent_ifdenied; "
            "bsd/net/necp.c:necp_send_application_interface_denied_event",
        ),
        Code(
            2,
            "if-failed",
            "KEV_NETPOLICY_IFFAILED",
            "An interface wanted by a process could not be brought up (cellular agent).",
            _IF_DENIED,
            xnu="xnu-3789.1.32",
            macos="10.12",
            severity=Severity.NOTICE,
            posted_by="bsd/net/network_agent.c:netagent_send_cellular_failed_event",
        ),
        Code(
            3,
            "net-denied",
            "KEV_NETPOLICY_NETDENIED",
            "A process was refused a kind of network (local, ultra-constrained).",
            NetworkDenied,
            xnu="xnu-7195.50.7.100.1",
            macos="11",
            severity=Severity.NOTICE,
            posted_by="bsd/net/necp.c:necp_send_network_denied_event",
        ),
    ),
)

"""Sockets that asked to be told when they are closed (netinet/in_var.h)."""

from typing import Annotated, ClassVar, Final

from kevmond.events.event import Severity
from kevmond.events.kinds import Code, Family, Variant
from kevmond.events.wire import C, Part, WirePayload
from kevmond.events.wire_net import SockaddrIn6


class SocketClosed(WirePayload):
    """The two ends of a socket that its protocol closed for good."""

    SIZE: ClassVar[int] = 56
    C_STRUCT: ClassVar[str] = "kev_socket_closed"
    HEADER: ClassVar[str] = "bsd/netinet/in_var.h"

    local_address: Annotated[
        str | None,
        SockaddrIn6(scope="local_scope", port="local_port"),
        C("ev_data.kev_sockname"),
    ] = None
    """Local address; null if the socket had none."""
    local_port: Annotated[int | None, Part("local_address")] = None
    """Local port."""
    local_scope: Annotated[int | None, Part("local_address")] = None
    """Index of the interface that a link-local address belongs to."""
    peer_address: Annotated[
        str | None,
        SockaddrIn6(scope="peer_scope", port="peer_port"),
        C("ev_data.kev_peername"),
    ] = None
    """Remote address; null if the socket was not connected."""
    peer_port: Annotated[int | None, Part("peer_address")] = None
    """Remote port."""
    peer_scope: Annotated[int | None, Part("peer_address")] = None
    """Index of the interface that a link-local address belongs to."""


class SocketClosed256(WirePayload):
    """The same before macOS 10.15: too long for a message, so no kernel ever delivered it."""

    SIZE: ClassVar[int] = 256
    C_STRUCT: ClassVar[str] = "kev_socket_closed"
    HEADER: ClassVar[str] = "bsd/netinet/in_var.h"

    local_address: Annotated[
        str | None,
        SockaddrIn6(scope="local_scope", port="local_port", size=128),
        C("ev_data.kev_sockname"),
    ] = None
    """Local address; null if the socket had none."""
    local_port: Annotated[int | None, Part("local_address")] = None
    """Local port."""
    local_scope: Annotated[int | None, Part("local_address")] = None
    """Index of the interface that a link-local address belongs to."""
    peer_address: Annotated[
        str | None,
        SockaddrIn6(scope="peer_scope", port="peer_port", size=128),
        C("ev_data.kev_peername"),
    ] = None
    """Remote address; null if the socket was not connected."""
    peer_port: Annotated[int | None, Part("peer_address")] = None
    """Remote port."""
    peer_scope: Annotated[int | None, Part("peer_address")] = None
    """Index of the interface that a link-local address belongs to."""


_CLOSED: Final = (Variant(SocketClosed, first=19), Variant(SocketClosed256, first=14, last=18))


FAMILY: Final = Family(
    1,
    4,
    (
        Code(
            1,
            "closed",
            "KEV_SOCKET_CLOSED",
            "A socket that asked for it was completely closed by its protocol.",
            _CLOSED,
            xnu="xnu-2782.1.97",
            macos="10.10",
            severity=Severity.DEBUG,
            posted_by="bsd/kern/uipc_socket.c:socket_post_kev_msg_closed",
        ),
    ),
)

"""Payloads of data-link events: interfaces, links, nearby peers (net/if.h, net/if_private.h).

Their codes stand in `dl_codes`.
"""

from typing import Annotated, ClassVar

from pydantic import computed_field

from kevmond.events import names
from kevmond.events.payloads.link import LinkEvent
from kevmond.events.wire import I32, U32, U64, At, C, Enum, NullAt, Part
from kevmond.events.wire_link import SockaddrDl
from kevmond.events.wire_net import SockaddrIn6
from kevmond.events.wire_text import Bytes, Epoch


class ProtocolChange(LinkEvent):
    """A protocol that came to an interface or left it."""

    SIZE: ClassVar[int] = 32
    C_STRUCT: ClassVar[str] = "kev_dl_proto_data"
    HEADER: ClassVar[str] = "bsd/net/if.h"

    protocol: Annotated[str, Enum(U32, names.PROTOCOL_FAMILY), C("proto_family")]
    """Protocol family."""
    remaining: Annotated[int, U32, C("proto_remaining_count")]
    """Protocols attached after the change; at 0 the kernel also marks the interface down."""


class LinkQuality(LinkEvent):
    """A new link quality."""

    SIZE: ClassVar[int] = 28
    C_STRUCT: ClassVar[str] = "kev_dl_link_quality_metric_data"
    HEADER: ClassVar[str] = "bsd/net/if_private.h"

    link_quality_metric: Annotated[int, I32]
    """The metric, 0 to 100; negative values are special."""

    @computed_field  # type: ignore[prop-decorator]
    @property
    def link_quality(self) -> str:
        """The metric in words."""
        return names.LQM.word(self.link_quality_metric)


class NodeAbsence(LinkEvent):
    """A nearby peer that went away."""

    SIZE: ClassVar[int] = 72
    C_STRUCT: ClassVar[str] = "kev_dl_node_absence"
    HEADER: ClassVar[str] = "bsd/net/if_private.h"

    node_address: Annotated[str | None, SockaddrIn6(scope="node_scope"), C("sin6_node_address")]
    """IPv6 address of the peer."""
    node_scope: Annotated[int | None, Part("node_address")] = None
    """Index of the interface that a link-local address belongs to."""
    node_link_address: Annotated[
        str | None,
        SockaddrDl(index="node_link_index", link_type="node_link_type"),
        C("sdl_node_address"),
    ] = None
    """Link-layer address of the peer; null if the kernel gave none."""
    node_link_index: Annotated[int | None, Part("node_link_address")] = None
    """Interface index in the link-layer address; null if the kernel gave none."""
    node_link_type: Annotated[int | None, Part("node_link_address")] = None
    """Interface type in the link-layer address (IFT_ number: 6 is Ethernet)."""


class NodePresence(NodeAbsence):
    """A nearby peer that is reachable."""

    SIZE: ClassVar[int] = 132
    C_STRUCT: ClassVar[str] = "kev_dl_node_presence"

    rssi: Annotated[int | None, NullAt(I32, names.RSSI_UNKNOWN)]
    """Signal strength in dBm; null when the driver does not know it."""
    link_quality_metric: Annotated[int, I32]
    """Link quality of the peer, 0 to 100; negative values are special."""
    node_proximity_metric: Annotated[int, I32]
    """Proximity of the peer, 0 to 100; -1 is unknown."""
    node_service_info: Annotated[str | None, Bytes(48)] = None
    """Opaque bytes from the driver, hex."""

    @computed_field  # type: ignore[prop-decorator]
    @property
    def link_quality(self) -> str:
        """The link quality in words."""
        return names.LQM.word(self.link_quality_metric)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def node_proximity(self) -> str:
        """The proximity in words."""
        return names.NPM.word(self.node_proximity_metric)


class LinkIssues(LinkEvent):
    """Trouble that a driver reported."""

    SIZE: ClassVar[int] = 72
    C_STRUCT: ClassVar[str] = "kev_dl_issues"
    HEADER: ClassVar[str] = "bsd/net/if_private.h"

    module_id: Annotated[str | None, Bytes(20), C("modid")] = None
    """Opaque id of the reporting module, hex."""
    reported_at: Annotated[str | None, Epoch(U64), C("timestamp")] = None
    """When it was reported."""
    info: Annotated[str | None, Bytes(12)] = None
    """Opaque argument, hex; null when none was given."""


class LinkIssues32(LinkEvent):
    """The same from a 32-bit kernel, where a u64 need not lie on 8 bytes."""

    SIZE: ClassVar[int] = 64
    C_STRUCT: ClassVar[str] = "kev_dl_issues (i386)"
    HEADER: ClassVar[str] = "bsd/net/if_private.h"

    module_id: Annotated[str | None, Bytes(20), C("modid")] = None
    """Opaque id of the reporting module, hex."""
    reported_at: Annotated[str | None, Epoch(U64), At(44), C("timestamp")] = None
    """When it was reported."""
    info: Annotated[str | None, Bytes(12)] = None
    """Opaque argument, hex; null when none was given."""


class RrcState(LinkEvent):
    """State of the cellular radio's resource control."""

    SIZE: ClassVar[int] = 28
    C_STRUCT: ClassVar[str] = "kev_dl_rrc_state"
    HEADER: ClassVar[str] = "bsd/net/if_private.h"

    rrc_state: Annotated[int, U32]
    """Whatever the driver gives: no public header defines the values."""


class LowPowerMode(LinkEvent):
    """An interface entering or leaving low power mode."""

    SIZE: ClassVar[int] = 28
    C_STRUCT: ClassVar[str] = "kev_dl_low_power_mode"
    HEADER: ClassVar[str] = "bsd/net/if_private.h"

    low_power: Annotated[str, Enum(I32, names.LOW_POWER_EVENT), C("low_power_event")]
    """On or off."""

"""What happens on control channels, as records of the stream: `control.connected` and so on.

`channel` is the name of the section of the configuration ([control.NAME]), `control` that of the
kernel control.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from kevmond.events.event import Severity
from kevmond.events.own_payload import OwnPayload

CONTROL_PREFIX = "control."
"""What the type of every such record begins with."""


class ControlPayload(OwnPayload):
    """Base: which channel, and which control."""

    channel: str
    """Name of the channel in the configuration."""
    control: str
    """Name of the kernel control, or its number and unit ("id:unit") where it is given so."""


class ControlRegistered(ControlPayload):
    """The kernel control appeared: it is there to be connected to."""

    TYPE: ClassVar[str] = "control.registered"

    control_id: int
    """Its number, which it keeps until it is deregistered."""


class ControlConnected(ControlPayload):
    """The channel is connected."""

    TYPE: ClassVar[str] = "control.connected"
    SEVERITY: ClassVar[Severity] = Severity.NOTICE

    control_id: int
    """Number of the control."""
    unit: int
    """Unit that the kernel gave this connection."""
    stream: bool = False
    """Whether it is a byte stream; else messages."""
    send_space: int | None = None
    """Longest message that can be sent, bytes (SO_SNDBUF)."""
    receive_space: int | None = None
    """What the kernel queues for us, bytes (SO_RCVBUF)."""
    protocol: int | None = None
    """Version of the message protocol the other side speaks; null for a control without one."""
    version: str | None = None
    """Version of the kernel extension, where it tells it."""
    attempts: int = 1
    """Attempts it took."""


class ControlMessage(ControlPayload):
    """A message from the control."""

    TYPE: ClassVar[str] = "control.message"
    SYNTHETIC: ClassVar[bool] = False

    unit: int
    """Unit of the connection it came on."""
    message: str | None = None
    """What kind of message, in the protocol's word; null for a control without a protocol."""
    sequence: int | None = None
    """Its number on this connection, by the sender's count."""
    reply_to: int | None = None
    """Number of our message that it answers; null if none."""
    size: int
    """Bytes of what it carries, the protocol's header not counted."""
    text: str | None = None
    """What it carries, where that is printable UTF-8 text."""
    data: str | None = None
    """Hex of what it carries, where that is not text."""
    fields: dict[str, int | str] | None = None
    """What it carries, by name, where its layout is known."""
    truncated: bool = False
    """Whether `text` or `data` show the beginning only."""


class ControlLoss(ControlPayload):
    """Messages to us were lost within the kernel, because its queue for us was full."""

    TYPE: ClassVar[str] = "control.loss"
    SEVERITY: ClassVar[Severity] = Severity.ERROR

    unit: int
    """Unit of the connection."""
    lost: int
    """Messages lost since the last such record."""
    total: int
    """Messages lost on this connection."""
    detail: str | None = None
    """What a person may want to know or do."""


class ControlGoodbye(ControlPayload):
    """The control asked to be let go of: its kernel extension wants to be unloaded."""

    TYPE: ClassVar[str] = "control.goodbye"
    SEVERITY: ClassVar[Severity] = Severity.NOTICE

    unit: int
    """Unit of the connection."""
    reason: str | None = None
    """Why, in the protocol's word."""


class ControlDisconnected(ControlPayload):
    """The channel is no longer connected."""

    TYPE: ClassVar[str] = "control.disconnected"
    SEVERITY: ClassVar[Severity] = Severity.NOTICE

    unit: int
    """Unit that the connection had."""
    reason: Literal["goodbye", "stopped", "changed", "failed", "deregistered"]
    """Asked to by the control; the daemon stops; its configuration changed; the socket failed; the
    control is gone."""
    messages: int = 0
    """Messages received on this connection."""
    lost: int = 0
    """Messages lost within the kernel on this connection."""
    detail: str | None = None
    """The error, where there was one."""

    def severity(self) -> Severity:
        """Warn of a failure; leaving is news."""
        return Severity.WARNING if self.reason == "failed" else self.SEVERITY


class ControlDeregistered(ControlPayload):
    """The kernel control is gone."""

    TYPE: ClassVar[str] = "control.deregistered"
    SEVERITY: ClassVar[Severity] = Severity.NOTICE

    control_id: int
    """Number that it had."""


class ControlError(ControlPayload):
    """The channel is in trouble; it goes on trying."""

    TYPE: ClassVar[str] = "control.error"
    SEVERITY: ClassVar[Severity] = Severity.WARNING

    call: str
    """What failed."""
    symbol: str
    """Name of the error (Darwin's errno names)."""
    attempt: int = 0
    """Attempts so far in this outage; the first is told, and each that fails otherwise."""
    detail: str | None = None
    """What a person may want to know or do."""


PAYLOADS: tuple[type[ControlPayload], ...] = (
    ControlRegistered,
    ControlConnected,
    ControlMessage,
    ControlLoss,
    ControlGoodbye,
    ControlDisconnected,
    ControlDeregistered,
    ControlError,
)
"""All of them."""

"""The base of what kevmond itself writes into the stream."""

from __future__ import annotations

from typing import ClassVar

from kevmond.events.event import Payload, Severity


class OwnPayload(Payload):
    """Base of the payloads of kevmond's own records."""

    TYPE: ClassVar[str]
    """The record's type."""
    SEVERITY: ClassVar[Severity] = Severity.INFO
    """Its severity, unless the writer says another."""
    SYNTHETIC: ClassVar[bool] = True
    """Whether kevmond made it up from what it saw, or passes on what something else said."""

    def severity(self) -> Severity:
        """How much this very record matters."""
        return self.SEVERITY

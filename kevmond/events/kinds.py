"""How a family of events is declared: its codes, and the payload layouts of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from kevmond.events.event import Severity

if TYPE_CHECKING:
    from kevmond.events.wire import WirePayload

APPLE: Final = 1
"""KEV_VENDOR_APPLE."""

NOT_PUBLIC: Final = "the payload's layout is not public"

PayloadClass: TypeAlias = "type[WirePayload]"


@dataclass(frozen=True, slots=True)
class Variant:
    """One layout of a payload, and the Darwin releases that post it."""

    payload: PayloadClass
    first: int | None = None
    """First Darwin major release with this layout; None if always."""
    last: int | None = None
    """Last Darwin major release with it; None if still."""
    certain: bool = False
    """True if it may be assumed only where the release is known and posts it."""

    def posted_by(self, darwin: int) -> bool:
        """Tell whether a Darwin major release posts this layout."""
        return (self.first is None or darwin >= self.first) and (
            self.last is None or darwin <= self.last
        )


@dataclass(frozen=True, slots=True)
class Code:
    """One event code, as a family declares it."""

    number: int
    word: str
    macro: str
    description: str
    payload: PayloadClass | tuple[Variant, ...] | None = None
    """The layout, or its variants, newest first; None if none is known."""
    xnu: str = ""
    """First xnu tag that defines it."""
    macos: str = ""
    """About the first macOS release with it."""
    severity: Severity = Severity.INFO
    status: str = "posted"
    """"posted", or why it is not."""
    last: str = ""
    """The last release that posts it, where it is history."""
    posted_by: str = ""
    """Where XNU posts it."""
    private: bool = False
    """True if the layout is not public."""
    alias: str = ""
    """An older macro of the same number."""


@dataclass(frozen=True, slots=True)
class Family:
    """All codes of one subclass."""

    kev_class: int
    subclass: int
    codes: tuple[Code, ...]


@dataclass(frozen=True, slots=True)
class EventKind:
    """Everything known about one vendor, class, subclass and code."""

    vendor: int
    kev_class: int
    subclass: int
    code: int
    vendor_name: str
    class_name: str
    subclass_name: str
    code_name: str
    class_macro: str
    subclass_macro: str
    macro: str
    alias: str
    type: str
    severity: Severity
    description: str
    status: str
    since: str
    last: str
    posted_by: str
    private: bool
    """True if events carry bytes whose layout is not public."""
    variants: tuple[Variant, ...]
    """Layouts of the payload, newest first; empty if there is none."""

    @property
    def payload(self) -> PayloadClass | None:
        """The newest layout, which is what a current kernel posts."""
        return self.variants[0].payload if self.variants else None

    @property
    def key(self) -> tuple[int, int, int, int]:
        """Vendor, class, subclass, code."""
        return (self.vendor, self.kev_class, self.subclass, self.code)

"""Which events somebody asks for: the filter language, shorthands, and text to be found in them.

The rules of a filter let kevmond's own records pass, as everywhere, so that no loss is hidden by
accident.  The shorthands (`interface`, `types`) and the text are exact: an own record has to fit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kevmond.events.filter_terms import compile_term
from kevmond.events.filters import EventFilter

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kevmond.events.event import Event, Record

    Test = Callable[[int | None, str | None], bool]


class Condition:
    """What an event has to be; all parts hold together."""

    def __init__(
        self,
        rules: Sequence[str] = (),
        *,
        interface: str = "",
        types: str = "",
        text: str = "",
    ) -> None:
        """Take rules as text, of which one has to match; FilterError tells what is wrong.

        `interface` and `types` are values, or lists of them, of the filter's keys `interface` and
        `type`.  `text` is looked for in the event's JSON line, whatever the case of its letters.
        """
        self.filter = EventFilter(rules)
        self._interface = _only("interface", interface)
        self._type = _only("type", types)
        self._text = text.casefold()
        self.key = (tuple(map(str, self.filter.rules)), interface, types, self._text)
        """Equal for conditions that say the same."""

    @property
    def trivial(self) -> bool:
        """Whether every event fits, so that none has to be decoded to know."""
        return not any(self.key)

    def matches(self, record: Record) -> bool:
        """Tell whether a record's event fits."""
        if self.trivial:
            return True
        event = record.event
        return self.fits(event) and self.filter.matches(event) and self._says(record)

    def fits(self, event: Event) -> bool:
        """Tell whether an event is of the interface and the type that are asked for."""
        if self._interface is not None and not self._interface(None, event.interface):
            return False
        return self._type is None or self._type(None, event.type)

    def __str__(self) -> str:
        rules, interface, types, text = self.key
        parts = [
            " or ".join(rules),
            interface and f"interface={interface}",
            types and f"type={types}",
            text and f"text={text!r}",
        ]
        return "; ".join(part for part in parts if part)

    def _says(self, record: Record) -> bool:
        return not self._text or self._text in record.line.decode().casefold()


def _only(key: str, values: str) -> Test | None:
    """Return the test of one key; None if nothing is asked of it."""
    if not values:
        return None
    (rule,) = EventFilter([{key: values}]).rules
    return compile_term(key, rule.terms[key])

"""One readable line an event, for a person at a terminal.

    08:09:31.123456 notice   network.dl.link-off         en0
    08:09:31.200117 info     network.inet.new-addr       en0    address=192.168.1.20 mask=...

Text that came from elsewhere (a kernel extension's vendor string, an interface's name) is shown so
that it cannot act on the terminal: what is not printable is written as an escape.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel

from kevmond.events.event import Decode, Severity

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from kevmond.events.event import Event, Record

_COLOURS: Final = {
    Severity.DEBUG: "2",
    Severity.INFO: "36",
    Severity.NOTICE: "32",
    Severity.WARNING: "33",
    Severity.ERROR: "31",
    Severity.CRITICAL: "1;31",
}
_IN_INTERFACE: Final = frozenset({"if_family", "if_unit", "if_name"})
"""Fields that the interface's own column tells already."""
_LISTED: Final = 4
_HEX_SHOWN: Final = 64
_OURS: Final = ("kevmond.", "control.")
"""Types of records that are of kevmond's own making by their name already."""
_HEADS_KEPT: Final = 1024
_HEADER_HEX: Final = 48
"""struct kern_event_msg's header in hex: its fields stand in the type."""


class Console:
    """Renders records; colours and short local times on a terminal, whole UTC times elsewhere."""

    def __init__(self, *, colour: bool, short_time: bool) -> None:
        self._colour = colour
        self._short_time = short_time
        self._second = -1
        self._clock = ""
        self._heads: dict[tuple[Severity, str], str] = {}
        self._fields: dict[type[BaseModel], tuple[str, ...]] = {}

    def line(self, record: Record) -> str:
        """Return the line of a record, without newline."""
        return self.shown(record.event, record.wall_ns)

    def shown(self, event: Event, wall_ns: int) -> str:
        """Return the line of what was read at a time in nanoseconds, without newline."""
        return f"{self._time(event, wall_ns)} {self.message(event)}"

    def brief(self, event: Event, wall_ns: int) -> str:
        """Return time, type and interface only; the severity is the type's colour."""
        kind, name = printable(event.type), event.interface
        told = self._paint(kind if name is None else kind.ljust(26), _COLOURS[event.severity])
        line = f"{self._time(event, wall_ns)} {told}"
        return line if name is None else f"{line} {self._paint(printable(name), '35')}"

    def message(self, event: Event) -> str:
        """Return the line without its time."""
        head = self._heads.get((event.severity, event.type))
        if head is None:
            head = self._head(event)
        interface = event.interface
        told = self._details(event)
        if interface is None:
            return f"{head}  {told}" if told else head.rstrip()
        name = printable(interface)
        if not told:
            return f"{head}  {self._paint(name, '35')}"
        return f"{head}  {self._paint(name.ljust(6), '35')} {told}"

    def _time(self, event: Event, wall_ns: int) -> str:
        if not self._short_time:
            return event.time
        second, rest = divmod(wall_ns, 1_000_000_000)
        if second != self._second:
            self._second = second
            self._clock = time.strftime("%H:%M:%S", time.localtime(second))
        return self._paint(f"{self._clock}.{rest // 1000:06d}", "2")

    def _head(self, event: Event) -> str:
        if len(self._heads) >= _HEADS_KEPT:
            self._heads.clear()
        severity = self._paint(event.severity.value.ljust(8), _COLOURS[event.severity])
        kind = self._paint(printable(event.type).ljust(26), "1")
        head = self._heads[event.severity, event.type] = f"{severity} {kind}"
        return head

    def _paint(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._colour else text

    # ------------------------------------------------------------------ what it says

    def _details(self, event: Event) -> str:
        words = [] if event.payload is None else list(self._pairs(event.payload))
        if event.synthetic and not event.type.startswith(_OURS):
            words.append("(synthetic)")
        if event.decode is not Decode.FULL:
            words += self._undecoded(event)
        return " ".join(words)

    def _undecoded(self, event: Event) -> Iterator[str]:
        """Say why decoding stopped, and show the bytes that no field tells."""
        if event.reason is not None and event.decode is not Decode.UNKNOWN:
            yield self._pair("reason", quoted(event.reason))
        if event.extra:
            yield self._pair("extra", shortened(event.extra))
        elif event.payload is None and event.raw is not None:
            rest = event.raw[_HEADER_HEX:]
            if rest:
                yield self._pair("data", shortened(rest))

    def _pairs(self, model: BaseModel) -> Iterator[str]:
        names = self._fields.get(type(model))
        if names is None:
            names = self._fields[type(model)] = _telling(type(model))
        yield from self._told((name, getattr(model, name)) for name in names)
        if model.model_extra:  # of another version's record, known by its JSON only
            yield from self._told(_quoted_names(model.model_extra))

    def _told(self, fields: Iterable[tuple[str, Any]]) -> Iterator[str]:
        for name, value in fields:
            if name not in _IN_INTERFACE and (text := self._value(value)):
                yield self._pair(name, text)

    def _pair(self, name: str, text: str) -> str:
        return f"{self._paint(f'{name}=', '2')}{text}"

    def _value(self, value: Any) -> str:  # noqa: PLR0911 - one answer for each kind of value
        """Return a value as text; "" if it says nothing."""
        match value:
            case None | "":
                return ""
            case str():
                return quoted(value)
            case bool():
                return "yes" if value else "no"
            case int() | float():
                return str(value)
            case BaseModel():
                return f"{{{' '.join(self._pairs(value))}}}"
            case list() | tuple() | set() | frozenset():
                values = list(value)
                more = f",+{len(values) - _LISTED}" if len(values) > _LISTED else ""
                return ",".join(map(self._value, values[:_LISTED])) + more
            case dict():
                return f"{{{' '.join(self._told(_quoted_names(value)))}}}"
            case _:
                return quoted(str(value))


def _quoted_names(fields: Mapping[Any, Any]) -> Iterator[tuple[str, Any]]:
    return ((quoted(str(name)), value) for name, value in fields.items())


def _telling(model: type[BaseModel]) -> tuple[str, ...]:
    """Return the fields to show: all but those that the interface's name is made of."""
    names = [*model.model_fields, *model.model_computed_fields]
    return tuple(name for name in names if name not in _IN_INTERFACE)


def coloured(terminal: bool) -> bool:
    """Whether to colour what goes to a terminal, or to none: NO_COLOR (no-color.org), TERM=dumb."""
    return terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def printable(text: str) -> str:
    """Return text that acts on no terminal: control, format and private characters escaped."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii")
        for char in text
    )


def quoted(text: str) -> str:
    """Return text as one word: as it is where it is one, else in quotes."""
    if text.isprintable() and not _SPECIAL.intersection(text):
        return text
    inner = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{printable(inner)}"'


_SPECIAL: Final = frozenset(' "\\=')


def shortened(text: str) -> str:
    """Return hex cut to what fits a line, with how many bytes were left out."""
    if len(text) <= _HEX_SHOWN:
        return text
    return f"{text[:_HEX_SHOWN]}...(+{(len(text) - _HEX_SHOWN) // 2} bytes)"

"""How events are shown to a person: fields by name, and the bytes they lie in."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Sequence

    from kevmond.events.event import Event
    from kevmond.events.wire import WirePayload

COLOURS: Final[dict[str, dict[str, Any]]] = {
    "debug": {"dim": True},
    "info": {"fg": "green"},
    "notice": {"fg": "cyan"},
    "warning": {"fg": "yellow"},
    "error": {"fg": "red"},
    "critical": {"fg": "red", "bold": True},
}
"""Colour of each severity."""

_ROW: Final = 16
_IN_HEADING: Final = ("if_name", "if_unit")
"""Fields of a payload that the heading shows as one name."""

_HEADER_FIELDS: Final = (
    "total_size",
    "vendor_code",
    "kev_class",
    "kev_subclass",
    "id",
    "event_code",
)


def use_colour() -> bool | None:
    """Return False where NO_COLOR is set (no-color.org); None lets click find out."""
    return False if os.environ.get("NO_COLOR") else None


def printable(text: str) -> str:
    """Text with each character escaped that could do something to a terminal."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def event_lines(event: Event, *, trigger: str | None = None, dump: bool = False) -> Iterator[str]:
    """Show an event as a heading, its payload's fields, and with `dump` every byte of it."""
    heading = [click.style(event.type, bold=True, **COLOURS[event.severity.value])]
    if event.time:
        heading.insert(0, click.style(event.time, dim=True))
    if event.interface is not None:
        heading.append(click.style(printable(event.interface), bold=True))
    heading.append(event.severity.value)
    if event.kernel_id is not None:
        heading.append(f"id {event.kernel_id}")
    if trigger:
        heading.append(click.style(f"({printable(trigger)})", dim=True))
    yield "  ".join(heading)
    if event.reason is not None:
        yield click.style(f"    {event.decode.value}: {printable(event.reason)}", fg="yellow")
    if dump and event.raw is not None:
        yield from _dump(event, bytes.fromhex(event.raw))
    else:
        yield from _fields(event)


def _fields(event: Event) -> Iterator[str]:
    rows: list[tuple[str, Any]] = []
    if event.payload is not None:
        rows += event.payload.model_dump(mode="json").items()
    if event.extra is not None:
        rows.append(("extra", event.extra))
    told = [row for row in rows if row[1] not in (None, []) and row[0] not in _IN_HEADING]
    width = max((len(name) for name, _ in told), default=0)
    for name, value in told:
        yield f"    {name:<{width}}  {_shown(value)}"


def _dump(event: Event, raw: bytes) -> Iterator[str]:
    rows = list(_parts(event, raw))
    width = max((len(name) for _, _, name, _ in rows), default=0)
    for offset, part, name, value in rows:
        for start in range(0, len(part), _ROW):
            piece = part[start : start + _ROW].hex(" ")
            line = f"    {click.style(f'{offset + start:4}', dim=True)}  {piece:<{3 * _ROW}}"
            yield line + (f" {name:<{width}}  {value}".rstrip() if start == 0 else "")


def _parts(event: Event, raw: bytes) -> Iterator[tuple[int, bytes, str, str]]:
    """Offset, bytes, C name and meaning of every stretch of the message, in order."""
    meanings = ("", event.vendor_name, event.class_name, event.subclass_name, "", event.code_name)
    for number, (name, meaning) in enumerate(zip(_HEADER_FIELDS, meanings, strict=True)):
        part = raw[4 * number : 4 * number + 4]
        if part:
            shown = f"{int.from_bytes(part, 'little')} {printable(meaning or '')}"
            yield 4 * number, part, name, shown if len(part) == 4 else "cut off"  # noqa: PLR2004 - u32
    at = 4 * len(_HEADER_FIELDS)
    for start, end, name, value in _payload_parts(event.payload, raw[at:]):
        if at < start:
            yield at, raw[at:start], "", click.style("padding", dim=True)
        yield start, raw[start:end], name, value
        at = end
    if at < len(raw):
        yield at, raw[at:], "", click.style("behind what is known", dim=True)


def _payload_parts(payload: Any, data: bytes) -> Iterator[tuple[int, int, str, str]]:
    from kevmond.events.codec import codec
    from kevmond.events.wire import WirePayload

    if not isinstance(payload, WirePayload):
        return
    values = payload.model_dump(mode="json")
    found = codec(type(payload))
    for slot in found.slots:
        names = (slot.name, *slot.wire.parts())
        told = [f"{name} = {_shown(values[name])}" for name in names if values[name] is not None]
        start = 24 + slot.offset
        varies = not slot.wire.code  # a tail that tells its own length
        length = found.length(data) - slot.offset if varies else slot.wire.size
        yield start, start + length, slot.c_name, ", ".join(told) or f"{slot.name}: none"


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(printable(str(item)) for item in value) or "none"
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_shown(item)}" for key, item in value.items())
    return printable(str(value))


def payload_rows(model: type[WirePayload]) -> Iterator[tuple[int, str, str, str, str]]:
    """Offset, wire type, C name, name and description of each field of a payload."""
    from kevmond.events.codec import codec
    from kevmond.events.describe import field_docs

    docs = field_docs(model)
    for slot in codec(model).slots:
        yield slot.offset, slot.wire.label, slot.c_name, slot.name, docs.get(slot.name, "")


def table(rows: Sequence[Sequence[str]], *, right: Container[int]) -> Iterator[list[str]]:
    """Pad the cells of rows, headings among them, to columns; those `right` end flush."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield [
            cell.rjust(width) if at in right else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]

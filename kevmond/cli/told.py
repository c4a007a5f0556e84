"""Events as the daemon tells them in JSON, shown as the `log` sink shows them."""

from __future__ import annotations

import datetime as dt
import json
import sys
import time
from typing import TYPE_CHECKING, Any, BinaryIO, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from kevmond.events.event import Event
    from kevmond.sinks.console import Console

    Painter = Callable[[bytes], bytes]
    """Makes a line, without its end, of an event's JSON."""


def painter(*, as_json: bool = False, compact: bool = False, terminal: bool) -> Painter:
    """Return what shows an event: its JSON as it is, or a line as the `log` sink writes it.

    Colours and local times are for terminals; where the day is another than that of the line
    before, or than today at first, a line tells it.  JSON acts on no terminal either.
    """
    if as_json:
        return harmless if terminal else bytes
    from pydantic_core import from_json

    from kevmond.sinks.console import Console, coloured

    console = Console(colour=coloured(terminal), short_time=terminal)
    form = console.brief if compact else console.shown
    day = time.localtime()[:3]

    def paint(line: bytes) -> bytes:
        nonlocal day
        event = event_of(from_json(line))
        wall_ns = _wall_ns(event.time)
        shown = form(event, wall_ns)
        its_day = time.localtime(wall_ns // 10**9)[:3]
        if terminal and its_day != day:
            shown = f"--- {dt.date(*its_day):%A %Y-%m-%d} ---\n{shown}"
            day = its_day
        return shown.encode("utf-8", "backslashreplace")

    return paint


def harmless(line: bytes) -> bytes:
    """Return JSON that says the same, with an escape for each character that is not printable.

    Raw control characters are in no JSON, but DEL, those of ISO 6429's upper half, and those that
    turn the direction of writing may be.
    """
    text = line.decode("utf-8", "replace")
    if text.isprintable():
        return line
    return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in text).encode()


def shown(console: Console, facts: dict[str, Any]) -> str:
    """Return the line of an event's JSON."""
    event = event_of(facts)
    return console.shown(event, _wall_ns(event.time))


def event_of(facts: dict[str, Any]) -> Event:
    """Return the event of its JSON, by a daemon of any version: the payload is taken as it is."""
    from kevmond.events.event import Decode, Event, Severity
    from kevmond.events.revive import OtherPayload

    payload = facts.get("payload")
    severity, decode = facts.get("severity"), facts.get("decode")
    told = {
        "payload": None if payload is None else OtherPayload.model_validate(payload),
        "severity": Severity(severity) if severity in list(Severity) else Severity.INFO,
        "decode": Decode(decode) if decode in list(Decode) else Decode.FULL,
    }
    return Event.model_construct(**{**facts, **told})


def _wall_ns(text: str) -> int:
    """Return nanoseconds since the epoch of a time in RFC 3339, to the microsecond."""
    epoch = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    return (dt.datetime.fromisoformat(text) - epoch) // dt.timedelta(microseconds=1) * 1000


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a person looks at it; nobody does where it is closed."""
    return stream is not None and stream.isatty()


class Out:
    """Standard output, in whole lines, written as they come."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def write(self, lines: Iterable[bytes]) -> None:
        """Write lines at once: whoever reads a pipe sees an event when it happens."""
        data = b"".join([line + b"\n" for line in lines])
        if data:
            self._stream.write(data)
            self._stream.flush()


def standard_output() -> Out | None:
    """Return standard output; None if it is closed, so that nobody can be shown anything."""
    return None if sys.stdout is None else Out(sys.stdout.buffer)

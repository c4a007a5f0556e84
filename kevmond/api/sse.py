"""Server-sent events as bytes (HTML Living Standard, section 9.2), made once for all readers.

JSON has no raw line ends, so each event's data is one line.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kevmond.events.event import Record
    from kevmond.history.condition import Condition

BEAT: Final = b": beat\n\n"
"""A comment: shows that both ends are there."""
KEPT: Final = 4
"""Batches kept for streams that ask for the same."""


class Batch(NamedTuple):
    """Events as they are written."""

    data: bytes
    events: int
    last: int
    """Position of the last event; 0 if there is none."""


def frame(event: str, facts: dict[str, Any], seq: int | None = None) -> bytes:
    """Return one event; `seq` becomes the reader's cursor."""
    head = "" if seq is None else f"id: {seq}\n"
    return f"{head}event: {event}\ndata: {json.dumps(facts)}\n\n".encode()


def encode(records: Sequence[Record]) -> bytes:
    """Return the events of records."""
    return b"".join(
        [b"id: %d\nevent: event\ndata: %b\n\n" % (record.seq, record.line) for record in records]
    )


class Batches:
    """The latest batches: streams that keep up read the same records at the same time."""

    def __init__(self) -> None:
        self._made: OrderedDict[tuple[object, ...], Batch] = OrderedDict()

    def of(self, records: Sequence[Record], condition: Condition) -> Batch:
        """Return what of these records fits a condition, as bytes."""
        key = (records[0].seq, records[-1].seq, len(records), condition.key)
        made = self._made.get(key)
        if made is None:
            if not condition.trivial:
                records = [record for record in records if condition.matches(record)]
            last = records[-1].seq if records else 0
            made = self._made[key] = Batch(encode(records), len(records), last)
            if len(self._made) > KEPT:
                self._made.popitem(last=False)
        return made

    def clear(self) -> None:
        """Let go of them."""
        self._made.clear()

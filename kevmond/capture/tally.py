"""How many messages of which kind were read: counted while reading, understood when asked.

A key is the header of struct kern_event_msg (sys/kern_event.h) without the id, which differs from
message to message; counting a batch takes one call that runs in C.
"""

from __future__ import annotations

import struct
from collections import Counter
from typing import TYPE_CHECKING, Final, NamedTuple

from kevmond.events import catalogue
from kevmond.events.decoder import MALFORMED_TYPE
from kevmond.events.kinds import APPLE
from kevmond.kernel.abi import KEV_MSG_HEADER_SIZE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kevmond.events.kinds import EventKind

    Key = tuple[int, int, int, int, int]

MOST: Final = 1024
"""Distinct keys that are counted apart; the rest is counted together."""

OTHER: Final = "other"
"""Type under which that rest is told."""

_KEY: Final = struct.Struct("<4I4xI")
"""total_size, vendor_code, kev_class, kev_subclass, (id), event_code."""

_LIES: Final = 0
"""Stands for the size of a message that is not as long as it says."""


class Understood(NamedTuple):
    """Messages by how far their header and length let them be understood."""

    known: int
    """Of a kind that the catalogue has."""
    unknown: int
    """Of a kind that it does not have: of a third party, or newer than this version."""
    malformed: int
    """Too short for a header or for their kind's payload, or not as long as they say."""
    unknown_apple: Mapping[str, int]
    """Of the unknown ones, Apple's own by type."""


class Tally:
    """Counts from the start of a run."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._counts: Counter[Key] = Counter()
        self._short = 0
        self._rest = 0

    def count(self, raws: Sequence[bytes], *, sound: bool = True) -> None:
        """Count a batch; `sound` is false if any message in it is not as long as it says."""
        counts = self._counts
        try:
            keys = list(map(_KEY.unpack_from, raws)) if sound else self._keys(raws)
        except struct.error:
            keys = self._keys(raws)
        counts.update(keys)
        while len(counts) > self._most:  # the newest keys come off first
            self._rest += counts.popitem()[1]

    def by_type(self) -> dict[str, int]:
        """Return how many were read of each type, the most frequent first.

        Of one that is too short to have a type it is "malformed", as in the stream.
        """
        found: Counter[str] = Counter()
        for (_, *codes), count in self._counts.items():
            found[catalogue.type_of(*codes)] += count
        found[MALFORMED_TYPE] += self._short
        found[OTHER] += self._rest
        return {name: count for name, count in found.most_common() if count}

    def understood(self) -> Understood:
        """Return how many were of known kinds; the rest that is counted together is unknown."""
        known, unknown, malformed = 0, self._rest, self._short
        strangers: Counter[str] = Counter()
        for (size, *codes), count in self._counts.items():
            kind = catalogue.lookup(*codes)
            if size == _LIES or (kind is not None and size < _shortest(kind)):
                malformed += count
            elif kind is not None:
                known += count
            else:
                unknown += count
                if codes[0] == APPLE:
                    strangers[catalogue.type_of(*codes)] += count
        return Understood(known, unknown, malformed, dict(strangers.most_common()))

    def _keys(self, raws: Sequence[bytes]) -> list[Key]:
        """Return the keys of messages that may be anything."""
        keys = []
        for raw in raws:
            if len(raw) < KEV_MSG_HEADER_SIZE:
                self._short += 1
                continue
            size, *codes = _KEY.unpack_from(raw)
            keys.append((size if size == len(raw) else _LIES, *codes))
        return keys


def _shortest(kind: EventKind) -> int:
    """Return the least length of a message of a kind, header included."""
    sizes = [variant.payload.SIZE for variant in kind.variants if not variant.certain]
    return KEV_MSG_HEADER_SIZE + min(sizes, default=0)

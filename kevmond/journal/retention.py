"""Which records are given up, and when that is looked at.

By age: rows that every durable consumer has acknowledged.  By size: the oldest rows, whoever
still wants them.  Looked at when something is written and only then: no timer of its own.
"""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kevmond.clock import Clock
    from kevmond.journal.batch import Row
    from kevmond.journal.settings import JournalSettings
    from kevmond.journal.store import Store

INTERVAL_NS: Final = 60 * 10**9
"""How often age is looked at while records come in."""
ROW_COST: Final = 64
"""Bytes of a row beside its body."""
PAGE: Final = 4096
"""A body that does not fit into a page ends in one it does not fill."""


class Retention:
    """Decides what to remove; owned by the thread that writes."""

    def __init__(self, settings: JournalSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._looked_ns: int | None = None
        self.used_bytes = 0
        """Size of the database, exact at each look and estimated in between."""

    def added(self, rows: Sequence[Row]) -> None:
        """Count what was inserted."""
        for row in rows:
            size = len(row.body) + ROW_COST
            self.used_bytes += size if size < PAGE else size + PAGE

    @property
    def due(self) -> bool:
        """Tell whether it is time to look."""
        return (
            self._looked_ns is None
            or self.used_bytes > self._settings.max_bytes
            or self._clock.monotonic_ns() - self._looked_ns >= INTERVAL_NS
        )

    def trim(self, store: Store, floor: int | None) -> list[tuple[int, int]]:
        """Remove what must go, within the open transaction; return the positions removed.

        `floor` is the lowest position of a durable consumer, None if there is none.
        """
        self._looked_ns = self._clock.monotonic_ns()
        cutoff_ns = self._clock.wall_ns() - int(self._settings.max_age * 1e9)
        removed: list[tuple[int, int]] = []
        bound = self._settings.max_bytes
        self.used_bytes = store.used_bytes()
        goal = bound if self.used_bytes <= bound else bound - bound // 16
        while True:
            excess = self.used_bytes - goal
            delete_to = None
            rows = store.oldest(256)
            # A row stamped in the future by a wrong clock is as old as what was written after it.
            stamps = accumulate((row[2] for row in reversed(rows)), min)
            ages = list(stamps)[::-1]
            for (first, last, _, size), last_ns in zip(rows, ages, strict=True):
                aged = last_ns < cutoff_ns and (floor is None or last <= floor)
                if not aged and excess <= 0:
                    break
                excess -= size + ROW_COST
                delete_to = first
                removed.append((first, last))
            if delete_to is None:
                return removed
            store.delete_to(delete_to)
            self.used_bytes = store.used_bytes()

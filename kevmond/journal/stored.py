"""Durable consumers as the database knows them: position, and what went out of reach beyond it.

A miss is kept in the same transaction that removes the records, and dropped when the consumer
acknowledges something newer: whatever moment the process dies at, the next one tells it again or
not at all, never wrongly.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kevmond.journal.ranges import Ranges

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Mapping


@dataclass(slots=True)
class _Stored:
    seq: int
    base: int
    """Records missed beyond `seq` in earlier runs, wherever they were."""
    gaps: Ranges = field(default_factory=Ranges)
    """Records gone in this run."""

    @property
    def missed(self) -> int:
        return self.base + self.gaps.count(self.seq + 1)


class StoredCursors:
    """All durable cursors, with the changes that are not in the database yet."""

    def __init__(self, cursors: Mapping[str, tuple[int, int]]) -> None:
        self._cursors = {name: _Stored(seq, missed) for name, (seq, missed) in cursors.items()}
        self.changed: set[str] = set()
        self.forgotten: set[str] = set()

    def copy(self) -> StoredCursors:
        """Return an independent copy without pending changes: what a transaction may spoil."""
        other = StoredCursors({})
        other._cursors = {
            name: _Stored(cursor.seq, cursor.base, cursor.gaps.copy())
            for name, cursor in self._cursors.items()
        }
        return other

    def floor(self) -> int | None:
        """Return the lowest position; None if there is no durable consumer."""
        return min((cursor.seq for cursor in self._cursors.values()), default=None)

    def acknowledge(self, positions: Mapping[str, int]) -> None:
        """Take over positions; new names are new cursors."""
        for name, seq in positions.items():
            cursor = self._cursors.get(name)
            if cursor is None:
                self._cursors[name] = _Stored(seq, 0)
            elif seq > cursor.seq:
                cursor.seq, cursor.base = seq, 0
                cursor.gaps.prune(seq + 1)
            else:
                continue
            self.changed.add(name)
            self.forgotten.discard(name)

    def forget(self, names: Iterable[str]) -> None:
        """Drop cursors."""
        for name in names:
            if self._cursors.pop(name, None) is not None:
                self.changed.discard(name)
                self.forgotten.add(name)

    def lose(self, first: int, last: int, but: Container[str] = ()) -> dict[str, int]:
        """Note that records went out of reach; return who misses how many by that.

        `but`: names that began after it and miss nothing by it.
        """
        misses: dict[str, int] = {}
        for name, cursor in self._cursors.items():
            if cursor.seq < last and name not in but:
                before = cursor.missed
                cursor.gaps.add(max(first, cursor.seq + 1), last)
                misses[name] = cursor.missed - before
                self.changed.add(name)
        return misses

    def adopt(self, cursors: Mapping[str, tuple[int, int]]) -> None:
        """Take over cursors that only the database knew."""
        for name, (seq, missed) in cursors.items():
            self._cursors.setdefault(name, _Stored(seq, missed))

    def everything_changed(self) -> None:
        """Have all of it written: the database may know none."""
        self.changed = set(self._cursors)

    def settled(self) -> None:
        """Note that the database has all of it."""
        self.changed.clear()
        self.forgotten.clear()

    def rows(self, wall_ns: int) -> Iterator[tuple[str, int, int, int]]:
        """Rows for the changed cursors: name, position, missed, wall clock."""
        for name in self.changed:
            cursor = self._cursors[name]
            yield name, cursor.seq, cursor.missed, wall_ns

    def as_mapping(self) -> dict[str, tuple[int, int]]:
        """Name to position and misses, as the database has it."""
        return {name: (cursor.seq, cursor.missed) for name, cursor in self._cursors.items()}

"""Ranges of positions: which records are gone, so that every consumer can count its own misses."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class Ranges:
    """A set of positions as sorted, disjoint, inclusive ranges; neighbours are one range."""

    __slots__ = ("_firsts", "_lasts")

    def __init__(self, ranges: Iterable[tuple[int, int]] = ()) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        for first, last in ranges:
            self.add(first, last)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(zip(self._firsts, self._lasts, strict=True))

    def __len__(self) -> int:
        return len(self._firsts)

    def copy(self) -> Ranges:
        """Return an independent copy."""
        return Ranges(self)

    def add(self, first: int, last: int) -> None:
        """Add the positions from `first` to `last`."""
        # Every range that overlaps this one or touches it becomes part of it.
        begin = bisect_left(self._lasts, first - 1)
        end = bisect_right(self._firsts, last + 1)
        if begin < end:
            first = min(first, self._firsts[begin])
            last = max(last, self._lasts[end - 1])
        self._firsts[begin:end] = [first]
        self._lasts[begin:end] = [last]

    def count(self, first: int, last: int | None = None) -> int:
        """How many positions from `first` to `last` (None: to the end) are in the set."""
        total = 0
        for index in range(bisect_left(self._lasts, first), len(self._firsts)):
            begin, end = max(self._firsts[index], first), self._lasts[index]
            if last is not None:
                if begin > last:
                    break
                end = min(end, last)
            total += end - begin + 1
        return total

    def prune(self, below: int) -> None:
        """Forget whole ranges that end below this position."""
        end = bisect_left(self._lasts, below)
        del self._firsts[:end]
        del self._lasts[:end]

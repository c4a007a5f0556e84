"""Event ids of one boot: which were seen, which are awaited, which are lost.

Mirrors the `id` of struct kern_event_msg (sys/kern_event.h): one u32 counter for the whole
machine, raised once for every event posted, without a lock.  So two posters at once may give one
id twice - the counter is then raised once for both, and no id is missing - or deliver ids out of
order, and the counter wraps; differences are taken as signed.  Inside, ids are unwrapped to plain
integers that only grow.

At every moment  `posted == delivered + lost + awaited`,  exactly.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MASK: Final = 0xFFFFFFFF
_HALF: Final = 0x80000000
_GAPS_AWAITED: Final = 512
_GAPS_REMEMBERED: Final = 256
_DOUBLED_WITHIN: Final = 1024
"""How far behind the highest id read one may lie that two posters got at once; generously."""
BLIND_LEAP: Final = 1 << 20
"""The widest gap that is believed where SIOCGKEVID cannot be asked."""


def signed_difference(later: int, earlier: int) -> int:
    """Distance between two u32 ids, from -2^31 to 2^31 - 1: right across the wrap."""
    return ((later - earlier + _HALF) & MASK) - _HALF


class LostRange(NamedTuple):
    """Ids declared lost, u32, inclusive."""

    first: int
    last: int
    at_end: bool
    """True if nothing later was read: only SIOCGKEVID told of it."""


@dataclass(slots=True)
class Gap:
    """Ids `first` to `last`, unwrapped, that were posted and have not been read."""

    first: int
    last: int
    noted_ns: int
    """Monotonic time at which it was noticed."""
    noted_count: int
    """Messages delivered when it was noticed."""
    unsure: bool = False
    """Posted while the filter was being set: perhaps before it was, and then no loss."""

    def __len__(self) -> int:
        return self.last - self.first + 1


class IdSequence:
    """Accounts for every id posted since `base`.

    `age_ns`: how long a gap is awaited before it counts as lost, once the socket was empty.
    `window`: after how many later messages it does even though the socket is never empty.
    """

    __slots__ = (
        "_age_ns",
        "_awaited",
        "_base",
        "_declared",
        "_excused",
        "_frontier",
        "_highest",
        "_outside",
        "_remembered",
        "_skipped",
        "_window",
        "delivered",
        "duplicates",
        "fresh",
        "late",
        "reordered",
        "strays",
    )

    def __init__(self, base: int, *, age_ns: int, window: int) -> None:
        self._age_ns = age_ns
        self._window = window
        self._base = base
        self._frontier = base  # the highest id known to have been posted
        self._highest = base  # the highest id read
        self._outside = 0  # ids up to the frontier that were never ours to read
        self._declared = 0  # ids declared lost and not come since
        self._excused = 0  # of those, how many are set against a stray
        self._skipped = (base + 1, base)  # the last ids left out, first to last
        self._awaited: list[Gap] = []  # ascending, disjoint
        self._remembered: deque[tuple[int, int]] = deque(maxlen=_GAPS_REMEMBERED)
        self.delivered = 0
        self.duplicates = 0
        """Messages whose id was read before: two events that got one id, each a post of its own."""
        self.late = 0
        """Messages that came after they had been declared lost; `lost` is already corrected."""
        self.reordered = 0
        """Messages that came behind a later one and in time."""
        self.strays = 0
        """Messages without an id that the kernel can have given them: their own id is missing."""
        self.fresh: list[LostRange] = []
        """Ranges declared lost since the owner last emptied this; of very many, the first one and
        the newest."""

    # -- what is known --------------------------------------------------------------------------

    @property
    def last_id(self) -> int:
        """Highest id (u32) known to have been posted."""
        return self._frontier & MASK

    @property
    def awaited(self) -> int:
        """Ids that are missing but may still come."""
        return sum(map(len, self._awaited))

    @property
    def settled(self) -> bool:
        """True if no id is awaited."""
        return not self._awaited

    @property
    def lost(self) -> int:
        """Events that were posted, were ours to read, and did not come."""
        return self._declared - self._excused

    @property
    def posted(self) -> int:
        """Events posted to us since the beginning."""
        ids = self._frontier - self._base - self._outside
        return ids + self.duplicates + self.strays - self._excused

    # -- what is told ---------------------------------------------------------------------------

    def configure(self, *, age_ns: int, window: int) -> None:
        """Take other bounds for what is awaited."""
        self._age_ns, self._window = age_ns, window

    def observe(
        self, ids: Sequence[int | None], now_ns: int, kernel_last: Callable[[], int | None]
    ) -> None:
        """Take the ids of a batch, in the order read; None for a message that has none to trust.

        `kernel_last` answers SIOCGKEVID; it is asked at most once, and only if an id leaps.
        """
        if not ids:
            return
        count = len(ids)
        following = (self._frontier & MASK) + 1
        if ids == list(range(following, following + count)):
            self._frontier += count
            self._highest = self._frontier
            self.delivered += count
        elif not self._fill_in_order(ids):
            self._observe_one_by_one(ids, now_ns, kernel_last)
        if self._awaited:
            self._settle(now_ns, drained=False)

    def expect(self, last_id: int, now_ns: int, *, unsure: bool = False) -> None:
        """Take note that the kernel has posted everything up to `last_id` (SIOCGKEVID)."""
        ahead = signed_difference(last_id, self._frontier & MASK)
        if ahead > 0:
            self._await(self._frontier + 1, self._frontier + ahead, now_ns, unsure=unsure)
            self._frontier += ahead

    def skip(self, last_id: int) -> None:
        """Leave out everything posted up to `last_id`: it was not all ours to read.

        What is read of it nevertheless, because it was queued, counts as posted to us after all.
        """
        ahead = signed_difference(last_id, self._frontier & MASK)
        if ahead > 0:
            first, last = self._skipped
            self._skipped = (
                first if last == self._frontier else self._frontier + 1,
                self._frontier + ahead,
            )
            self._frontier += ahead
            self._outside += ahead

    def drained(self, now_ns: int) -> None:
        """Take note that the socket was found empty at `now_ns`: what has aged is lost."""
        if self._awaited:
            self._settle(now_ns, drained=True)

    def abandon(self, last_id: int) -> None:
        """Declare lost everything up to `last_id` that was not read: its socket is closed."""
        self.expect(last_id, 0)
        gaps, self._awaited = self._awaited, []
        for gap in gaps:
            self._declare(gap)

    # -- inside ---------------------------------------------------------------------------------

    def _fill_in_order(self, ids: Sequence[int | None]) -> bool:
        """Take a whole batch that goes on where the oldest gap begins, if it does.

        That is a queue being read whose last id is known already: the common case in a long burst.
        """
        if not self._awaited:
            return False
        gap, count = self._awaited[0], len(ids)
        begin = gap.first & MASK
        if not self._highest < gap.first or count > len(gap):
            return False
        if ids != list(range(begin, begin + count)):
            return False
        gap.first += count
        self._highest = gap.first - 1
        self.delivered += count
        if not len(gap):
            del self._awaited[0]
        return True

    def _observe_one_by_one(
        self, ids: Sequence[int | None], now_ns: int, kernel_last: Callable[[], int | None]
    ) -> None:
        asked = False
        limit: int | None = None
        for kernel_id in ids:
            self.delivered += 1
            if kernel_id is None:
                self.strays += 1
                continue
            ahead = signed_difference(kernel_id, self._frontier & MASK)
            if ahead <= 0:
                self._place(self._frontier + ahead, now_ns)
                continue
            if ahead > 1:
                if not asked:
                    asked, limit = True, kernel_last()
                if not self._credible(kernel_id, ahead, limit):
                    self.strays += 1
                    continue
                self._await(self._frontier + 1, self._frontier + ahead - 1, now_ns)
            self._frontier += ahead
            self._highest = self._frontier

    @staticmethod
    def _credible(kernel_id: int, ahead: int, limit: int | None) -> bool:
        if limit is None:
            return ahead <= BLIND_LEAP
        return signed_difference(kernel_id, limit) <= 0

    def _place(self, position: int, now_ns: int) -> None:
        """Find what an id at or below the frontier answers."""
        index = bisect_right(self._awaited, position, key=_first) - 1
        if index >= 0 and position <= self._awaited[index].last:
            if position < self._highest:
                self.reordered += 1
            else:
                self._highest = position
            self._fill(index, position, now_ns)
        elif self._recall(position):
            self.late += 1
        elif self._skipped[0] <= position <= self._skipped[1]:
            self._outside -= 1
        elif position < self._highest - _DOUBLED_WITHIN:
            self.strays += 1  # no race explains it
        else:
            self.duplicates += 1

    def _fill(self, index: int, position: int, now_ns: int) -> None:
        gap = self._awaited[index]
        parts: list[Gap] = []
        if gap.first < position:  # only now has something later come, so only now does it age
            parts.append(Gap(gap.first, position - 1, now_ns, self.delivered, gap.unsure))
        if position < gap.last:
            parts.append(Gap(position + 1, gap.last, gap.noted_ns, gap.noted_count, gap.unsure))
        self._awaited[index : index + 1] = parts

    def _recall(self, position: int) -> bool:
        """Take `position` back from the ranges declared lost, as far as they are remembered."""
        for index, (first, last) in enumerate(self._remembered):
            if first <= position <= last:
                del self._remembered[index]
                if position < last:
                    self._remembered.append((position + 1, last))
                if first < position:
                    self._remembered.append((first, position - 1))
                self._declared -= 1
                self._excused = min(self._excused, self._declared)
                return True
        return False

    def _await(self, first: int, last: int, now_ns: int, *, unsure: bool = False) -> None:
        self._awaited.append(Gap(first, last, now_ns, self.delivered, unsure))
        if len(self._awaited) > _GAPS_AWAITED:
            self._declare(self._awaited.pop(0))

    def _settle(self, now_ns: int, *, drained: bool) -> None:
        still: list[Gap] = []
        for gap in self._awaited:
            if (drained and now_ns - gap.noted_ns >= self._age_ns) or (
                gap.last < self._highest and self.delivered - gap.noted_count >= self._window
            ):
                self._declare(gap)
            else:
                still.append(gap)
        self._awaited = still

    def _declare(self, gap: Gap) -> None:
        if gap.unsure:
            self._outside += len(gap)
            return
        size = len(gap)
        self._declared += size
        self._remembered.append((gap.first, gap.last))
        # a stray was posted too, and one of the ids that are missing is really its own
        excused = min(size, self.strays - self._excused)
        self._excused += excused
        if excused < size:
            at_end = gap.last > self._highest
            self.fresh.append(LostRange(gap.first & MASK, gap.last & MASK, at_end))
            if len(self.fresh) > _GAPS_REMEMBERED:
                del self.fresh[1]


def _first(gap: Gap) -> int:
    return gap.first

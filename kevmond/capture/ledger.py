"""The loss ledger: how many events were posted to us, delivered, and lost.

Pure: it reads no clock and makes no call; its owner tells it what was read, what SIOCGKEVID and
the drop counters answered, and when.  What each source proves:

* With an open kernel filter every event of the machine is ours, so ids prove a loss exactly.
* With a narrower one a gap proves nothing; the socket's own drop counter (net.systm.kevt.pcblist,
  SBNOSPACE) does.  Where it cannot be read, the system-wide `fullsock` (net.systm.kevt.stats)
  only says that some listener lost something, and is passed on as just that.
* `toobig` events were refused by the kernel before they got an id: nobody can have had them.
* `nomem` events got an id and were not delivered to all: with an open filter they are gaps.

See docs/loss.md for what is promised.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from kevmond.capture.sequence import BLIND_LEAP, IdSequence, LostRange, signed_difference

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kevmond.kernel.base import KernelStatistics

SECOND: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Totals:
    """The account since kevmond was started; `posted == delivered + lost + awaited`."""

    posted: int = 0
    delivered: int = 0
    lost: int = 0
    awaited: int = 0
    """Posted, not read and not yet given up: a gap is held back until it is certain."""
    late: int = 0
    """Came after they had been reported lost; `lost` is corrected."""
    duplicates: int = 0
    reordered: int = 0
    strays: int = 0
    socket_dropped: int = 0
    """Counted by the kernel on our own sockets, where it can be read."""
    system_dropped: int = 0
    """`fullsock`: counted by the kernel for all listeners of the machine together."""
    too_big: int = 0
    no_memory: int = 0


class Basis(StrEnum):
    """What proves a loss."""

    IDS = "id-gap"
    """Ids that did not come, with an open filter."""
    TAIL = "tail"
    """The same, at the end of a burst: only SIOCGKEVID told of them."""
    SOCKET = "socket-counter"
    """The kernel's counter of what our own socket had no space for."""
    SYSTEM = "system-counter"
    """Nothing of ours: counters of the whole machine, in which other listeners' losses and what
    the kernel could post to nobody are told.  `lost` and `late` are 0."""


@dataclass(frozen=True, slots=True)
class LossReport:
    """What is to be said in the stream now."""

    lost: int
    """Since the last report."""
    late: int
    """Of those reported before, how many came after all since the last report."""
    basis: Basis
    """What proves it."""
    ranges: tuple[LostRange, ...]
    """Ids lost, ascending; of very many the first and the newest.  None where ids prove nothing."""
    system_dropped: int
    """Since the last report; ours or another listener's.  0 where something better was known."""
    too_big: int
    no_memory: int
    totals: Totals


@dataclass(slots=True)
class _Counter:
    """A kernel counter, summed over sockets and boots."""

    total: int = 0
    seen: int | None = None
    answers: bool = False
    """Whether the last reading could be taken."""

    def rebase(self, value: int | None) -> None:
        self.seen = value
        self.answers = value is not None

    def read(self, value: int | None) -> int:
        """Take a reading; return the increase."""
        self.answers = value is not None
        if value is None:
            return 0
        increase = max(0, value - self.seen) if self.seen is not None else 0
        self.seen = value
        self.total += increase
        return increase


@dataclass(slots=True)
class _Reported:
    """What the last report already said, and when."""

    at_ns: int | None = None
    lost: int = 0
    late: int = 0
    system_dropped: int = 0
    too_big: int = 0
    no_memory: int = 0


@dataclass(slots=True)
class LossLedger:
    """Told everything; asked for `report()` and `totals()`.  Times are monotonic ns."""

    report_every_ns: int = 10 * SECOND
    """A report comes at once, and then no more often than this while loss goes on."""
    age_ns: int = SECOND // 5
    window: int = 1024
    _ids: IdSequence | None = field(default=None, init=False)
    _open: bool = field(default=False, init=False)
    _past: Totals = field(default_factory=Totals, init=False)  # of boots that are over
    _unchecked: int = field(default=0, init=False)  # delivered while the ids proved nothing
    _dropped_unchecked: int = field(
        default=0, init=False
    )  # lost by the socket's counter while they did not
    _highest: int = field(default=0, init=False)  # last id known while they did not
    _socket: _Counter = field(default_factory=_Counter, init=False)
    _full: _Counter = field(default_factory=_Counter, init=False)
    _big: _Counter = field(default_factory=_Counter, init=False)
    _memory: _Counter = field(default_factory=_Counter, init=False)
    _said: _Reported = field(default_factory=_Reported, init=False)

    # -- what is told ---------------------------------------------------------------------------

    def configure(self, *, report_every_ns: int, age_ns: int, window: int) -> None:
        """Take other bounds, at once: what is awaited is judged by them too."""
        self.report_every_ns, self.age_ns, self.window = report_every_ns, age_ns, window
        if self._ids is not None:
            self._ids.configure(age_ns=age_ns, window=window)

    def opened(
        self, before: int, after: int, now_ns: int, *, ids_count: bool, new_boot: bool
    ) -> None:
        """Take note of a new socket.

        `before` and `after` are SIOCGKEVID around the setting of the filter; `ids_count` is true
        if the filter is open (and the ids are a live kernel's).  On a boot seen already,
        whatever was posted up to `before` and not read is lost: nobody listened.
        """
        unsure = True  # an event that came while the filter was being set may not have been ours
        if new_boot or self._ids is None:
            self._begin_boot(before)
        elif self._open:
            self._ids.abandon(before)
            unsure = False
        else:
            self._ids.skip(before)
        self._open = ids_count
        self._highest = after
        ids = self._sequence()
        if ids_count:
            ids.expect(after, now_ns, unsure=unsure)
        else:
            ids.skip(after)

    def closed(self) -> None:
        """Take note that the socket is gone and whatever it still held with it."""
        if self._ids is not None:
            self._ids.abandon(self._ids.last_id)

    def filter_changed(self, before: int, after: int, now_ns: int, *, ids_count: bool) -> None:
        """Take note that the kernel filter of the open socket was set anew between two ids.

        The counters must have been told as they stood before: until then they were of the old one.
        """
        ids = self._sequence()
        if self._open:
            ids.expect(before, now_ns)
        else:
            ids.skip(before)
        if ids_count:
            ids.expect(after, now_ns, unsure=not self._open)
        self._open = ids_count
        self._highest = after

    def observe(
        self, ids: Sequence[int | None], now_ns: int, kernel_last: Callable[[], int | None]
    ) -> None:
        """Take the ids of a batch in the order read; see `IdSequence.observe`."""
        sequence = self._sequence()
        if self._open:
            sequence.observe(ids, now_ns, kernel_last)
            return
        for kernel_id in ids:
            if not sequence.settled and (
                kernel_id is None or signed_difference(kernel_id, sequence.last_id) <= 0
            ):
                sequence.observe((kernel_id,), now_ns, kernel_last)  # queued under the open filter
                continue
            self._unchecked += 1
            if kernel_id is not None:
                self._highest = self._later(kernel_id)

    def posted_up_to(self, last_id: int, now_ns: int) -> None:
        """Take SIOCGKEVID, so that a loss at the end of a burst is seen too."""
        if self._open:
            self._sequence().expect(last_id, now_ns)
        elif signed_difference(last_id, self._highest) > 0:
            self._highest = last_id

    def drained(self, now_ns: int) -> None:
        """Take note that the socket was read until it was empty."""
        if self._ids is not None:
            self._ids.drained(now_ns)

    def baseline(self, dropped: int | None, statistics: KernelStatistics | None) -> None:
        """Take the counters as they stand when a socket was opened."""
        self._socket.rebase(dropped)
        self._full.rebase(statistics.fullsock if statistics else None)
        self._big.rebase(statistics.toobig if statistics else None)
        self._memory.rebase(statistics.nomem if statistics else None)

    def counters(self, dropped: int | None, statistics: KernelStatistics | None) -> None:
        """Take a reading of the counters."""
        increase = self._socket.read(dropped)
        if not self._open:
            self._dropped_unchecked += increase
        if statistics is not None:
            self._full.read(statistics.fullsock)
            self._big.read(statistics.toobig)
            self._memory.read(statistics.nomem)
        if self._proof() is not Basis.SYSTEM:
            self._said.system_dropped = self._full.total  # a hint that nobody needs

    # -- what is asked --------------------------------------------------------------------------

    @property
    def awaited(self) -> int:
        """Ids missing and not yet given up; while there are any, drain and tell again."""
        return self._ids.awaited if self._ids is not None else 0

    @property
    def ids_count(self) -> bool:
        """True while a gap in the ids means a loss."""
        return self._open

    @property
    def last_id(self) -> int:
        """Highest id (u32) that this boot is known to have posted."""
        ids = self._sequence()
        return ids.last_id if self._open else self._highest

    @property
    def unsaid(self) -> int:
        """Events posted to us that are in no record yet: neither as themselves nor as a loss."""
        return self.awaited + self._lost() - self._said.lost

    def totals(self) -> Totals:
        """Return the account as it stands."""
        past, ids = self._past, self._ids
        unchecked = self._unchecked + self._dropped_unchecked
        return Totals(
            posted=past.posted + unchecked + (ids.posted if ids else 0),
            delivered=past.delivered + self._unchecked + (ids.delivered if ids else 0),
            lost=self._lost(),
            awaited=self.awaited,
            late=past.late + (ids.late if ids else 0),
            duplicates=past.duplicates + (ids.duplicates if ids else 0),
            reordered=past.reordered + (ids.reordered if ids else 0),
            strays=past.strays + (ids.strays if ids else 0),
            socket_dropped=self._socket.total,
            system_dropped=self._full.total,
            too_big=self._big.total,
            no_memory=self._memory.total,
        )

    def report(self, now_ns: int, *, force: bool = False) -> LossReport | None:
        """Return what has to be said now, or None; what is returned counts as said.

        `force` passes over the waiting time (at the end of a run), not over silence.
        """
        if not self.due() or (self.wait_ns(now_ns) > 0 and not force):
            return None
        said, totals = self._said, self.totals()
        late = totals.late - said.late
        lost = totals.lost - said.lost + late
        ranges = self._ranges()
        report = LossReport(
            lost=lost,
            late=late,
            basis=self._basis(ranges) if lost or late else Basis.SYSTEM,
            ranges=ranges,
            system_dropped=totals.system_dropped - said.system_dropped,
            too_big=totals.too_big - said.too_big,
            no_memory=totals.no_memory - said.no_memory,
            totals=totals,
        )
        self._said = _Reported(
            now_ns,
            totals.lost,
            totals.late,
            totals.system_dropped,
            totals.too_big,
            totals.no_memory,
        )
        return report

    def wait_ns(self, now_ns: int) -> int:
        """How long the next report still has to wait; 0 if it need not."""
        if self._said.at_ns is None:
            return 0
        return max(0, self._said.at_ns + self.report_every_ns - now_ns)

    def due(self) -> bool:
        """Tell whether there is anything that no report has said yet."""
        said = self._said
        return (
            self._lost() != said.lost
            or self._late() != said.late
            or self._big.total != said.too_big
            or (not self._open and self._memory.total != said.no_memory)
            or self._full.total != said.system_dropped
        )

    # -- inside ---------------------------------------------------------------------------------

    def _later(self, kernel_id: int) -> int:
        """Return the highest id known, an impossible one left out."""
        ahead = signed_difference(kernel_id, self._highest)
        return kernel_id if 0 < ahead <= BLIND_LEAP else self._highest

    def _sequence(self) -> IdSequence:
        if self._ids is None:
            self._begin_boot(0)
        assert self._ids is not None
        return self._ids

    def _begin_boot(self, base: int) -> None:
        if self._ids is not None:
            self._ids.abandon(self._ids.last_id)
            self._past = self.totals()
            self._unchecked = self._dropped_unchecked = 0
        self._ids = IdSequence(base, age_ns=self.age_ns, window=self.window)

    def _lost(self) -> int:
        current = self._ids.lost if self._ids is not None else 0
        return self._past.lost + self._dropped_unchecked + current

    def _late(self) -> int:
        return self._past.late + (self._ids.late if self._ids is not None else 0)

    def _proof(self) -> Basis:
        if self._open:
            return Basis.IDS
        return Basis.SOCKET if self._socket.answers else Basis.SYSTEM

    def _basis(self, ranges: tuple[LostRange, ...]) -> Basis:
        if not ranges:
            return self._proof()
        return Basis.TAIL if all(one.at_end for one in ranges) else Basis.IDS

    def _ranges(self) -> tuple[LostRange, ...]:
        if self._ids is None or not self._ids.fresh:
            return ()
        newest = self._ids.last_id
        ranges = sorted(self._ids.fresh, key=lambda told: signed_difference(told.first, newest))
        self._ids.fresh.clear()
        return tuple(ranges)

"""From `append` to the disk and back to the consumers, on the event loop.

One commit is under way at a time; all that is appended meanwhile goes into the next.  What the
disk refuses goes back in front of what waits.  Timers run only while there is something to write:
one to persist acknowledgements that no commit took along, one to try a refusing disk again, one
while a commit is under way to see that the disk is stuck.  An idle journal has none.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kevmond.faultpoints import fault
from kevmond.journal import notices
from kevmond.journal.commit import Commit
from kevmond.journal.notices import Doubling
from kevmond.journal.statistics import Counters
from kevmond.journal.window import Backlog

if TYPE_CHECKING:
    from collections.abc import Callable

    from kevmond.journal.commit import Outcome
    from kevmond.journal.letters import Letters
    from kevmond.journal.notices import Notice
    from kevmond.journal.owner import Owner
    from kevmond.journal.settings import JournalSettings
    from kevmond.journal.store import Contents
    from kevmond.journal.view import View
    from kevmond.journal.window import Chunk


@dataclass(frozen=True, slots=True)
class Pace:
    """Waits, in seconds."""

    flush: float = 1.0
    """Before acknowledgements are written that no commit took along."""
    retry_first: float = 0.5
    """Before a refusing disk is tried again; doubles."""
    retry_most: float = 30.0
    stuck: float = 10.0
    """After which a commit without an answer counts as refused."""


class Pipeline:
    """What is on its way to the disk."""

    def __init__(
        self,
        settings: JournalSettings,
        *,
        owner: Owner,
        view: View,
        letters: Letters,
        contents: Contents,
        pace: Pace,
        tell: Callable[[Notice], None],
    ) -> None:
        self.next_seq = contents.last_seq + 1
        self.counters = Counters()
        self.used_bytes = 0
        self.reserved = contents.reserved
        self.refusal = contents.refusal
        """Why records are kept in memory; None while the disk takes them."""
        self.closing = False
        self._settings = settings
        self._owner = owner
        self._view = view
        self._letters = letters
        self._pace = pace
        self._tell = tell
        self._backlog = Backlog(settings.held_records, settings.held_bytes)
        self._backlog.read = contents.refusal is not None
        self._in_flight: Commit | None = None
        self._scheduled = False
        self._flush: asyncio.TimerHandle | None = None
        self._retry: asyncio.TimerHandle | None = None
        self._watch: asyncio.TimerHandle | None = None
        self._delay = pace.retry_first
        self._closed: asyncio.Future[None] | None = None
        self._waiting: list[asyncio.Future[bool]] = []  # for the next commit
        self._waiting_now: list[asyncio.Future[bool]] = []  # for the one under way
        self._told = Doubling()
        self._lost_before = 0  # when the trouble began
        self._lost_why = ""
        self._forced: Counter[str] = Counter()
        self._letters_lost: Counter[str] = Counter()
        # What the next commit takes along beside records.
        self._positions: dict[str, int] = {}
        self._forget: set[str] = set()
        self._state: dict[str, str | None] = {}
        self._lost: list[tuple[int, int]] = []
        self._begun: dict[str, int] = {}
        self._moved = False

    @property
    def pending(self) -> int:
        """Records that no disk has taken yet."""
        under_way = 0
        if self._in_flight is not None:
            under_way = sum(chunk.count for chunk in self._in_flight.chunks)
        return self._backlog.records + under_way

    @property
    def idle(self) -> bool:
        """Whether nothing is under way, waiting or timed."""
        timers = (self._flush, self._retry, self._watch)
        return not (
            self._in_flight is not None
            or self._backlog
            or self._scheduled
            or any(timer is not None for timer in timers)
        )

    def append(self, new: Chunk) -> None:
        """Take records over; returns at once."""
        self.next_seq = new.last + 1
        self.counters.appended += new.count
        self._backlog.push(new)
        for old in self._backlog.overflow():
            self._lose(old.first, old.last, old)
        if self.refusal is not None:
            self._show_held(new)
            self._view.wake()
        self._soon()

    def move_to(self, seq: int) -> None:
        """Skip positions: the next one is `seq`."""
        self.next_seq = seq
        self._moved = True
        self._touch()

    def begin(self, name: str, seq: int) -> None:
        """Have a new durable consumer's position written."""
        self._begun[name] = len(self._lost)
        self.acknowledge(name, seq)

    def acknowledge(self, name: str, seq: int) -> None:
        """Have a durable consumer's position written."""
        self._positions[name] = seq
        self._touch()

    def forget(self, name: str) -> None:
        """Have a durable consumer's position removed."""
        self._positions.pop(name, None)
        self._begun.pop(name, None)
        self._forget.add(name)
        self._touch()

    def set_state(self, key: str, value: str | None) -> None:
        """Have a value written or, None, removed."""
        self._state[key] = value
        self._touch()

    def letters_changed(self) -> None:
        """Have the letters written, with all that this callback acknowledges."""
        self._soon()

    def count_lost(self, count: int, reason: str) -> None:
        """Count records that no disk will take, and say so: now or when the trouble is over."""
        self.counters.lost += count
        self._lost_why = reason
        self._tell_lost(self._told.due("", self.counters.lost))

    def tell_letters_lost(self, gone: dict[str, int], reason: str) -> None:
        """Count dead letters that are gone undelivered, and say so for each consumer."""
        for consumer, count in gone.items():
            self.counters.letters_lost += count
            self._letters_lost[consumer] += count
            total = self._letters_lost[consumer]
            self._tell(notices.letters_lost(self._settings.path, consumer, reason, count, total))

    async def lasting(self) -> bool:
        """Wait until the disk has all there is now; False if it refuses."""
        if self.refusal is not None or self.closing:
            return False
        if not self._dirty():
            if self._in_flight is None:
                return True
            waiting = self._waiting_now  # it has everything
        else:
            waiting = self._waiting
            self._soon()
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        waiting.append(done)
        return await done

    def _tell_lost(self, news: int) -> None:
        if news:
            total = self.counters.lost
            self._tell(notices.lost(self._settings.path, self._lost_why, news, total))

    async def aclose(self, deadline: float) -> None:
        """Write what waits and the mark of a clean stop; give up after `deadline` seconds."""
        if self._closed is None:
            self.closing = True
            self._cancel_timers()
            self._closed = asyncio.get_running_loop().create_future()
            if self._in_flight is None:
                self._hand_over(final=True)
        await asyncio.wait({self._closed}, timeout=max(0.0, deadline))
        self._cancel_timers()
        for waiting in (self._waiting, self._waiting_now):
            self._answer(waiting, lasting=False)
        if not self._closed.done():
            self._closed.cancel()
            self._owner.abandon()

    def _cancel_timers(self) -> None:
        for timer in (self._flush, self._retry, self._watch):
            if timer is not None:
                timer.cancel()
        self._flush = self._retry = self._watch = None

    def _soon(self) -> None:
        """Hand over once the current callback is done, so that all it does is one transaction."""
        if self._in_flight is None and not self._scheduled and self._retry is None:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._hand_over)

    def _touch(self) -> None:
        """Something other than records changed: the next commit takes it along, or a timer does."""
        if self._flush is None and not self.closing:
            with contextlib.suppress(RuntimeError):  # before the loop runs: at the first commit
                loop = asyncio.get_running_loop()
                self._flush = loop.call_later(self._pace.flush, self._flush_due)

    def _flush_due(self) -> None:
        self._flush = None
        self._soon()

    def _dirty(self) -> bool:
        return bool(
            self._backlog
            or self._positions
            or self._forget
            or self._state
            or self._lost
            or self._moved
            or self._letters.dirty
        )

    def _hand_over(self, *, final: bool = False) -> None:
        self._scheduled = False
        if self._in_flight is not None or (self.closing and not final):
            return
        if self._flush is not None:
            self._flush.cancel()
            self._flush = None
        if not final and not self._dirty():
            self._answer(self._waiting, lasting=True)  # it was taken back
            return
        letters, unburied = self._letters.take()
        commit = Commit(
            self._backlog.take_all(),
            self.next_seq,
            self._moved,
            positions=self._positions,
            forget=self._forget,
            state=self._state,
            letters=letters,
            unburied=unburied,
            lost=self._lost,
            begun=self._begun,
            final=final,
        )
        self._positions, self._forget, self._state = {}, set(), {}
        self._lost, self._begun, self._moved = [], {}, False
        self._in_flight = commit
        self._waiting_now, self._waiting = self._waiting, []
        loop = asyncio.get_running_loop()
        if not final:
            self._watch = loop.call_later(self._pace.stuck, self._stuck)

        def deliver(outcome: Outcome) -> None:
            fault("journal.before-hand-back")
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens
                loop.call_soon_threadsafe(self._done, outcome)

        self._owner.submit(commit, deliver)

    def _done(self, outcome: Outcome) -> None:
        fault("journal.before-publish")
        commit = outcome.commit
        self._in_flight = None
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        self.used_bytes = outcome.used_bytes
        self.reserved = outcome.reserved
        self._view.generation = outcome.generation
        if outcome.letters is not None:
            why = "their database was put aside or taken away"
            gone = self._letters.reconcile(outcome.letters, commit.unburied)
            self.tell_letters_lost(gone, why)
        if outcome.refused is None:
            self._stored(outcome)
        else:
            self._refused(outcome, outcome.refused)
        self._view.remove(outcome.removed, outcome.first_seq)
        self._report(outcome)
        self._answer(self._waiting_now, lasting=outcome.refused is None)
        if self.closing:
            if not commit.final:
                self._hand_over(final=True)
            elif self._closed is not None and not self._closed.done():
                self._closed.set_result(None)
        elif self._retry is None and (self._backlog or self._waiting):
            self._hand_over()
        elif self._retry is None and self._dirty():
            self._touch()
        self._view.wake()
        self._view.trim()

    def _stored(self, outcome: Outcome) -> None:
        self._delay = self._pace.retry_first
        self.counters.commits += 1
        self._letters.stored(outcome.commit.letters)
        for chunk in outcome.commit.chunks:
            if (chunk.first, chunk.last) in outcome.unfit:
                self._view.lose(chunk)
                self.count_lost(chunk.count, "they cannot be stored, a mistake in kevmond")
                continue
            self.counters.committed += chunk.count
            self._view.show(chunk)
            self._view.disk_last = chunk.last
        if not self._backlog:
            self._tell_lost(self._told.rest("", self.counters.lost))
        if self.refusal is not None:
            self.refusal = None
            self._backlog.read = False
            total = self.counters.lost
            self._tell(notices.recovered(self._settings.path, total - self._lost_before, total))

    def _refused(self, outcome: Outcome, why: str) -> None:
        commit = outcome.commit
        self.counters.refused += 1
        self._backlog.put_back(commit.chunks)
        kept = {name: seq for name, seq in commit.positions.items() if name not in self._forget}
        self._positions = {**kept, **self._positions}
        self._forget |= commit.forget
        self._state = {**commit.state, **self._state}
        self._letters.refused(commit.letters, commit.unburied)
        later = {name: at + len(commit.lost) for name, at in self._begun.items()}
        earlier = {name: at for name, at in commit.begun.items() if name not in self._forget}
        self._begun = {**earlier, **later}
        self._lost = commit.lost + self._lost
        self._moved |= commit.moved
        self._degrade(why)
        for old in self._backlog.overflow():
            self._lose(old.first, old.last, old)
        if not self.closing:
            self._retry = asyncio.get_running_loop().call_later(self._delay, self._retry_due)
            self._delay = min(self._delay * 2, self._pace.retry_most)

    @staticmethod
    def _answer(waiting: list[asyncio.Future[bool]], *, lasting: bool) -> None:
        for done in waiting:
            if not done.done():
                done.set_result(lasting)
        waiting.clear()

    def _retry_due(self) -> None:
        self._retry = None
        self._hand_over()

    def _stuck(self) -> None:
        self._watch = None
        self._owner.mark_degraded()
        self._degrade(f"no answer for {self._pace.stuck:g} s")
        self._view.wake()

    def _degrade(self, why: str) -> None:
        """From now on consumers get records that are only in memory."""
        if self.refusal is None:
            self._lost_before = self.counters.lost
            self._tell(notices.degraded(self._settings.path, why))
        self.refusal = why
        self._backlog.read = True
        for waiting in (self._waiting, self._waiting_now):
            self._answer(waiting, lasting=False)
        if self._in_flight is not None:
            for chunk in self._in_flight.chunks:
                self._show_held(chunk)
        for chunk in self._backlog:
            self._show_held(chunk)

    def _show_held(self, chunk: Chunk) -> None:
        """Show what no disk has taken, as far as no later run can give out the same positions.

        A disk that refuses lets the reservation be renewed beside it; one that hangs does not.
        """
        if chunk.last < self.reserved:
            self._view.show(chunk)

    def _lose(self, first: int, last: int, chunk: Chunk) -> None:
        self._view.lose(chunk)
        lost = self._lost
        if lost and lost[-1][1] + 1 == first and len(lost) not in self._begun.values():
            lost[-1] = (lost[-1][0], last)  # a long outage is one range, not one for every chunk
        else:
            lost.append((first, last))
        self.count_lost(
            chunk.count,
            "the oldest of those that waited for the disk; free space on its volume, or raise "
            "journal.held_records",
        )

    def _report(self, outcome: Outcome) -> None:
        for notice in outcome.notices:
            self._tell(notice)
        self.counters.trimmed += sum(last - first + 1 for first, last in outcome.removed)
        for name, count in outcome.misses.items():
            self.counters.forced += count
            self._forced[name] += count
            if news := self._told.due(name, self._forced[name]):
                self._tell(notices.trimmed(self._settings.path, name, news, self._forced[name]))

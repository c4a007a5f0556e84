"""The one runner of every sink: a cursor, a filter and a way out, driven by one task.

Each sink has its own runner, task and place in the journal, so none waits for another, and the
reader of the kernel waits for none.  A record is acknowledged when the sink took it, when its
filter held it back, when it went to the dead letters, or when the sink refused it for good, which
is counted and said; never otherwise.  An idle runner waits for the journal and has no timer, but
that of its last call's limit, once.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Literal

from kevmond.errors import GoneError, KevmondError, PermanentError, RetryableError
from kevmond.journal.cursor import CursorClosed
from kevmond.sinks.attempt import Caller, text_of
from kevmond.sinks.base import policy_of
from kevmond.sinks.delivery import Delivery
from kevmond.sinks.hand import Hand
from kevmond.sinks.health import Health, SinkStatistics, State
from kevmond.sinks.intake import Intake
from kevmond.sinks.outage import Outage
from kevmond.sinks.waiting import Waiting, pause

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from kevmond.events.event import Record
    from kevmond.events.own_payload import OwnPayload
    from kevmond.sinks.base import Sink, SinkSettings
    from kevmond.sinks.delivery import Next
    from kevmond.sinks.journal import CursorLike, DeadLetters, JournalLike

GRACE: Final = 1.0
"""Seconds that a sink has to react to being cancelled, and again to close."""
FIRST_ATTEMPT: Final = 5.0
"""Seconds that `start` waits for the first attempt to open the sink."""


class SinkRunner:
    """Drives one sink from `start` to `drain`."""

    def __init__(
        self,
        name: str,
        sink: Sink,
        settings: SinkSettings,
        journal: JournalLike,
        *,
        announce: Callable[[OwnPayload], None],
        dead_letters: DeadLetters | None = None,
        on_state: Callable[[str], None] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        wall_ns: Callable[[], int] = time.time_ns,
        uniform: Callable[[float, float], float] = random.uniform,
        pause: Callable[[float, asyncio.Event], Awaitable[None]] = pause,
    ) -> None:
        """`announce` is given kevmond's own records about this sink, to be put into the stream.

        `dead_letters` takes what a sink with a policy gives up; without it that is dropped and
        counted.  `on_state` is called with each new `State`, but that the runner stopped.  The last
        four are for tests: clocks, the jitter, and how to wait between attempts.
        """
        self.name = name
        self.cursor_name = f"sink.{name}"
        """Name of the sink's place in the journal, and of whose its dead letters are."""
        self.health = Health(
            name, announce, monotonic=monotonic, wall_ns=wall_ns, on_state=on_state
        )
        self._sink = sink
        self._settings = settings
        self._journal = journal
        self._monotonic = monotonic
        self._caller = Caller(settings.write_timeout)
        self._hand = Hand(settings, self.health.counters)
        self._waiting = Waiting(pause, monotonic=monotonic, wall_ns=wall_ns)
        self._intake = Intake(
            name,
            hand=self._hand,
            health=self.health,
            waiting=self._waiting,
            linger=settings.linger,
            monotonic=monotonic,
        )
        policy = policy_of(sink)
        self._outage = Outage(
            settings, policy, uniform=uniform, monotonic=monotonic, wall_ns=wall_ns
        )
        self._delivery = Delivery(
            sink,
            self.cursor_name,
            caller=self._caller,
            hand=self._hand,
            health=self.health,
            outage=self._outage,
            policy=policy,
            dead_letters=dead_letters,
        )
        self._tried = asyncio.Event()
        self._resting: Literal[State.PAUSED, State.DISABLED] | None = None
        self._resumed = asyncio.Event()
        self._cursor: CursorLike | None = None
        self._task: asyncio.Task[None] | None = None
        self._reopen_due = False
        self._opened = False
        self._target: int | None = None
        self._drain_by = 0.0
        self._before = 0
        """Last position given out before `start`: only up to it can the sink hold anything."""

    # ------------------------------------------------------------------ from outside

    @property
    def settings(self) -> SinkSettings:
        """What it runs with."""
        return self._settings

    @property
    def position(self) -> int:
        """Last position acknowledged."""
        return 0 if self._cursor is None else self._cursor.position

    @property
    def lag(self) -> int:
        """How far the position is from the newest one given out."""
        return max(0, self._journal.next_seq - 1 - self.position)

    @property
    def paused(self) -> bool:
        """Whether it rests, paused or disabled: nothing is read, nothing is tried."""
        return self._resting is not None

    @property
    def attempts(self) -> int:
        """Failed attempts at the batch in hand."""
        return self._outage.attempts

    @property
    def head_since_ns(self) -> int | None:
        """Wall clock of the first of them; None if there was none."""
        return self._outage.since_ns

    @property
    def next_attempt_ns(self) -> int | None:
        """Wall clock of the next attempt; None if none is waited for."""
        return self._waiting.until_ns

    def statistics(self) -> SinkStatistics:
        """State, counters and place, as they are now."""
        health = self.health
        return SinkStatistics(
            name=self.name,
            type=self._settings.type,
            state=health.state,
            last_error=health.last_error,
            counters=replace(health.counters),
            position=self.position,
            lag=self.lag,
            attempts=self.attempts,
            head_since_ns=self.head_since_ns,
            next_attempt_ns=self.next_attempt_ns,
            since_ns=health.since_ns,
        )

    async def start(self) -> None:
        """Take the sink's place in the journal and try to open the sink.

        Returns after the first attempt, or a few seconds if that hangs; what failed is tried again
        by the runner's task.  At the daemon's start it comes before the first append: a sink that
        holds later positions than the journal (whose file was lost, say) then moves it on in time.
        One that was paused or disabled before is not opened.
        """
        self._before = self._journal.next_seq - 1
        self._cursor = self._journal.cursor(self.cursor_name, start=self._settings.start)
        loop = asyncio.get_running_loop()
        self._task = loop.create_task(self._run(self._cursor), name=f"sink {self.name}")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._tried.wait(), FIRST_ATTEMPT)

    def pause(self) -> None:
        """Rest until `resume`: what is under way is finished, nothing more is read or tried.

        The place in the journal is kept.  One that is disabled stays so.
        """
        if self._resting is None:
            self._rest(State.PAUSED, None)

    def disable(self, reason: str) -> None:
        """Rest until `resume`, as something is wrong: that is said as an error."""
        if self._resting is not State.DISABLED:
            self._rest(State.DISABLED, reason)

    def resume(self) -> None:
        """Go on at once.  One that was disabled is given all its patience again."""
        if self._resting is None:
            return
        if self._resting is State.DISABLED:
            self._outage.renew_patience()
        else:
            self._outage.pass_over()
            self._outage.try_soon()
        if self._opened or self._resting is State.DISABLED:
            self._delivery.note()  # else what an earlier run knew is not loaded yet, and stays
        self._resting = None
        self.health.resumed()
        self._resumed.set()

    def nudge(self) -> None:
        """Try again now what waits for its next attempt: something changed, the network say.

        The waits begin anew.  Many in a row lead to one attempt every few seconds.
        """
        self._waiting.nudge()

    async def offer(self, batch: Sequence[Record]) -> int | None:
        """Hand the sink records out of turn, between two batches, whether it rests or not.

        Returns how many it took, as `Sink.write` does.  They are not acknowledged, nor counted.
        Raises RetryableError or PermanentError, of which GoneError disables the sink.
        """
        if not self._opened:
            raise RetryableError(f"sink {self.name} is not open yet")
        try:
            return await self._caller.call(self._sink.write, batch)
        except GoneError as error:
            self.disable(text_of(error))
            raise

    async def reopen(self) -> str | None:
        """Let the sink reopen what it holds (SIGHUP) and end a wait between attempts.

        Returns what went wrong, None if nothing did.  The sink's next write tries again anyway.
        One that is at work is not waited for: it reopens before its next write.
        """
        error = None
        if self._opened and self._caller.busy:
            self._reopen_due = True
        elif self._opened:
            error = await self._reopen_now()
        self._waiting.wake()
        return error

    async def _reopen_now(self) -> str | None:
        self._reopen_due = False
        try:
            await self._caller.call(self._sink.reopen)
        except KevmondError as error:
            return text_of(error)
        return None

    async def drain(self, deadline: float) -> None:
        """Deliver what the journal has been given up to now, then close the sink.

        What is not delivered after `deadline` seconds (or the sink's own, if less) stays in the
        journal, and so does what would have to wait longer for its next attempt.  Returns at most
        two seconds after that, whatever the sink does.
        """
        task, cursor = self._task, self._cursor
        if task is None or cursor is None:
            return
        own = self._settings.drain_deadline
        seconds = deadline if own is None else min(own, deadline)
        self._target = self._journal.next_seq - 1
        self._drain_by = self._monotonic() + seconds
        idle = self._intake.reading or not self._opened
        hopeless = not self._opened and self.health.state is State.FAILED
        if hopeless or (idle and cursor.position >= self._target):
            task.cancel()  # it waits for what need not come
        self._waiting.wake()
        self._resumed.set()  # if it rests, that is over as well
        await asyncio.wait({task}, timeout=seconds)
        if not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=GRACE)
        closing = asyncio.get_running_loop().create_task(self._close(), name=f"close {self.name}")
        await asyncio.wait({closing}, timeout=GRACE)
        if not closing.done():
            closing.cancel()
        cursor.close()
        self.health.stopped(cursor.position, finished=cursor.position >= self._target)
        self._task = None

    # ------------------------------------------------------------------ the task

    async def _run(self, cursor: CursorLike) -> None:
        try:
            await self._open(cursor)
            while True:
                await self._rested()
                if self._target is not None and cursor.position >= self._target:
                    break
                if self._reopen_due and (failed := await self._reopen_now()) is not None:
                    self.health.refused(failed)
                if self._hand.batch:
                    self._waiting.trying()
                    following = await self._delivery.offer(cursor)
                    if following.room and not self.paused:
                        await self._delivery.top_up(cursor)
                    await self._follow(following)
                else:
                    if not self._intake.take():
                        await self._fill(cursor)
                    if not self._hand.batch:
                        cursor.acknowledge(self._hand.done_to(0))
        except (CursorClosed, _Over):
            pass
        except Exception as error:  # noqa: BLE001 - a mistake of ours: said, not hidden in a task
            self.health.failed(f"the runner failed: {text_of(error)}")
        finally:
            self._tried.set()

    async def _open(self, cursor: CursorLike) -> None:
        while True:
            await self._rested()
            self._waiting.trying()
            self._waiting.calm()
            try:
                held = await self._caller.call(self._sink.open)
            except GoneError as error:
                self.disable(text_of(error))
            except PermanentError as error:
                self.health.failed(text_of(error))
                self._tried.set()
                await self._waiting.until_woken()  # somebody has changed something: SIGHUP
            except RetryableError as error:
                self._tried.set()
                await self._follow(self._delivery.refused(cursor, error))
            else:
                break
        self._opened = True
        self._delivery.opened()
        if held is not None:
            self._go_on_from(cursor, held)
        self.health.healthy()
        self._tried.set()

    def _go_on_from(self, cursor: CursorLike, held: int) -> None:
        """Pass over what the sink holds already, and keep new positions above it.

        What was given out since the start the sink cannot hold, whatever positions it has: those
        are of a journal that is gone.
        """
        if held >= self._journal.next_seq:
            self._journal.advance(held)
        held_to = self._hand.held_to = min(held, self._before)
        if held_to > cursor.position:
            cursor.acknowledge(held_to)

    async def _fill(self, cursor: CursorLike) -> None:
        try:
            await self._intake.fill(cursor, lambda: self._target is not None or self.paused)
        except CursorClosed:
            raise
        except KevmondError as error:  # the journal is in trouble
            self.health.refused(text_of(error))
            await self._wait(self._outage.unreachable())

    # ------------------------------------------------------------------ waits and rests

    async def _follow(self, following: Next) -> None:
        if following.settle:
            await self._delivery.settled()
        if following.disable is not None:
            self.disable(following.disable)
        elif following.wait is not None:
            await self._wait(following.wait, firm=following.firm)

    async def _wait(self, seconds: float, *, firm: bool = False) -> None:
        if self.paused:
            return
        if self._target is not None and seconds >= self._drain_by - self._monotonic():
            raise _Over
        if await self._waiting.sleep(seconds, firm=firm):
            self._outage.try_soon()

    async def _rested(self) -> None:
        """Wait until it does not rest any more."""
        while self._resting is not None:
            self._tried.set()
            if self._target is not None:
                raise _Over
            self._resumed.clear()
            await self._resumed.wait()

    def _rest(self, state: Literal[State.PAUSED, State.DISABLED], reason: str | None) -> None:
        self._resting = state
        self.health.rests(state, reason)
        self._intake.interrupt()
        self._waiting.wake()

    async def _close(self) -> None:
        with contextlib.suppress(Exception):  # it is over; what was not taken is not acknowledged
            await self._sink.aclose()


class _Over(Exception):  # noqa: N818 - carries an answer, is no error of its own
    """There is nothing more to be done before the end."""

"""The one runner of every sink: a cursor, a filter and a way out, driven by one task.

Each sink has its own runner, task and place in the journal, so none waits for another, and the
reader of the kernel waits for none.  A record is acknowledged when the sink took it, when its
filter held it back, or when the sink refused it for good, which is counted and said; never
otherwise.  An idle runner has no timer: it waits for the journal.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final, ParamSpec, TypeVar

from kevmond.backoff import Backoff
from kevmond.errors import KevmondError, PermanentError, RetryableError
from kevmond.events.filters import EventFilter
from kevmond.journal.cursor import CursorClosed
from kevmond.sinks.health import Health, SinkStatistics, State

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from kevmond.events.event import Record
    from kevmond.events.own import OwnPayload
    from kevmond.sinks.base import Sink, SinkSettings
    from kevmond.sinks.journal import CursorLike, JournalLike

P = ParamSpec("P")
T = TypeVar("T")

GRACE: Final = 1.0
"""Seconds that a sink has to react to being cancelled, and again to close."""
FIRST_ATTEMPT: Final = 5.0
"""Seconds that `start` waits for the first attempt to open the sink."""


async def _pause(seconds: float, woken: asyncio.Event) -> None:
    """Wait, unless woken before."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(woken.wait(), seconds)


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
        monotonic: Callable[[], float] = time.monotonic,
        uniform: Callable[[float, float], float] = random.uniform,
        pause: Callable[[float, asyncio.Event], Awaitable[None]] = _pause,
    ) -> None:
        """`announce` is given kevmond's own records about this sink, to be put into the stream.

        The last three are for tests: a clock, the jitter, and how to wait between attempts.
        """
        self.name = name
        self.cursor_name = f"sink.{name}"
        """Name of the sink's place in the journal."""
        self.health = Health(name, announce, monotonic=monotonic)
        self._sink = sink
        self._settings = settings
        self._journal = journal
        self._filter = EventFilter(settings.filter) if settings.filter else None
        self._backoff = Backoff(settings.retry_initial, settings.retry_maximum, uniform=uniform)
        self._pause = pause
        self._woken = asyncio.Event()
        self._tried = asyncio.Event()
        self._turn = asyncio.Lock()
        self._cursor: CursorLike | None = None
        self._task: asyncio.Task[None] | None = None
        self._reading = False
        self._opened = False
        self._target: int | None = None
        self._before = 0
        """Last position given out before `start`: only up to it can the sink hold anything."""
        self._held_to = 0

    # ------------------------------------------------------------------ from outside

    @property
    def position(self) -> int:
        """Last position acknowledged."""
        return 0 if self._cursor is None else self._cursor.position

    @property
    def lag(self) -> int:
        """How far the position is from the newest one given out."""
        return max(0, self._journal.next_seq - 1 - self.position)

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
        )

    async def start(self) -> None:
        """Take the sink's place in the journal and try to open the sink.

        Returns after the first attempt, or a few seconds if that hangs; what failed is tried again
        by the runner's task.  At the daemon's start it comes before the first append: a sink that
        holds later positions than the journal (whose file was lost, say) then moves it on in time.
        """
        self._before = self._journal.next_seq - 1
        self._cursor = self._journal.cursor(self.cursor_name, start=self._settings.start)
        loop = asyncio.get_running_loop()
        self._task = loop.create_task(self._run(self._cursor), name=f"sink {self.name}")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._tried.wait(), FIRST_ATTEMPT)

    async def reopen(self) -> str | None:
        """Let the sink reopen what it holds (SIGHUP) and end a wait between attempts.

        Returns what went wrong, None if nothing did.  The sink's next write tries again anyway.
        """
        error = None
        if self._opened:
            try:
                async with asyncio.timeout(self._settings.write_timeout), self._turn:
                    await self._sink.reopen()
            except Exception as caught:  # noqa: BLE001 - a sink may fail in any way
                error = _text(caught) if str(caught) else "it does not answer"
        self._woken.set()
        return error

    async def drain(self, deadline: float) -> None:
        """Deliver what the journal has been given up to now, then close the sink.

        What is not delivered after `deadline` seconds (or the sink's own, if less) stays in the
        journal.  Returns at most two seconds after that, whatever the sink does.
        """
        task, cursor = self._task, self._cursor
        if task is None or cursor is None:
            return
        self._target = self._journal.next_seq - 1
        idle = self._reading or not self._opened
        hopeless = not self._opened and self.health.state is State.FAILED
        if hopeless or (idle and cursor.position >= self._target):
            task.cancel()  # it waits for what need not come
        self._woken.set()
        own = self._settings.drain_deadline
        await asyncio.wait({task}, timeout=deadline if own is None else min(own, deadline))
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
            while not self._finished(cursor):
                records = await self._read(cursor)
                if records:
                    await self._take(records)
                    cursor.acknowledge(records[-1].seq)
        except CursorClosed:
            pass
        except Exception as error:  # noqa: BLE001 - a mistake of ours: said, not hidden in a task
            self.health.failed(f"the runner failed: {_text(error)}")
        finally:
            self._tried.set()

    def _finished(self, cursor: CursorLike) -> bool:
        return self._target is not None and cursor.position >= self._target

    async def _open(self, cursor: CursorLike) -> None:
        while True:
            try:
                held = await self._attempt(self._sink.open)
            except PermanentError as error:
                self.health.failed(_text(error))
                self._tried.set()
                self._woken.clear()
                await self._woken.wait()  # until somebody has changed something: SIGHUP
            except _Refused as refused:
                self.health.refused(refused.text)
                self._tried.set()
                await self._wait(refused.after)
            else:
                break
        self._opened = True
        self._backoff.reset()
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
        self._held_to = min(held, self._before)
        if self._held_to > cursor.position:
            cursor.acknowledge(self._held_to)

    async def _read(self, cursor: CursorLike) -> list[Record]:
        self._reading = True
        try:
            records = await cursor.read(self._settings.batch_size)
        except CursorClosed:
            raise
        except KevmondError as error:  # the journal is in trouble
            self.health.refused(_text(error))
            await self._wait(None)
            return []
        finally:
            self._reading = False
        if cursor.missed != self.health.counters.missed:
            self.health.missed(cursor.missed)
        return records

    async def _take(self, records: Sequence[Record]) -> None:
        if self._held_to:
            records = self._without_held(records)
        if self._filter is not None:
            matches = self._filter.matches
            batch: Sequence[Record] = [record for record in records if matches(record.event)]
            self.health.counters.filtered += len(records) - len(batch)
        else:
            batch = records
        if batch:
            await self._deliver(batch)

    def _without_held(self, records: Sequence[Record]) -> Sequence[Record]:
        rest = [record for record in records if record.seq > self._held_to]
        self.health.counters.held += len(records) - len(rest)
        if rest:
            self._held_to = 0
        return rest

    async def _deliver(self, batch: Sequence[Record]) -> None:
        while True:
            try:
                await self._attempt(self._sink.write, batch)
            except PermanentError as error:
                seqs = f"{batch[0].seq} to {batch[-1].seq}"
                self.health.gave_up(len(batch), f"{_text(error)} (events {seqs})")
                return
            except _Refused as refused:
                self.health.refused(refused.text)
                await self._wait(refused.after)
            else:
                if self._backoff.failures:
                    self._backoff.reset()
                self.health.taken(len(batch))
                return

    async def _attempt(
        self, method: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Call the sink; what it raises becomes PermanentError or `_Refused`."""
        seconds = self._settings.write_timeout
        try:
            async with self._turn, asyncio.timeout(seconds) as scope:
                return await method(*args, **kwargs)
        except PermanentError:
            raise
        except RetryableError as error:
            raise _Refused(_text(error), error.after) from error
        except TimeoutError as error:
            text = f"no answer within {seconds:g} s" if scope.expired() else _text(error)
            raise _Refused(text) from error
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise _Refused("it cancelled itself") from error
        except Exception as error:  # a sink may fail in any way
            raise _Refused(_text(error)) from error

    async def _wait(self, after: float | None) -> None:
        self._woken.clear()
        await self._pause(self._backoff.next(after), self._woken)

    async def _close(self) -> None:
        with contextlib.suppress(Exception):  # it is over; what was not taken is not acknowledged
            await self._sink.aclose()


class _Refused(Exception):  # noqa: N818 - carries an answer, is no error of its own
    """The sink did not take it, and may later."""

    def __init__(self, text: str, after: float | None = None) -> None:
        super().__init__(text)
        self.text = text
        self.after = after


def _text(error: BaseException) -> str:
    """Return what went wrong in one line; an error not of kevmond's own with its name."""
    text = " ".join(str(error).split())
    if isinstance(error, KevmondError) and text:
        return text
    name = type(error).__name__
    return f"{name}: {text}" if text else name

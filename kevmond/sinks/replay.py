"""Events delivered once more: one by its id, a stretch of time, or what a receiver never took.

A replay goes through the very sink of its subscription, between two of its batches and in the
journal's order, and leaves the subscription's place alone: what waits is not waited for.  Ids are
those of the first delivery, so that a receiver can tell.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from kevmond.backoff import Backoff
from kevmond.errors import (
    ConfigError,
    GoneError,
    KevmondError,
    PermanentError,
    RetryableError,
    SinkError,
)
from kevmond.events.event import timestamp
from kevmond.events.filters import EventFilter
from kevmond.journal import paging
from kevmond.journal.paging import BLOCK, find, forwards, within

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence

    from kevmond.events.event import Record
    from kevmond.sinks.base import SinkSettings
    from kevmond.sinks.runner import SinkRunner

ATTEMPTS: Final = 5
"""Failures in a row after which a replay stops: whoever asked for it is there to see it."""
RETRY_INITIAL: Final = 1.0
RETRY_MAXIMUM: Final = 30.0
"""Bounds of the waits between them."""


class History(paging.History, Protocol):
    """What a replay needs of the journal."""

    async def letters(
        self, consumer: str | None = None, *, after: int = 0, limit: int = 100
    ) -> Sequence[Any]:
        """Return dead letters behind a number, oldest first."""
        ...

    def unbury(self, numbers: Sequence[int]) -> object:
        """Let go of dead letters."""
        ...


class ReplayInterrupted(SinkError):  # noqa: N818 - an end, not a mistake
    """The webhook went away under a replay."""


class Item(NamedTuple):
    """One event to be delivered again."""

    record: Record
    letter: int | None = None
    """Number of the dead letter that it is."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be replayed: one of the three."""

    event_id: str | None = None
    """An event's id, or its position as a number."""
    since_ns: int | None = None
    until_ns: int | None = None
    failed: bool = False
    """All dead letters."""

    def words(self) -> str:
        """Return what it is, for a person."""
        if self.failed:
            return "dead letters"
        if self.event_id is not None:
            return f"event {self.event_id}"
        ends = {"since": self.since_ns, "until": self.until_ns}
        told = [f"{word} {timestamp(end)}" for word, end in ends.items() if end is not None]
        return f"events {' '.join(told)}".rstrip()


# ---------------------------------------------------------------------- where they come from


async def chosen(
    history: History, wanted: Wanted, *, consumer: str, last: int, passes: EventFilter | None
) -> AsyncGenerator[list[Item], None]:
    """Yield pages of what is wanted; of a stretch of time only up to the position `last`."""
    if wanted.failed:
        async for page in _dead(history, consumer):
            yield page
    elif wanted.event_id is not None:
        found = await find(history, wanted.event_id)
        if found is None:
            raise ConfigError(
                f"event {wanted.event_id} is not in the journal; it may have left it "
                "(journal.max_age, journal.max_bytes)"
            )
        yield [Item(found)]
    else:
        async for records in forwards(history, last=last, since_ns=wanted.since_ns):
            yield [
                Item(record)
                for record in records
                if within(record, wanted.since_ns, wanted.until_ns)
                and (passes is None or passes.matches(record.event))
            ]


async def _dead(history: History, consumer: str) -> AsyncIterator[list[Item]]:
    after = 0
    while letters := await history.letters(consumer, after=after, limit=BLOCK):
        yield [Item(letter.record, letter.number) for letter in letters]
        after = letters[-1].number


# ---------------------------------------------------------------------- on its way


class Replay:
    """One replay: run it once, and look at `facts` while it runs and after."""

    def __init__(
        self,
        wanted: Wanted,
        pages: AsyncGenerator[list[Item], None],
        *,
        offer: Callable[[Sequence[Record]], Awaitable[int | None]],
        unbury: Callable[[Sequence[int]], object],
        batch_size: int,
        started: str,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`offer` hands the sink a batch out of turn and returns how much of it was taken."""
        self.state = "running"
        self.taken = 0
        self.refused = 0
        """Events the receiver will never take; a dead letter stays one."""
        self.error: str | None = None
        self.at: str | None = None
        """Id of the event that was tried last."""
        self._wanted = wanted
        self._pages = pages
        self._offer = offer
        self._unbury = unbury
        self._batch_size = batch_size
        self._started = started
        self._pause = pause
        self._backoff = Backoff(RETRY_INITIAL, RETRY_MAXIMUM)
        self._refusal: str | None = None

    def facts(self) -> dict[str, Any]:
        """Return how far it is."""
        return {
            "what": self._wanted.words(),
            "state": self.state,
            "taken": self.taken,
            "refused": self.refused,
            "event_id": self.at,
            "error": self.error,
            "started": self._started,
        }

    async def run(self) -> None:
        """Deliver everything, or stop where the receiver does not take it; never raises."""
        try:
            async with contextlib.aclosing(self._pages):
                async for page in self._pages:
                    for begin in range(0, len(page), self._batch_size):
                        await self._deliver(page[begin : begin + self._batch_size])
        except asyncio.CancelledError:
            self._end("interrupted", "the daemon stopped, or the subscription changed")
            raise
        except ReplayInterrupted as error:
            self._end("interrupted", str(error))
        except KevmondError as error:
            self._end("stopped", str(error))
        except Exception as error:  # noqa: BLE001 - shown to whoever asked for the replay
            self._end("stopped", f"{type(error).__name__}: {error}")
        else:
            self._end("done", self.error)

    def _end(self, state: str, error: str | None) -> None:
        self.state, self.error = state, error

    async def _deliver(self, items: list[Item]) -> None:
        failures = 0
        while items:
            self.at = items[0].record.event.id
            try:
                count = await self._offer([item.record for item in items])
            except GoneError:
                raise
            except PermanentError as error:
                count = len(items) if error.count is None else max(1, error.count)
                self.refused += len(items[:count])
                self.error = self._refusal = str(error)
                items = items[count:]
            except RetryableError as error:
                failures += 1
                if failures >= ATTEMPTS:
                    raise
                self.error = str(error)
                await self._pause(self._backoff.next(error.after))
            else:
                self._took(items[:count])
                items = [] if count is None else items[count:]
                failures, self.error = 0, self._refusal
                self._backoff.reset()

    def _took(self, items: list[Item]) -> None:
        self.taken += len(items)
        letters = [item.letter for item in items if item.letter is not None]
        if letters:
            self._unbury(letters)


class Replays:
    """The replays of all webhooks, one at a time each."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._jobs: dict[str, tuple[Replay, asyncio.Task[None]]] = {}

    def begin(
        self,
        runner: SinkRunner,
        settings: SinkSettings,
        wanted: Wanted,
        *,
        find: Callable[[], SinkRunner],
        started: str,
    ) -> asyncio.Task[None]:
        """Begin a replay through a runner; the task ends with it and raises nothing.

        `find` returns the runner, which is another one once the webhook's settings changed, or
        raises SinkError.
        """

        async def offer(batch: Sequence[Record]) -> int | None:
            return await find().offer(batch)

        passes = EventFilter(settings.filter) if settings.filter else None
        job = Replay(
            wanted,
            chosen(
                self._history,
                wanted,
                consumer=runner.cursor_name,
                last=runner.position,
                passes=passes,
            ),
            offer=offer,
            unbury=self._history.unbury,
            batch_size=settings.batch_size,
            started=started,
        )
        task = asyncio.get_running_loop().create_task(job.run(), name=f"replay {runner.name}")
        self._jobs[runner.name] = (job, task)
        return task

    def running(self, name: str) -> bool:
        """Whether a replay of this webhook is under way."""
        return name in self._jobs and not self._jobs[name][1].done()

    def facts(self, name: str) -> dict[str, Any] | None:
        """Return how far the latest replay of a webhook is; None if there was none."""
        return self._jobs[name][0].facts() if name in self._jobs else None

    async def stop(self, name: str) -> None:
        """End a replay where it is."""
        if name in self._jobs:
            task = self._jobs[name][1]
            task.cancel()
            await asyncio.wait({task})

    async def forget(self, name: str) -> None:
        """End a replay, and know nothing of it any more."""
        await self.stop(name)
        self._jobs.pop(name, None)

    async def aclose(self) -> None:
        """End all replays."""
        await asyncio.gather(*(self.stop(name) for name in list(self._jobs)))

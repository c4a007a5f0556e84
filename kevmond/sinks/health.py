"""How a sink is: its state, its counters, and news of both that never become a flood."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Literal

from kevmond.events import own

if TYPE_CHECKING:
    from collections.abc import Callable

    from kevmond.events.own_payload import OwnPayload

BURST: Final = 8
"""Reports that may follow one another at once."""
REFILL: Final = 15.0
"""Seconds after which one more report may be made."""


class State(StrEnum):
    """What a sink is doing."""

    STARTING = "starting"
    """Not opened yet."""
    HEALTHY = "healthy"
    """The last batch was taken, or none was offered yet."""
    RETRYING = "retrying"
    """It was refused and is tried again; nothing is lost, the journal keeps what waits."""
    FAILED = "failed"
    """It cannot be opened for good, or gave records up."""
    PAUSED = "paused"
    """It rests because somebody said so; what waits, waits in the journal."""
    DISABLED = "disabled"
    """It rests because its receiver wants no more, has taken nothing for too long, or somebody said
    so; what waits, waits in the journal until it is resumed."""
    STOPPED = "stopped"
    """It was told to stop."""


RESTING: Final = (State.PAUSED, State.DISABLED)
"""States in which nothing is read and nothing tried."""

_Word = Literal["recovered", "retrying", "failed", "paused", "resumed", "disabled", "stopped"]

_WORDS: Final[dict[State, _Word]] = {
    State.STARTING: "retrying",
    State.HEALTHY: "recovered",
    State.RETRYING: "retrying",
    State.FAILED: "failed",
    State.PAUSED: "paused",
    State.DISABLED: "disabled",
    State.STOPPED: "stopped",
}
"""How a change to a state is told in the stream."""


@dataclass(slots=True)
class Counters:
    """What has happened since the start, in plain ints."""

    delivered: int = 0
    """Records the sink took."""
    filtered: int = 0
    """Records that its filter held back."""
    held: int = 0
    """Records passed over because the sink said, when it opened, that it holds them."""
    dropped: int = 0
    """Records it refused for good."""
    buried: int = 0
    """Records that went to the dead letters."""
    missed: int = 0
    """Records that went out of the journal before this sink read them."""
    batches: int = 0
    """Batches the sink took."""
    retried: int = 0
    """Attempts that failed and were followed by another."""


@dataclass(frozen=True, slots=True)
class SinkStatistics:
    """A sink in figures."""

    name: str
    type: str
    state: State
    last_error: str | None
    counters: Counters
    position: int
    """Last position acknowledged."""
    lag: int
    """How far that is from the newest position given out."""
    attempts: int = 0
    """Failed attempts at the batch in hand."""
    head_since_ns: int | None = None
    """Wall clock of the first of them."""
    next_attempt_ns: int | None = None
    """Wall clock of the next one; None if none is waited for."""
    since_ns: int = 0
    """Wall clock at which the state began."""


class Health:
    """State and counters of one sink, and what is told of them in the stream.

    A change is told once, when it happens; that batches go on being refused is no change.  Losses
    of a sink that gives everything up are told each time they have doubled, and when it is over.
    """

    def __init__(
        self,
        name: str,
        announce: Callable[[OwnPayload], None],
        *,
        monotonic: Callable[[], float] = time.monotonic,
        wall_ns: Callable[[], int] = time.time_ns,
        on_state: Callable[[str], None] | None = None,
    ) -> None:
        """`on_state` is called with every new state, but that it stopped."""
        self.state = State.STARTING
        self.since_ns = wall_ns()
        """Wall clock at which that began."""
        self.counters = Counters()
        self.last_error: str | None = None
        self.attempts = 0
        """Attempts that failed since the last that did not."""
        self._name = name
        self._announce = announce
        self._wall_ns = wall_ns
        self._on_state = on_state
        self._before = State.STARTING  # when it came to rest
        self._told = _Told()
        self._changes = Announcer(self._tell_state, monotonic=monotonic)
        self._losses = Announcer(self._tell_losses, monotonic=monotonic)

    def taken(self, count: int) -> None:
        """Count a batch that the sink took."""
        counters = self.counters
        counters.delivered += count
        counters.batches += 1
        if self.state is not State.HEALTHY:
            self.healthy()

    def healthy(self) -> None:
        """Note that the sink opened, or took a batch again."""
        self._become(State.HEALTHY)
        self.attempts = 0
        if self.counters.dropped > self._told.dropped:
            self._losses.news()

    def refused(self, error: str) -> None:
        """Note an attempt that failed and will be followed by another."""
        self.attempts += 1
        self.counters.retried += 1
        self.last_error = error
        self._become(State.RETRYING)

    def unreachable(self, error: str) -> None:
        """Note that there was no way to try; it will be tried when there is."""
        self.last_error = error
        self._become(State.RETRYING)

    def failed(self, error: str) -> None:
        """Note a failure that no other attempt would mend."""
        self.last_error = error
        self._become(State.FAILED)

    def gave_up(self, count: int, error: str) -> None:
        """Count a batch that the sink refused for good."""
        counters = self.counters
        counters.dropped += count
        self.failed(error)
        if counters.dropped >= self._told.dropped * 2:
            self._losses.news()

    def buried(self, count: int, error: str) -> None:
        """Count records that went to the dead letters."""
        self.counters.buried += count
        self.failed(error)

    def rests(self, state: Literal[State.PAUSED, State.DISABLED], reason: str | None) -> None:
        """Note that it delivers nothing until it is resumed."""
        if self.state not in RESTING:
            self._before = self.state
        if reason is not None:
            self.last_error = reason
        self._change(state)

    def resumed(self) -> None:
        """Note that it goes on where it was."""
        self._change(self._before)

    def missed(self, total: int) -> None:
        """Take over how many records the cursor has missed by now."""
        self.counters.missed = total
        self._losses.news()

    def stopped(self, position: int, *, finished: bool) -> None:
        """Tell what is still held back, and from where on the sink leaves events in the journal."""
        self._losses.flush()
        self._tell_losses()
        self._changes.flush()
        why = self._why_not()
        self.state = State.STOPPED
        if not finished:
            self._announce(
                own.Sink(
                    sink=self._name,
                    state="stopped",
                    detail=f"what follows event {position} waits in the journal{why}",
                    attempts=self.attempts,
                    dropped=self.counters.dropped,
                    dead_letters=self.counters.buried,
                )
            )

    def _why_not(self) -> str:
        if self.state is State.PAUSED:
            return " (it is paused)"
        return "" if self._told.state is State.HEALTHY else f" ({self.last_error})"

    def _become(self, state: State) -> None:
        if self.state in RESTING:
            self._before = state  # what was under way when it came to rest has ended
        else:
            self._change(state)

    def _change(self, state: State) -> None:
        if state is not self.state:
            self.state = state
            self.since_ns = self._wall_ns()
            self._changes.news()
            if self._on_state is not None:
                self._on_state(state.value)

    def _tell_state(self) -> None:
        told, state = self._told, self.state
        if state is told.state:
            return
        word = "resumed" if told.state in RESTING and state not in RESTING else _WORDS[state]
        # One that had not been opened yet is believed to be well, as at the start.
        told.state = State.HEALTHY if state is State.STARTING else state
        silent = word in {"recovered", "resumed", "paused"}
        self._announce(
            own.Sink(
                sink=self._name,
                state=word,
                detail=None if silent else self.last_error,
                attempts=self.attempts,
                dropped=self.counters.dropped,
                dead_letters=self.counters.buried,
            )
        )

    def _tell_losses(self) -> None:
        told, counters = self._told, self.counters
        dropped, missed = counters.dropped - told.dropped, counters.missed - told.missed
        told.dropped, told.missed = counters.dropped, counters.missed
        if dropped:
            self._announce(
                own.Loss(
                    lost=dropped,
                    total=counters.dropped,
                    source="sink",
                    consumer=self._name,
                    detail=self.last_error,
                )
            )
        if missed:
            self._announce(
                own.Loss(
                    lost=missed,
                    total=counters.missed,
                    source="journal",
                    consumer=self._name,
                    detail="they left the journal before this sink took them: "
                    "see why it is slow, or raise journal.max_bytes",
                )
            )


@dataclass(slots=True)
class _Told:
    """What the stream has been told; a sink is believed to be well until it is said otherwise."""

    state: State = field(default=State.HEALTHY)
    dropped: int = 0
    missed: int = 0


class Announcer:
    """Passes news on at once while they are few, and the newest of them later when they are many.

    A report is itself an event that reaches every sink, the ailing one too: without a bound, a sink
    that refuses reports would be answered with reports for ever.  No timer runs while no news is
    held back.
    """

    def __init__(
        self, announce: Callable[[], None], *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._announce = announce
        self._monotonic = monotonic
        self._tokens = float(BURST)
        self._filled = monotonic()
        self._timer: asyncio.TimerHandle | None = None

    def news(self) -> None:
        """There is something to tell: now, or as soon as it is allowed again."""
        if self._timer is not None:
            return
        now = self._monotonic()
        self._tokens = min(BURST, self._tokens + (now - self._filled) / REFILL)
        self._filled = now
        if self._tokens >= 1.0:
            self._tokens -= 1.0
            self._announce()
        else:
            wait = (1.0 - self._tokens) * REFILL
            self._timer = asyncio.get_running_loop().call_later(wait, self._late)

    def flush(self) -> None:
        """Tell what is held back; nothing if nothing is."""
        if self._timer is not None:
            self._timer.cancel()
            self._late()

    def _late(self) -> None:
        self._timer = None
        self._tokens = 0.0
        self._filled = self._monotonic()
        self._announce()

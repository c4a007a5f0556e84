"""What a receiver's trouble has come to: how often and how long, what next, and its story.

Time counts from one real attempt to the next, and no other: not while the sink is paused, the
daemon is down, or nothing can be tried for want of a network.  The clock is the monotonic one,
which stands still while the machine sleeps.
"""

from __future__ import annotations

import contextlib
import json
import random
import time
from collections import deque
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

from kevmond.backoff import Backoff
from kevmond.events.event import timestamp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from kevmond.errors import SinkError
    from kevmond.sinks.base import DeliveryPolicy, SinkSettings

TRIES_KEPT: Final = 20
ERROR_KEPT: Final = 500
EXCERPT_KEPT: Final = 1000
"""Attempts that a story tells, and most characters of the error and the answer of each."""
SLACK: Final = 0.01
"""Seconds by which a timer may be early."""


class Verdict(Enum):
    """What follows from a failure."""

    RETRY = "retry"
    GIVE_UP = "give up"
    """The batch is to go to the dead letters."""
    DISABLE = "disable"
    """The sink is to rest until somebody resumes it."""


class Schedule:
    """Waits as a policy publishes them, with jitter; the interface is that of `Backoff`."""

    def __init__(
        self, waits: tuple[float, ...], *, uniform: Callable[[float, float], float] = random.uniform
    ) -> None:
        """Take the waits, in seconds, at least one."""
        self._waits = waits
        self._largest = max(waits)
        self._uniform = uniform
        self.failures = 0

    def next(self, after: float | None = None) -> float:
        """Count a failure and return the wait before the next attempt, in seconds.

        Between half and all of the published wait; as long as the receiver asked for, if that is
        longer, but no longer than the longest of all.
        """
        wait = self._waits[min(self.failures, len(self._waits) - 1)]
        self.failures += 1
        drawn = self._uniform(wait / 2, wait)
        return drawn if after is None else max(drawn, min(after, self._largest))

    def reset(self) -> None:
        """Begin anew."""
        self.failures = 0


class Outage:
    """The failures since the sink last took something, or since it was last told to try anew."""

    def __init__(
        self,
        settings: SinkSettings,
        policy: DeliveryPolicy | None,
        *,
        uniform: Callable[[float, float], float] = random.uniform,
        monotonic: Callable[[], float] = time.monotonic,
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.attempts = 0
        """Failed attempts at the batch in hand."""
        self.since_ns: int | None = None
        """Wall clock of the first of them."""
        self._policy = policy
        self._monotonic = monotonic
        self._wall_ns = wall_ns
        first, most = settings.retry_initial, settings.retry_maximum
        self._waits: Backoff | Schedule = (
            Backoff(first, most, uniform=uniform)
            if policy is None
            else Schedule(policy.schedule, uniform=uniform)
        )
        self._idle = Backoff(first, most, uniform=uniform)
        self._head: int | None = None
        self._tries: deque[dict[str, str]] = deque(maxlen=TRIES_KEPT)
        self._spent = 0.0  # on the batch in hand
        self._failing = 0.0  # since anything was taken
        self._mark: float | None = None  # of the last attempt, if time has counted since

    def failed(self, head: int | None, error: SinkError) -> Verdict:
        """Note that an attempt failed; `head` is the first position of the batch, None: no batch.

        Says what follows.
        """
        if head != self._head:
            self._begin(head)
        now, wall_ns = self._monotonic(), self._wall_ns()
        if self._mark is not None:
            self._failing += now - self._mark
            if self.attempts:
                self._spent += now - self._mark
        self._mark = now
        self.attempts += 1
        if self.since_ns is None:
            self.since_ns = wall_ns
        self._tries.append(
            {
                "time": timestamp(wall_ns),
                "error": str(error)[:ERROR_KEPT],
                "answer": (error.excerpt or "")[:EXCERPT_KEPT],
            }
        )
        return self._verdict(head)

    def _verdict(self, head: int | None) -> Verdict:
        policy = self._policy
        if policy is not None:
            disable, give_up = policy.disable_after, policy.give_up_after
            if disable is not None and self._failing >= disable - SLACK:
                return Verdict.DISABLE
            if head is not None and give_up is not None and self._spent >= give_up - SLACK:
                return Verdict.GIVE_UP
        return Verdict.RETRY

    def wait(self, after: float | None) -> float:
        """Return the wait before the next attempt; `after` is what the receiver asked for.

        It ends when patience does, if that comes first and the receiver asked for nothing.
        """
        wait = self._waits.next(after)
        policy = self._policy
        if policy is None or after is not None:
            return wait
        left = [wait]
        if policy.give_up_after is not None and self._head is not None:
            left.append(policy.give_up_after - self._spent)
        if policy.disable_after is not None:
            left.append(policy.disable_after - self._failing)
        return max(0.0, min(left))

    def unreachable(self) -> float:
        """Note that nothing could be tried; return how long to wait for the network."""
        self.pass_over()
        return self._idle.next()

    def pass_over(self) -> None:
        """Have the time since the last attempt not count."""
        self._mark = None

    def try_soon(self) -> None:
        """Begin the waits anew: something changed that may have mended it."""
        self._waits.reset()
        self._idle.reset()

    def renew_patience(self) -> None:
        """Count from now on, because a person said so."""
        self._spent = self._failing = 0.0
        self._mark = None
        self.try_soon()

    def buried(self) -> None:
        """Go on to the next batch; the receiver has still taken nothing."""
        self._begin(None)
        self._mark = None  # until the next batch there may be nothing to try
        self._waits.reset()

    def over(self) -> bool:
        """Note that the sink took something; return whether there was any trouble to be over."""
        if not (self.attempts or self._failing or self._waits.failures or self._idle.failures):
            return False
        self._begin(None)
        self._failing = 0.0
        self._mark = None
        self.try_soon()
        return True

    def _begin(self, head: int | None) -> None:
        self._head = head
        self.attempts = 0
        self.since_ns = None
        self._spent = 0.0
        self._tries.clear()

    # ------------------------------------------------------------------ told, and kept

    def story(self, why: str) -> str:
        """Return, as JSON, why the batch in hand is given up, and what was tried."""
        return json.dumps(
            {
                "why": why,
                "attempts": self.attempts,
                "since": None if self.since_ns is None else timestamp(self.since_ns),
                "failing_seconds": round(self._spent, 3),
                "tries": _told(self._tries),
            }
        )

    def dump(self) -> str | None:
        """Return all of it, for the next run; None if there is nothing to be known."""
        if not (self.attempts or self._failing):
            return None
        return json.dumps(
            {
                "head": self._head,
                "attempts": self.attempts,
                "since_ns": self.since_ns,
                "spent": self._spent,
                "failing": self._failing,
                "tries": list(self._tries),
            }
        )

    def load(self, text: str) -> None:
        """Take over what an earlier run noted; text that is none is passed over."""
        with contextlib.suppress(ValueError, TypeError, KeyError):
            kept: dict[str, Any] = json.loads(text)
            head, attempts, since_ns = kept["head"], int(kept["attempts"]), kept["since_ns"]
            spent, failing = float(kept["spent"]), float(kept["failing"])
            tries = [dict(one) for one in kept["tries"]]
            self._head, self.attempts, self.since_ns = head, attempts, since_ns
            self._spent, self._failing = spent, failing
            self._tries.extend(tries)


def _told(tries: Iterable[dict[str, str]]) -> list[dict[str, str]]:
    """Return attempts as a story tells them: an answer like the one before is not told again."""
    told = []
    before = ""
    for one in tries:
        answer = one.get("answer", "")
        told.append({key: one[key] for key in one if key != "answer" or answer not in {"", before}})
        before = answer
    return told


def span(seconds: float) -> str:
    """Return a time for people: "3 d", "36 h", "5 s"."""
    for unit, name in ((86400.0, "d"), (3600.0, "h"), (60.0, "min")):
        if seconds >= unit:
            return f"{seconds / unit:.3g} {name}"
    return f"{seconds:.3g} s"

"""One attempt at the batch in hand, and what its outcome does: to the records, and to the sink."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from kevmond.errors import GoneError, PermanentError, RetryableError, UnreachableError
from kevmond.journal.cursor import note_key
from kevmond.journal.letters import DeadLetter
from kevmond.sinks.attempt import text_of
from kevmond.sinks.outage import Verdict, span

if TYPE_CHECKING:
    from kevmond.sinks.attempt import Caller
    from kevmond.sinks.base import DeliveryPolicy, Sink
    from kevmond.sinks.hand import Hand
    from kevmond.sinks.health import Health
    from kevmond.sinks.journal import CursorLike, DeadLetters
    from kevmond.sinks.outage import Outage


@dataclass(frozen=True, slots=True)
class Next:
    """What is to be done now."""

    wait: float | None = None
    """Seconds before another attempt; None: go on at once."""
    firm: bool = False
    """Whether the receiver asked for that wait."""
    disable: str | None = None
    """Why the sink is to be disabled; None: it is not."""
    room: bool = False
    """Whether a part of the batch was taken, and the rest has room behind it."""
    settle: bool = False
    """Whether records were buried: no later one may be offered before that lasts, or a crash would
    bring them back behind it."""


GO_ON: Final = Next()


class Delivery:
    """Offers what is in hand to a sink, and acknowledges what is done with."""

    def __init__(
        self,
        sink: Sink,
        cursor_name: str,
        *,
        caller: Caller,
        hand: Hand,
        health: Health,
        outage: Outage,
        policy: DeliveryPolicy | None,
        dead_letters: DeadLetters | None,
    ) -> None:
        self._sink = sink
        self._cursor_name = cursor_name
        self._caller = caller
        self._hand = hand
        self._health = health
        self._outage = outage
        self._policy = policy
        self._dead_letters = None if policy is None else dead_letters

    def opened(self) -> None:
        """Go on with what an earlier run knew of an outage; that the sink opened ends none."""
        self._outage.over()
        if self._dead_letters is not None:
            self._outage.load(self._dead_letters.state(note_key(self._cursor_name)) or "")

    def note(self) -> None:
        """Keep for the next run what the outage has come to."""
        if self._dead_letters is not None:
            self._dead_letters.set_state(note_key(self._cursor_name), self._outage.dump())

    async def offer(self, cursor: CursorLike) -> Next:
        """Make one attempt."""
        hand = self._hand
        batch = hand.batch
        try:
            taken = await self._caller.call(self._sink.write, batch)
            if taken is not None and taken < 1:
                raise RetryableError(f"it took {taken} records, which is no answer")
        except GoneError as error:
            return Next(disable=text_of(error))
        except PermanentError as error:
            self._outage.failed(hand.head, error)
            count = len(batch) if error.count is None else max(1, min(error.count, len(batch)))
            self._give_up(cursor, count, text_of(error))
            return Next(settle=True)
        except RetryableError as error:
            return self.refused(cursor, error)
        count = len(batch) if taken is None else min(taken, len(batch))
        if self._outage.over():
            self.note()
        cursor.acknowledge(hand.done_to(count))
        hand.drop(count)
        self._health.taken(count)
        return Next(room=True) if hand.batch else GO_ON

    def refused(self, cursor: CursorLike, error: RetryableError) -> Next:
        """Say what follows from a refusal: of the batch in hand, or to open where there is none."""
        text = text_of(error)
        if isinstance(error, UnreachableError):
            self._health.unreachable(text)
            return Next(wait=self._outage.unreachable())
        batch, policy = self._hand.batch, self._policy
        verdict = self._outage.failed(self._hand.head if batch else None, error)
        self._health.refused(text)
        if verdict is Verdict.DISABLE and policy is not None:
            self.note()
            taken = f"it has taken nothing for {span(policy.disable_after or 0)}"
            return Next(disable=f"{taken}: {text}")
        if verdict is Verdict.GIVE_UP and policy is not None:
            why = f"given up after {span(policy.give_up_after or 0)}: {text}"
            self._give_up(cursor, len(batch), why)
            return Next(settle=True)
        self.note()
        return Next(wait=self._outage.wait(error.after), firm=error.after is not None)

    async def settled(self) -> None:
        """Wait until what was buried lasts, as long as the disk does not refuse."""
        if self._dead_letters is not None:
            await self._dead_letters.lasting()

    def _give_up(self, cursor: CursorLike, count: int, why: str) -> None:
        """Let the first records go: to the dead letters, if the sink has a policy."""
        hand = self._hand
        given, upto = hand.batch[:count], hand.done_to(count)
        about = f"events {given[0].seq} to {given[-1].seq}"
        if self._dead_letters is None:
            self._health.gave_up(count, f"{why} ({about})")
            cursor.acknowledge(upto)
        else:
            story = self._outage.story(why)
            letters = [DeadLetter.of(record, story) for record in given]
            self._dead_letters.bury(self._cursor_name, letters, (self._cursor_name, upto))
            self._health.buried(count, f"{why} ({about} went to the dead letters)")
        hand.drop(count)
        self._outage.buried()
        self.note()

    async def top_up(self, cursor: CursorLike) -> None:
        """Fill the batch up after a part of it was taken, with what is there."""
        await asyncio.sleep(0)  # others have their turn, as with any read
        with contextlib.suppress(Exception):  # a journal in trouble says so when it is read next
            if records := await cursor.available(self._hand.room):
                self._hand.accept(records)
        if cursor.missed != self._health.counters.missed:
            self._health.missed(cursor.missed)

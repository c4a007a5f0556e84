"""How a runner reads: from its cursor into its hand, until the batch is full or waited enough."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from kevmond.events.event import Record
    from kevmond.sinks.hand import Hand
    from kevmond.sinks.health import Health
    from kevmond.sinks.journal import CursorLike
    from kevmond.sinks.waiting import Waiting


_AHEAD: Final = 32
"""Records read at once for a sink that takes one at a time; what it has not taken is read again."""


class Intake:
    """Reads for one runner; one read at a time."""

    def __init__(
        self,
        name: str,
        *,
        hand: Hand,
        health: Health,
        waiting: Waiting,
        linger: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`linger`: seconds that a batch which is not full waits for more."""
        self._name = name
        self._hand = hand
        self._health = health
        self._waiting = waiting
        self._linger = linger
        self._monotonic = monotonic
        self._scope: asyncio.Timeout | None = None
        self._ahead: deque[Record] = deque()
        """Read already, for a sink that takes one record at a time."""

    @property
    def reading(self) -> bool:
        """Whether it waits for records."""
        return self._scope is not None

    def interrupt(self) -> None:
        """End the wait for records; what was not handed over is read again."""
        if self._scope is not None and not self._scope.expired():
            self._scope.reschedule(asyncio.get_running_loop().time())

    async def fill(self, cursor: CursorLike, hurried: Callable[[], bool]) -> None:
        """Wait for records, and for more as long as is set, unless somebody is in a hurry.

        Raises JournalError, CursorClosed among it, with what was read before in hand.
        """
        await self._read(cursor)
        if self._hand.batch and self._linger:
            await self._gather(cursor, hurried, self._monotonic() + self._linger)

    def take(self) -> bool:
        """Hand over a record that was read ahead, if there is one; return whether there was."""
        if not self._ahead:
            return False
        self._hand.accept((self._ahead.popleft(),))
        self._get_ready()
        return True

    async def _read(self, cursor: CursorLike) -> None:
        room = self._hand.room
        single = self._hand.size == 1
        try:
            async with asyncio.timeout(None) as self._scope:
                records = await cursor.read(_AHEAD if single else room)
        except TimeoutError:
            return  # interrupted
        finally:
            self._scope = None
        if cursor.missed != self._health.counters.missed:
            self._health.missed(cursor.missed)
        if single:
            self._ahead.extend(records[1:])
            records = records[:1]
        self._hand.accept(records)
        self._get_ready()

    def _get_ready(self) -> None:
        """Have the next record decoded while the sink waits for its receiver."""
        if self._ahead and not self._ahead[0].decoded:
            asyncio.get_running_loop().call_soon(_decode, self._ahead[0])

    async def _gather(self, cursor: CursorLike, hurried: Callable[[], bool], until: float) -> None:
        loop = asyncio.get_running_loop()
        while self._hand.room and not hurried():
            self._waiting.calm()
            left = until - self._monotonic()
            if left <= 0:
                break
            timer = loop.create_task(self._waiting.gather(left), name=f"linger {self._name}")
            more = loop.create_task(self._read(cursor), name=f"more for {self._name}")
            try:
                await asyncio.wait({timer, more}, return_when=asyncio.FIRST_COMPLETED)
                in_time = not timer.done()
            finally:
                timer.cancel()
                more.cancel()  # a read that is cancelled takes nothing
                _, outcome = await asyncio.gather(timer, more, return_exceptions=True)
            if isinstance(outcome, Exception):
                raise outcome
            if not in_time:
                break


def _decode(record: Record) -> None:
    """Decode a record, which filter and sink need; it keeps its event.

    It is not encoded: the filter may hold it back.
    """
    _ = record.event

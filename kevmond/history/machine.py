"""The machine as the journal tells it, kept from one question to the next.

A question reads what has come since the one before, so nothing runs while nobody asks.  The first
looks back over a bounded part of the journal.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from kevmond.events.event import timestamp
from kevmond.history.interfaces import Fold, concerns
from kevmond.history.timeline import lanes, natural
from kevmond.journal.paging import forwards

if TYPE_CHECKING:
    from kevmond.events.event import Record
    from kevmond.history.interfaces import Transition
    from kevmond.journal.journal import Journal

LOOK_BACK: Final = 100_000
"""Positions that are looked back over, and that may lie between two questions."""
TRANSITIONS: Final = 20_000
"""Transitions kept for the timeline."""


class Machine:
    """Answers about the interfaces."""

    def __init__(self, journal: Journal, turns: asyncio.Lock) -> None:
        """Take the journal, and what all who walk it share."""
        self._journal = journal
        self._turns = turns
        self._catching_up = asyncio.Lock()
        self._forget()

    async def interfaces(self) -> dict[str, Any]:
        """Return the interfaces as they are now, as JSON has them."""
        await self._catch_up()
        found = self._fold.interfaces.values()
        ordered = sorted(found, key=lambda each: (each.gone, natural(each.name)))
        return {
            "interfaces": [each.facts() for each in ordered],
            "looked_from": self._told_from,
        }

    async def timeline(self, since_ns: int, now_ns: int) -> dict[str, Any]:
        """Return lanes of what was between a time and now, as JSON has them."""
        await self._catch_up()
        return {
            "since": timestamp(since_ns),
            "until": timestamp(now_ns),
            "lanes": lanes(self._transitions, since_ns),
            "looked_from": self._told_from
            if len(self._transitions) < TRANSITIONS
            else timestamp(self._transitions[0].wall_ns),
        }

    @property
    def _told_from(self) -> str | None:
        return None if self._from_ns is None else timestamp(self._from_ns)

    def _forget(self) -> None:
        self._transitions: deque[Transition] = deque(maxlen=TRANSITIONS)
        self._fold = Fold(self._transitions.append)
        self._next = 0
        self._from_ns: int | None = None

    async def _catch_up(self) -> None:
        async with self._catching_up:
            oldest = self._journal.oldest_seq
            begin = max(oldest, self._journal.next_seq - LOOK_BACK)
            if self._next < begin:  # there is more in between than is looked at, or it is gone
                self._forget()
                self._next = begin
            async for records in forwards(self._journal, first=self._next):
                if self._from_ns is None:
                    self._from_ns = records[0].wall_ns
                await self._take(records)
                self._next = records[-1].seq + 1
            self._fold.settle()

    async def _take(self, records: list[Record]) -> None:
        async with self._turns:
            for record in records:
                self._fold.apply(record)
            if any(map(concerns, records)):
                await asyncio.sleep(0)

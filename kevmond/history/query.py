"""Pages of the past: which events fit a condition, oldest or newest first.

A walk decodes a block of records at a time, and however many walk at once, one block in a turn of
the loop: the kernel's socket and the sinks wait for nobody's curiosity.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from kevmond.history.condition import Condition
from kevmond.journal.paging import backwards, bounds, forwards, within

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from kevmond.events.event import Record
    from kevmond.journal.paging import History

LOOKED: Final = 50_000
"""Records that one question looks at; its page then tells where to go on."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for."""

    condition: Condition = field(default_factory=Condition)
    after: int | None = None
    before: int | None = None
    """Positions, neither of them included."""
    since_ns: int | None = None
    until_ns: int | None = None
    """Wall clock, both included."""
    newest_first: bool = False

    def within(self, record: Record) -> bool:
        """Whether a record is of the time that is asked for."""
        return within(record, self.since_ns, self.until_ns)


@dataclass(slots=True)
class Page:
    """Events that were found, in the order asked for."""

    records: list[Record] = field(default_factory=list)
    last: int | None = None
    """Where to go on, by `after` or `before`: the last event's position, or, where a walk ended for
    its length, the last one looked at.  None if nothing was found and there is no more."""
    more: bool = False
    """Whether there may be more."""


class Walk:
    """One walk over the past; `async for` its blocks, then look at its figures."""

    def __init__(self, history: History, turns: asyncio.Lock, wanted: Wanted, *, most: int) -> None:
        """Take what all walks share, `turns`, and how many records may be looked at."""
        self.looked = 0
        """Records looked at."""
        self.reached: int | None = None
        """Position of the last one."""
        self.reached_ns: int | None = None
        """Its wall clock."""
        self.cut = False
        """Whether the walk ended for its length."""
        self._history = history
        self._turns = turns
        self._wanted = wanted
        self._most = most

    async def blocks(self) -> AsyncGenerator[list[Record], None]:
        """Yield what fits, a block at a time, in the order asked for."""
        wanted = self._wanted
        first, last = await bounds(self._history, wanted.since_ns, wanted.until_ns)
        if wanted.after is not None:
            first = max(first, wanted.after + 1)
        if wanted.before is not None:
            last = min(last, wanted.before - 1)
        if wanted.newest_first:
            found = backwards(self._history, first=first, last=last)
        else:
            found = forwards(self._history, first=first, last=last)
        async with contextlib.aclosing(found):
            async for records in found:
                if self.looked >= self._most:
                    self.cut = True
                    return
                fitting = await self._fitting(records)
                end = records[0] if wanted.newest_first else records[-1]
                self.looked += len(records)
                self.reached, self.reached_ns = end.seq, end.wall_ns
                if fitting:
                    yield fitting

    async def _fitting(self, records: list[Record]) -> list[Record]:
        wanted = self._wanted
        matches = wanted.condition.matches
        async with self._turns:
            fitting = [record for record in records if wanted.within(record) and matches(record)]
            if not wanted.condition.trivial:
                await asyncio.sleep(0)
        return fitting[::-1] if wanted.newest_first else fitting


async def search(history: History, turns: asyncio.Lock, wanted: Wanted, limit: int) -> Page:
    """Return the first page, of at most `limit` events; JournalError if the disk cannot be read."""
    page = Page()
    walk = Walk(history, turns, wanted, most=LOOKED)
    async with contextlib.aclosing(walk.blocks()) as blocks:
        async for records in blocks:
            page.records += records
            if len(page.records) > limit:
                del page.records[limit:]
                page.more = True
                break
    if page.records:
        page.last = page.records[-1].seq
    if walk.cut:
        page.last, page.more = walk.reached, True
    return page

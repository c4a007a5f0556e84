"""A consumer's place in the journal: read from it, and acknowledge what is done with."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

from kevmond.errors import JournalError
from kevmond.journal import trouble
from kevmond.journal.reader import Damage, Source

if TYPE_CHECKING:
    from collections.abc import Callable

    from kevmond.events.event import Context, Record
    from kevmond.journal.batch import Batch
    from kevmond.journal.ranges import Ranges
    from kevmond.journal.reader import Fetched, Reader
    from kevmond.journal.view import View

REVIVE_AT_ONCE: Final = 256
"""Most records decoded before the loop gets its turn, however many are asked for."""
RETRY_FIRST: Final = 0.5
RETRY_MOST: Final = 30.0
RETRY_SAID: Final = 4.0
"""A wait longer than this between two attempts to read is not made: the consumer is told."""
"""Seconds between attempts to read from a disk that fails."""
READ_NOW_TIMEOUT: Final = 5.0


class Revive(Protocol):
    """Makes a record of what was stored (`kevmond.events.revive`)."""

    def __call__(self, context: Context, seq: int, wall_ns: int, kind: str, body: bytes) -> Record:
        """Return the record; never raises."""
        ...


class CursorClosed(JournalError):  # noqa: N818 - a state
    """The cursor, or the whole journal, was closed."""


def note_key(cursor: str) -> str:
    """Key of a value that a durable consumer keeps for itself; it is forgotten with its place."""
    return f"note.{cursor}"


def began_key(cursor: str) -> str:
    """Key of the position that a durable cursor began at; it is forgotten with its place."""
    return f"began.{cursor}"


class Cursor:
    """A named place; made by `Journal.cursor`, used by one task at a time."""

    def __init__(
        self,
        name: str,
        *,
        durable: bool,
        position: int,
        missed: int,
        forgiven: Ranges | None,
        view: View,
        reader: Reader,
        revive: Revive,
        on_acknowledge: Callable[[Cursor], None],
        on_damage: Callable[[Damage], None],
        on_close: Callable[[Cursor], None],
    ) -> None:
        self.name = name
        self.durable = durable
        self.position = position
        """Last position acknowledged."""
        self.missed = missed
        """Records that went out of reach before they were read here: all that `read` has passed
        over, and what a durable cursor of this name missed in earlier runs and has not yet
        acknowledged beyond."""
        self.next_seq = position + 1
        """Position to be read next."""
        self.closed = False
        self._view = view
        self._forgiven = forgiven  # gone before this name began
        self._reader = reader
        self._revive = revive
        self._on_acknowledge = on_acknowledge
        self._on_damage = on_damage
        self._on_close = on_close
        self._waiter: asyncio.Future[None] | None = None
        self._buffer: deque[tuple[Batch, Context] | Damage] = deque()
        self._reached = 0

    async def read(self, limit: int) -> list[Record]:
        """Wait for at least one record; return at most `limit`, oldest first.

        Only committed records, or, while the disk refuses, those kept in memory.  Raises
        CursorClosed when the cursor or the journal is closed.  A cancelled read loses nothing.
        """
        delay = RETRY_FIRST
        # A consumer with much to read and nothing to wait for would keep the loop from the kernel's
        # socket, and from the other consumers, which want the same records while they are here.
        await asyncio.sleep(0)
        while True:
            try:
                records = await self.available(limit)
            except (sqlite3.Error, OSError) as error:
                # A disk that cannot be read is no reason to give records up: they wait.  If that
                # lasts the consumer is told, who says it and reads again.
                if delay > RETRY_SAID:
                    raise JournalError(
                        f"the journal cannot be read ({trouble.describe(error)}); records wait"
                    ) from error
                await self._wait(delay)
                delay = min(delay * 2, RETRY_MOST)
                continue
            if records:
                return records
            await self._wait(None)

    async def available(self, limit: int) -> list[Record]:
        """Return at most `limit` records that are there now; [] if none are.

        Raises sqlite3.Error or OSError if they are on a disk that cannot be read.
        """
        while True:
            records = self._take(limit)
            if records:
                return records
            span = self._view.disk_span(self.next_seq)
            if span is None:
                return []
            fetch = partial(Source.fetch, first=span[0], last=span[1], limit=limit)
            self._accept(await self._reader.ask(self._view.generation, fetch))

    def read_now(self, limit: int) -> list[Record]:
        """As `available`, but blocks the loop while the disk is read: for tests and endings.

        Returns [] too if the disk does not answer within five seconds, or refuses.
        """
        while True:
            records = self._take(limit)
            if records:
                return records
            span = self._view.disk_span(self.next_seq)
            if span is None:
                return []
            fetch = partial(Source.fetch, first=span[0], last=span[1], limit=limit)
            try:
                fetched = self._reader.ask_now(self._view.generation, fetch, READ_NOW_TIMEOUT)
            except (sqlite3.Error, OSError):
                return []
            self._accept(fetched)

    def acknowledge(self, seq: int) -> None:
        """Be done with every record up to `seq`, read here or held by the consumer otherwise.

        A durable cursor's position is persisted with the next commit, or about a second later.
        """
        if seq <= self.position or self.closed:
            return
        self.position = seq
        self.next_seq = max(self.next_seq, seq + 1)
        self._on_acknowledge(self)

    def close(self) -> None:
        """Give the place up; a durable cursor's position stays and holds its records."""
        if not self.closed:
            self.closed = True
            self._buffer.clear()
            self._on_close(self)
            self.wake()

    def wake(self) -> None:
        """Have a waiting `read` look again."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _wait(self, most: float | None) -> None:
        if self.closed:
            self._refuse()
        loop = asyncio.get_running_loop()
        self._waiter = loop.create_future()
        timer = None if most is None else loop.call_later(most, self.wake)
        try:
            await self._waiter
        finally:
            self._waiter = None
            if timer is not None:
                timer.cancel()

    def _refuse(self) -> None:
        raise CursorClosed(f"cursor {self.name!r} is closed; open it again from an open journal")

    def _accept(self, fetched: Fetched) -> None:
        self._buffer.extend(fetched.items)
        self._reached = fetched.reached

    def _take(self, limit: int) -> list[Record]:
        if self.closed:
            self._refuse()
        if self._buffer or self._reached:
            records = self._from_buffer(min(limit, REVIVE_AT_ONCE))
            if records:
                return records
        if self._view.disk_span(self.next_seq) is not None:
            return []
        records = self._view.window.take(self.next_seq, limit)
        if records:
            self._pass(records[0].seq)
            self.next_seq = records[-1].seq + 1
            self._view.trim()
        return records

    def _from_buffer(self, limit: int) -> list[Record]:
        records: list[Record] = []
        while self._buffer and len(records) < limit:
            item = self._buffer[0]
            if isinstance(item, Damage):
                self._pass_damage(item)
                self._buffer.popleft()
                continue
            batch, context = item
            if batch.last_seq >= self.next_seq:
                self._pass(max(batch.first_seq, self.next_seq))
                begin = self.next_seq - batch.first_seq
                end = min(len(batch.walls), begin + limit - len(records))
                records += [
                    self._revive(
                        context,
                        batch.first_seq + index,
                        batch.walls[index],
                        batch.kinds[index],
                        batch.body(index),
                    )
                    for index in range(begin, end)
                ]
                self.next_seq = batch.first_seq + end
            if batch.last_seq < self.next_seq:
                self._buffer.popleft()
        if not self._buffer:
            if not records:
                self._pass(self._reached + 1)
            self._reached = 0
        return records

    def _pass(self, seq: int) -> None:
        """Go on to `seq`, counting the records in between that are gone."""
        if seq > self.next_seq:
            span = (self.next_seq, seq - 1)
            self.missed += self._view.gone.count(*span)
            if self._forgiven:
                self.missed -= self._forgiven.count(*span)
            self.next_seq = seq

    def _pass_damage(self, damage: Damage) -> None:
        if damage.last >= self.next_seq:
            self._pass(damage.first)
            self.missed += damage.last - self.next_seq + 1
            self.next_seq = damage.last + 1
            self._on_damage(damage)

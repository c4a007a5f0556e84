"""GET /v1/events/stream: events as they come, and before them those behind a cursor.

Each stream has a place of its own in the journal, which moves on only when its events were written.
Whoever does not read is held back alone: nothing is kept for it, its place is given up while it
blocks, and found again, or what is gone by then is told, when it goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from kevmond.api.sse import BEAT, frame
from kevmond.api.streams import Streams
from kevmond.errors import JournalError
from kevmond.journal.paging import BLOCK

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from kevmond.events.event import Record
    from kevmond.history.condition import Condition
    from kevmond.journal.cursor import Cursor
    from kevmond.journal.journal import Journal

STREAMS: Final = web.AppKey("streams", Streams)
"""All that are open, whatever socket they came by."""
BEATS: Final = 15.0
"""Seconds of silence after which a sign of life is sent."""
PLACES: Final = 1.0
"""Seconds after which a reader is told that events passed by that it did not ask for."""
PACE: Final = 0.05
"""Seconds between two writes to a reader that keeps up; all streams write at the same times."""
REST: Final = 1.0
"""Seconds of a write that waits, after which nothing is held in memory for the stream."""
STUCK: Final = 60.0
"""Seconds without a byte taken, after which a reader is cut off."""
LEAVE: Final = 0.3
"""Seconds that a write under way has to finish when the stream ends."""

RETENTION: Final = (
    "they left the journal before they were read (journal.max_age, journal.max_bytes)"
)
ANEW: Final = (
    "the journal has not come to this position: it began anew, or the position is another's"
)


class Stream:
    """One reader; `run` returns when it has gone or was taken leave of."""

    def __init__(
        self,
        streams: Streams,
        journal: Journal,
        condition: Condition,
        *,
        transport: asyncio.Transport,
        write: Callable[[bytes], Awaitable[None]],
        peer: str,
    ) -> None:
        """`write` waits while the transport has more to send than it should."""
        self.name = streams.next_name()
        self.peer = peer
        self.condition = condition
        self.began = 0
        self.position = 0
        self.sent = 0
        self.missed = 0
        self.since_ns = time.time_ns()
        self._streams = streams
        self._journal = journal
        self._transport = transport
        self._write = write
        self._loop = asyncio.get_running_loop()
        self._cursor: Cursor | None = None
        self._missed = 0  # of the cursor's, those that were told
        self._read_to = 0
        self._told = 0  # the reader's cursor, as far as it was told
        self._goal: int | None = 0  # what was there at the beginning; None once it is sent
        self._scope: asyncio.Timeout | None = None
        self._ending: str | None = None
        self._leaving: asyncio.TimerHandle | None = None
        self._pause_to = 0.0
        self._place_due: float | None = None
        self._last_sent = self._loop.time()
        self._blocked: float | None = None  # since when a write waits
        self._written = 0
        self._taken = 0  # bytes that the system took, of those written since all was taken
        self._moved = self._loop.time()

    async def run(self, hello: dict[str, Any], after: int | None) -> None:
        """Follow the events behind `after`; None: those from now on."""
        self._streams.add(self)
        try:
            await self._greet(hello, after)
            while self._ending is None:
                records = await self._read()
                await self._tell_missed(records)
                if records:
                    await self._pass_on(records)
                await self._tell_place()
            await self._send(frame("bye", {"reason": self._ending}))
        except ConnectionError:
            pass  # nobody is there any more
        except JournalError as error:  # it is closed, or its disk cannot be read
            with contextlib.suppress(ConnectionError):
                await self._send(frame("bye", {"reason": self._ending or str(error)}))
        finally:
            self._streams.remove(self)
            self._let_go()
            if self._leaving is not None:
                self._leaving.cancel()

    # ------------------------------------------------------------------ from outside

    def look(self, now: float) -> None:
        """Do what is due."""
        if self._transport.is_closing():
            self.end("gone")
            return
        waiting = self._transport.get_write_buffer_size()
        taken = self._written - waiting
        if not waiting:
            self._written = taken = 0
        if taken > self._taken or not waiting:
            self._moved = now
        self._taken = taken
        if now - self._moved >= STUCK:
            self._streams.log.warning(
                "a stream's reader takes nothing; it is cut off",
                stream=self.name,
                peer=self.peer,
                seconds=STUCK,
                waiting=waiting,
            )
            self._transport.abort()
        elif self._blocked is not None:
            if now - self._blocked >= REST:
                self._let_go()
        elif self._due(now):
            self._interrupt()

    def end(self, reason: str) -> None:
        """Take leave of the reader, who has a moment if it is busy reading."""
        if self._ending is None:
            self._ending = reason
            self._interrupt()
            self._leaving = self._loop.call_later(LEAVE, self._transport.abort)

    def _due(self, now: float) -> bool:
        return (
            self._goal is not None
            or now - self._last_sent >= BEATS
            or (self._place_due is not None and now >= self._place_due)
        )

    def _interrupt(self) -> None:
        if self._scope is not None and not self._scope.expired():
            self._scope.reschedule(self._loop.time())

    # ------------------------------------------------------------------ its place

    async def _greet(self, hello: dict[str, Any], after: int | None) -> None:
        journal = self._journal
        newest = journal.next_seq - 1
        self._goal = newest
        anew = after is not None and after > newest
        begin = newest if after is None else after
        if anew:
            begin = journal.oldest_seq - 1
        self.began = self.position = self._read_to = self._told = begin
        await self._send(frame("hello", {**hello, "after": begin}, begin))
        if anew:
            facts = {"missed": None, "first": None, "last": None, "reason": ANEW}
            await self._send(frame("missed", facts, begin))
        await self._take_place()
        await self._tell_place()

    async def _take_place(self) -> None:
        """Open a place behind the position, and tell what is gone from there."""
        oldest = self._journal.oldest_seq
        gone = oldest - 1 - self._read_to
        self._cursor = cursor = self._journal.cursor(
            f"api.{self.name}", durable=False, start=max(self._read_to, oldest - 1)
        )
        self._missed = cursor.missed
        if gone > 0:
            await self._say_missed(gone, self._read_to + 1, oldest - 1)

    def _let_go(self) -> None:
        cursor, self._cursor = self._cursor, None
        if cursor is not None:
            cursor.close()

    async def _read(self) -> list[Record]:
        """Wait for records; [] if something else is due."""
        while (cursor := self._cursor) is None:  # what is told of a gap may block as well
            await self._take_place()
        if self._ending is not None:
            return []
        try:
            async with asyncio.timeout(None) as self._scope:
                pause = self._pause_to - self._loop.time()
                if pause > 0:
                    await asyncio.sleep(pause)
                return await cursor.read(BLOCK)
        except TimeoutError:
            return []
        finally:
            self._scope = None

    async def _pass_on(self, records: Sequence[Record]) -> None:
        batch = self._streams.batches.of(records, self.condition)
        self._read_to = records[-1].seq
        if batch.events:
            await self._send(batch.data)
            self.sent += batch.events
            self._told = batch.last
        self.position = self._read_to
        if self._cursor is not None:
            self._cursor.acknowledge(self.position)
        behind = self._journal.next_seq - 1 - self._read_to
        now = self._loop.time()
        self._pause_to = 0.0 if behind >= BLOCK else now - now % PACE + PACE

    async def _tell_missed(self, records: Sequence[Record]) -> None:
        """Tell what went out of reach since the last read."""
        cursor = self._cursor
        if cursor is None or cursor.missed == self._missed:
            return
        count, self._missed = cursor.missed - self._missed, cursor.missed
        begin, end = self._read_to, cursor.next_seq
        if records:  # told before the first of them, wherever among them the gap is
            begin, end = _gap(begin, records)
        await self._say_missed(count, begin + 1, end - 1)

    async def _say_missed(self, count: int, first: int, last: int) -> None:
        self.missed += count
        facts = {"missed": count, "first": first, "last": last, "reason": RETENTION}
        # What follows may be lower, where a gap lies among what was read at once.
        seq = last if first == self._read_to + 1 else self._read_to
        await self._send(frame("missed", facts, seq))
        self._read_to = self._told = self.position = seq

    # ------------------------------------------------------------------ beside events

    async def _tell_place(self) -> None:
        now = self._loop.time()
        reached = self._read_to if self._cursor is None else self._cursor.next_seq - 1
        if self._goal is not None and reached >= self._goal:
            newest, self._goal = self._goal, None
            await self._send(frame("caught-up", {"newest": newest}))
        if self._told >= self.position:
            self._place_due = None
        elif self._place_due is None:
            self._place_due = now + PLACES
        elif now >= self._place_due:
            self._place_due, self._told = None, self.position
            await self._send(frame("position", {"seq": self.position}, self.position))
        if now - self._last_sent >= BEATS:
            await self._send(BEAT)

    async def _send(self, data: bytes) -> None:
        self._written += len(data)
        self._blocked = self._loop.time()
        try:
            await self._write(data)
        finally:
            self._blocked = None
        self._last_sent = self._loop.time()


def _gap(read_to: int, records: Sequence[Record]) -> tuple[int, int]:
    """Return the positions around what is not there: from the first gap to the last one."""
    before, after = None, records[0].seq
    for record in records:
        if record.seq > read_to + 1:
            before, after = read_to if before is None else before, record.seq
        read_to = record.seq
    return after - 1 if before is None else before, after

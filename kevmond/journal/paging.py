"""Walks over what a journal holds, forwards and backwards, a block at a time.

A block is what is decoded before the loop gets its turn.  Positions may have gaps: those that were
never given out, and those whose records are gone.
"""

from __future__ import annotations

import asyncio
import zlib
from typing import TYPE_CHECKING, Final, Protocol

from kevmond.events.event import Kind

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from kevmond.events.event import Record

BLOCK: Final = 256
"""Records read at once."""
_DIGITS: Final = 18
"""Most that a position can have."""


class History(Protocol):
    """What is needed of the journal."""

    @property
    def next_seq(self) -> int:
        """Position of the next record."""
        ...

    async def read(
        self, *, first_seq: int = 1, since_ns: int | None = None, limit: int = 1000
    ) -> list[Record]:
        """Return what the journal holds from a position on."""
        ...


async def forwards(
    history: History, *, first: int = 1, last: int | None = None, since_ns: int | None = None
) -> AsyncGenerator[list[Record], None]:
    """Yield blocks of records, oldest first, from `first` (and from `since_ns`) on up to `last`."""
    records = await history.read(first_seq=first, since_ns=since_ns, limit=BLOCK)
    while records:
        if last is not None and records[-1].seq > last:
            records = [record for record in records if record.seq <= last]
            if records:
                yield records
            return
        yield records
        await asyncio.sleep(0)
        records = await history.read(first_seq=records[-1].seq + 1, limit=BLOCK)


async def backwards(
    history: History, *, first: int = 1, last: int
) -> AsyncGenerator[list[Record], None]:
    """Yield blocks of records from `last` down to `first`: newest block first, oldest within."""
    while last >= first:
        begin = max(first, last - BLOCK + 1)
        found = await history.read(first_seq=begin, limit=BLOCK)
        records = [record for record in found if record.seq <= last]
        if records:
            yield records
            await asyncio.sleep(0)
            last = begin - 1
        else:
            last = await _newest(history, first, begin - 1)


async def bounds(
    history: History, since_ns: int | None = None, until_ns: int | None = None
) -> tuple[int, int]:
    """Return the first and the last position that a stretch of time may have; both included.

    A clock that once stood wrong, long ago, does not matter; records are to be looked at all the
    same, each for itself, where it was set back in between.
    """
    newest = history.next_seq - 1
    first, last = 1, newest
    if since_ns is not None:
        found = await history.read(since_ns=since_ns, limit=1)
        first = found[0].seq if found else newest + 1
    if until_ns is not None:
        later = await history.read(since_ns=until_ns + 1, limit=1)
        last = later[0].seq - 1 if later else newest
    return first, last


def within(record: Record, since_ns: int | None, until_ns: int | None) -> bool:
    """Whether a record is of a stretch of time; both ends are included, None is none."""
    return (since_ns is None or record.wall_ns >= since_ns) and (
        until_ns is None or record.wall_ns <= until_ns
    )


async def find(history: History, event_id: str) -> Record | None:
    """Return the event of an id, or of a position; None if the journal does not hold it."""
    if event_id.isascii() and event_id.isdigit():
        seq = int(event_id) if len(event_id) <= _DIGITS else 0
        found = await history.read(first_seq=seq, limit=1)
        return found[0] if found and found[0].seq == seq else None
    may_be = _likeness(event_id)
    async for records in backwards(history, last=history.next_seq - 1):
        for record in records:
            if may_be(record) and record.event.id == event_id:
                return record
    return None


async def _newest(history: History, first: int, last: int) -> int:
    """Return the newest position held from `first` to `last`; 0 if none is.

    A gap may be of millions, so it is leapt over.
    """
    empty, step = last + 1, BLOCK
    while True:
        begin = max(first, last - step + 1)
        found = await _first_from(history, begin, last)
        if found:
            break
        if begin <= first:
            return 0
        empty, step = begin, step * 2
    while empty - found > 1:
        middle = (found + empty) // 2
        higher = await _first_from(history, middle, last)
        if higher:
            found = higher
        else:
            empty = middle
    return found


async def _first_from(history: History, first: int, last: int) -> int:
    found = await history.read(first_seq=first, limit=1)
    return found[0].seq if found and found[0].seq <= last else 0


def _likeness(event_id: str) -> Callable[[Record], bool]:
    """Return a quick look at what is stored, that lets few but the right one through."""
    encoded = event_id.encode()
    tail = event_id.rpartition("-")[2]
    try:
        crc = int(tail, 16)
    except ValueError:
        crc = -1

    def may_be(record: Record) -> bool:
        if record.kind == Kind.KERNEL:
            return zlib.crc32(record.body) == crc
        return encoded in record.body

    return may_be

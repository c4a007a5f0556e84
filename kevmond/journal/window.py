"""Records in memory: the newest ones that consumers may read, and those no disk has taken yet."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kevmond.events.event import Context, Record

RAW_COST: Final = 300
"""Bytes of memory that a record takes beside its body."""
MODEL_COST: Final = 3800
"""What it takes more once a consumer has looked at it: model, payload, JSON line (measured)."""
_LAST: Final = attrgetter("last")


@dataclass(slots=True, eq=False)
class Chunk:
    """Records that were appended together: contiguous, of one context."""

    first: int
    last: int
    records: Sequence[Record]
    context: Context
    size: int
    """Estimated bytes of memory, models not counted."""

    @property
    def count(self) -> int:
        """Number of records."""
        return self.last - self.first + 1


def chunk(records: Sequence[Record], context: Context) -> Chunk:
    """Make a chunk of records that are contiguous."""
    size = RAW_COST * len(records) + sum([len(record.body) for record in records])
    return Chunk(records[0].seq, records[-1].seq, records, context, size)


class Window:
    """Visible records in memory, oldest first.

    Every visible record from `start` on is here; older ones are on the disk or gone.
    """

    def __init__(self, start: int, max_records: int, max_bytes: int) -> None:
        self.start = start
        self.records = 0
        self.size = 0
        self._max_records = max_records
        self._max_bytes = max_bytes
        self._chunks: list[Chunk] = []

    def add(self, new: Chunk) -> None:
        """Add the chunk that follows all others."""
        self._chunks.append(new)
        self.records += new.count
        self.size += new.size

    def evict(self, stored_seq: int, wanted: int, furthest: int) -> None:
        """Let go of chunks that are on the disk: those nobody wants, and those beyond the bounds.

        `stored_seq`: newest position on the disk; `wanted`: lowest position still to be read here;
        `furthest`: lowest position that nobody has read.
        """
        done = 0
        for old in self._chunks:
            if old.last > stored_seq or not (old.last < wanted or self._crowded(old, furthest)):
                break
            self.records -= old.count
            self.size -= old.size
            self.start = old.last + 1
            done += 1
        del self._chunks[:done]

    def _crowded(self, oldest: Chunk, furthest: int) -> bool:
        models = min(self.records, max(0, furthest - oldest.first))
        size = self.size + MODEL_COST * models
        return self.records > self._max_records or size > self._max_bytes

    def discard(self, lost: Chunk) -> None:
        """Let go of a chunk that was given up."""
        index = bisect_left(self._chunks, lost.first, key=_LAST)
        if index < len(self._chunks) and self._chunks[index] is lost:
            del self._chunks[index]
            self.records -= lost.count
            self.size -= lost.size

    def take(self, seq: int, limit: int) -> list[Record]:
        """At most `limit` contiguous records from the first one at or behind `seq`."""
        chunks = self._chunks
        index = bisect_left(chunks, seq, key=_LAST)
        taken: list[Record] = []
        while index < len(chunks) and len(taken) < limit:
            here = chunks[index]
            if taken and here.first != taken[-1].seq + 1:
                break  # what is missing between them must be counted by the reader
            skip = max(0, seq - here.first)
            taken += here.records[skip : skip + limit - len(taken)]
            index += 1
        return taken

    @property
    def first(self) -> int | None:
        """Oldest position here; None if empty."""
        return self._chunks[0].first if self._chunks else None


class Backlog:
    """Records waiting for the disk, oldest first, bounded by count and bytes.

    They wait for a moment, unread, or, while the disk refuses, for long and read by consumers: then
    their models count as well.
    """

    def __init__(self, max_records: int, max_bytes: int) -> None:
        self.records = 0
        self.size = 0
        self._max_records = max_records
        self._max_bytes = max_bytes
        self._chunks: deque[Chunk] = deque()
        self.read = False
        """Whether consumers get what waits here."""

    def __bool__(self) -> bool:
        return bool(self._chunks)

    def __iter__(self) -> Iterator[Chunk]:
        return iter(self._chunks)

    def push(self, new: Chunk) -> None:
        """Add the newest chunk."""
        self._chunks.append(new)
        self.records += new.count
        self.size += new.size

    def take_all(self) -> list[Chunk]:
        """Hand everything over."""
        taken = list(self._chunks)
        self._chunks.clear()
        self.records = self.size = 0
        return taken

    def put_back(self, chunks: Sequence[Chunk]) -> None:
        """Take back what the disk refused; it is older than all that is here."""
        self._chunks.extendleft(reversed(chunks))
        self.records += sum(back.count for back in chunks)
        self.size += sum(back.size for back in chunks)

    def overflow(self) -> list[Chunk]:
        """Give up the oldest chunks until the bounds are kept; the newest one always stays."""
        lost: list[Chunk] = []
        model = MODEL_COST if self.read else 0
        while len(self._chunks) > 1 and (
            self.records > self._max_records or self.size + model * self.records > self._max_bytes
        ):
            old = self._chunks.popleft()
            self.records -= old.count
            self.size -= old.size
            lost.append(old)
        return lost

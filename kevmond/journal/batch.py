"""The body of a row: many records side by side, so that a row costs the disk what a record would.

Layout, little endian, n = records:

    i64 wall_ns[n]   u32 length[n]   char kind[n]   the bodies, one after another

Columns rather than records one by one: `struct` packs a whole column in one call.  The positions
of a row are contiguous, so `first_seq` names them all.
"""

from __future__ import annotations

import struct
import zlib
from itertools import accumulate
from typing import TYPE_CHECKING, Final, NamedTuple

from kevmond.events.event import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kevmond.events.event import Record

MAX_RECORDS: Final = 512
"""Most records of a row: what retention frees and a reader loads at once."""
MAX_BYTES: Final = 256 << 10
"""Bytes of bodies beyond which a row is closed."""

_KEY: Final = struct.Struct("<qqqqqq")
_KINDS: Final = {str(kind): kind for kind in Kind}


class Row(NamedTuple):
    """A row of the table `batches`."""

    first_seq: int
    last_seq: int
    first_ns: int
    """Wall clock of the first record."""
    last_ns: int
    """Wall clock of the last record."""
    context: int
    """Row of `contexts` that its records belong to."""
    records: int
    """How many."""
    crc: int
    """CRC-32 of all other columns."""
    body: bytes


class DamagedRow(ValueError):  # noqa: N818 - a state of the row
    """A row is not what was written."""


class Batch:
    """A row that was read and found sound; `body(i)` cuts out one record at a time."""

    __slots__ = ("_data", "_offsets", "context_id", "first_seq", "kinds", "last_seq", "walls")

    first_seq: int
    last_seq: int
    context_id: int
    walls: tuple[int, ...]
    kinds: list[Kind]

    def __init__(self, row: Row) -> None:
        """Check and open a row; DamagedRow tells what is wrong with it."""
        try:
            self._open(row)
        except (struct.error, TypeError, OverflowError) as error:
            raise DamagedRow(f"it is of another form ({error})") from error

    def _open(self, row: Row) -> None:
        count = row.records
        if _crc(row[:6], row.body) != row.crc:
            raise DamagedRow("its check sum is wrong")
        if count < 1 or row.last_seq - row.first_seq != count - 1 or len(row.body) < 13 * count:
            raise DamagedRow("its counts contradict each other")
        self.first_seq = row.first_seq
        self.last_seq = row.last_seq
        self.context_id = row.context
        self.walls = struct.unpack_from(f"<{count}q", row.body)
        lengths = struct.unpack_from(f"<{count}I", row.body, 8 * count)
        self._data = row.body
        self._offsets = list(accumulate(lengths, initial=13 * count))
        if self._offsets[-1] != len(row.body):
            raise DamagedRow("its lengths do not add up")
        try:
            kinds = row.body[12 * count : 13 * count].decode("ascii")
            self.kinds = [_KINDS[kind] for kind in kinds]
        except (UnicodeDecodeError, KeyError) as error:
            raise DamagedRow("it holds records of an unknown kind") from error

    def body(self, index: int) -> bytes:
        """Bytes of the record at `first_seq` + `index`."""
        return self._data[self._offsets[index] : self._offsets[index + 1]]


def pack(records: Sequence[Record], context: int) -> Iterator[Row]:
    """Make rows of records whose positions are contiguous."""
    for begin in range(0, len(records), MAX_RECORDS):
        part = records[begin : begin + MAX_RECORDS]
        bodies = [record.body for record in part]
        lengths = list(map(len, bodies))
        if sum(lengths) <= MAX_BYTES:
            yield _row(part, bodies, lengths, context)
            continue
        start = size = 0
        for index, length in enumerate(lengths):
            if size and size + length > MAX_BYTES:
                yield _row(part[start:index], bodies[start:index], lengths[start:index], context)
                start, size = index, 0
            size += length
        yield _row(part[start:], bodies[start:], lengths[start:], context)


def _row(records: Sequence[Record], bodies: list[bytes], lengths: list[int], context: int) -> Row:
    count = len(records)
    walls = [record.wall_ns for record in records]
    columns = struct.pack(f"<{count}q{count}I", *walls, *lengths)
    kinds = "".join([record.kind for record in records]).encode()
    body = b"".join((columns, kinds, *bodies))
    key = (records[0].seq, records[-1].seq, walls[0], walls[-1], context, count)
    return Row(*key, _crc(key, body), body)


def _crc(key: tuple[int, ...], body: bytes) -> int:
    return zlib.crc32(body, zlib.crc32(_KEY.pack(*key)))

"""Rows: what goes in comes out, and damage never passes for content."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kevmond.events.event import Kind, Record
from kevmond.journal.batch import MAX_BYTES, MAX_RECORDS, Batch, DamagedRow, Row, pack

CONTENT = st.lists(
    st.tuples(st.integers(-(2**62), 2**62), st.sampled_from(Kind), st.binary(max_size=300)),
    min_size=1,
    max_size=40,
)


def made(content, first=1):
    """Make records of walls, kinds and bodies."""
    return [Record(first + i, *parts) for i, parts in enumerate(content)]


def unpacked(rows):
    """Return what rows hold, as tuples."""
    return [
        (batch.first_seq + i, batch.walls[i], batch.kinds[i], batch.body(i))
        for batch in map(Batch, rows)
        for i in range(len(batch.walls))
    ]


@given(CONTENT, st.integers(1, 2**60))
def test_rows_give_back_what_was_packed(content, first):
    """Position, time, kind and bytes of every record survive."""
    records = made(content, first)
    expected = [(r.seq, r.wall_ns, r.kind, r.body) for r in records]
    assert unpacked(pack(records, 7)) == expected


@pytest.mark.parametrize(("count", "size"), [(2000, 10), (40, 60_000), (3, 300_000), (1, 0)])
def test_rows_are_bounded(count, size):
    """A row holds at most 512 records and 256 KiB, or a single record that is longer."""
    records = made([(5, Kind.OWN, bytes(size))] * count)
    rows = list(pack(records, 1))
    assert [seq for seq, *_ in unpacked(rows)] == list(range(1, count + 1))
    for row in rows:
        assert row.records <= MAX_RECORDS
        assert row.records == 1 or row.records * size <= MAX_BYTES


@given(CONTENT, st.data())
def test_a_flipped_bit_is_seen(content, data):
    """One bit changed anywhere in a row's body makes it damaged, not different."""
    (row,) = pack(made(content), 1)
    body = bytearray(row.body)
    body[data.draw(st.integers(0, len(body) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(DamagedRow):
        Batch(row._replace(body=bytes(body)))


@pytest.mark.parametrize(
    "change",
    [
        {"first_seq": 2},
        {"last_seq": 99},
        {"context": 9},
        {"records": 2},
        {"records": None},
        {"first_ns": "x"},
        {"crc": 1},
        {"body": None},
        {"body": b""},
    ],
)
def test_changed_columns_are_seen(change):
    """A row whose columns were changed is damaged, whatever their types."""
    (row,) = pack(made([(1, Kind.KERNEL, b"abc")]), 1)
    with pytest.raises(DamagedRow):
        Batch(row._replace(**change))


def test_an_unknown_kind_is_damage():
    """A sound row of records of a kind that this version does not know is not guessed at."""
    strange = Record(1, 1, "z", b"abc")
    (row,) = pack([strange], 1)
    with pytest.raises(DamagedRow, match="unknown kind"):
        Batch(Row(*row))

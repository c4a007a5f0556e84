"""Walks over the journal in blocks, forwards and backwards, gaps and all."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kevmond.events.own import Loss, own_record
from kevmond.journal.journal import Journal
from kevmond.journal.paging import BLOCK, backwards, bounds, find, forwards
from kevmond.journal.settings import JournalSettings
from kevmond.sinks.testing import CONTEXT, START_NS, record


class Counting:
    """A journal that counts how often it is read."""

    def __init__(self, journal):
        self.journal = journal
        self.reads = 0

    @property
    def next_seq(self):
        return self.journal.next_seq

    async def read(self, **more):
        self.reads += 1
        return await self.journal.read(**more)


@pytest.fixture
async def real(tmp_path):
    """Make a journal that keeps little in memory."""
    journal = Journal.open(JournalSettings(path=tmp_path / "journal.sqlite", window_records=10))
    journal.set_context(CONTEXT)
    yield journal
    await journal.aclose(10)


async def fill(journal, runs):
    """Append runs of so many records, each after a gap of so many positions."""
    held = []
    for gap, count in runs:
        journal.advance(journal.next_seq - 1 + gap)
        begin = journal.next_seq
        journal.append([record(seq) for seq in range(begin, begin + count)])
        held += range(begin, begin + count)
        await journal.lasting()
    return held


async def positions(blocks):
    """Return the positions of each block."""
    return [[each.seq for each in block] async for block in blocks]


RUNS = st.lists(st.tuples(st.integers(0, 700), st.integers(1, 600)), min_size=1, max_size=5)


@given(runs=RUNS, first=st.integers(1, 2500), length=st.integers(0, 2500))
@settings(max_examples=25, deadline=None)
def test_both_ways_give_the_same_records(tmp_path_factory, runs, first, length):
    """Forwards is what the journal holds between two positions, backwards that in reverse."""

    async def run():
        path = tmp_path_factory.mktemp("paging") / "journal.sqlite"
        journal = Journal.open(JournalSettings(path=path, window_records=100))
        journal.set_context(CONTEXT)
        held = await fill(journal, runs)
        last = min(first + length, journal.next_seq - 1)
        wanted = [seq for seq in held if first <= seq <= last]
        there = await positions(forwards(journal, first=first, last=last))
        back = await positions(backwards(journal, first=first, last=last))
        await journal.aclose(10)
        assert [seq for block in there for seq in block] == wanted
        assert [seq for block in reversed(back) for seq in block] == wanted
        assert all(len(block) <= BLOCK for block in there + back)

    asyncio.run(run())


async def test_a_gap_of_millions_is_leapt_over(real):
    """Positions that were skipped cost a few looks, not one for each block of them."""
    held = await fill(real, [(0, 300), (5_000_000, 10), (3_000_000, 5)])
    counting = Counting(real)
    back = await positions(backwards(counting, last=real.next_seq - 1))
    assert [seq for block in reversed(back) for seq in block] == held
    assert counting.reads < 150


async def test_nothing_is_in_an_empty_journal(real):
    """Walks over nothing end at once."""
    assert await positions(forwards(real)) == []
    assert await positions(backwards(real, last=0)) == []
    assert await positions(backwards(real, last=10)) == []
    assert await bounds(real, 0, START_NS) == (1, 0)


async def test_times_become_positions(real):
    """The bounds take in every record of the time, both ends included."""
    await fill(real, [(0, 300)])

    def at(seq):
        return START_NS + seq * 1_000_000

    assert await bounds(real) == (1, 300)
    assert await bounds(real, at(20), at(260)) == (20, 260)
    assert await bounds(real, at(20) + 1, at(260) - 1) == (21, 259)
    assert await bounds(real, at(301)) == (301, 300)
    assert await bounds(real, None, at(0)) == (1, 0)


async def test_clock_that_once_stood_wrong_does_not_matter(real):
    """Records stamped in the future, long ago, neither end nor begin a later time."""
    for first, second in ((1, 4e9), (11, None), (21, None)):
        real.append([record(seq, second=second) for seq in range(first, first + 10)])
        await real.lasting()
    begin, end = START_NS + 21 * 1_000_000, START_NS + 25 * 1_000_000
    assert await bounds(real, begin, end) == (21, 25)


async def test_an_event_is_found_by_id_or_position(real):
    """Ids of kernel events and of own records, and positions, lead to the record."""
    await fill(real, [(0, 600), (50, 300)])
    loss = Loss(lost=1, total=1, source="id-gap")
    own = own_record(CONTEXT, loss, seq=real.next_seq, wall_ns=START_NS)
    real.append([own])
    await real.lasting()
    for seq in (1, 300, 600, 700):
        wanted = record(seq)
        assert (await find(real, wanted.event.id)).seq == seq
        assert (await find(real, str(seq))).event == wanted.event
    assert (await find(real, own.event.id)).line == own.line


@pytest.mark.parametrize(
    "event_id", ["620", "0", "9" * 18, "9" * 5000, "²", "nobody-1-ffffffff", ""]
)
async def test_what_is_not_there_is_not_found(real, event_id):
    """Whatever is asked for, an event that is not there is None."""
    await fill(real, [(0, 600), (50, 3)])
    assert await find(real, event_id) is None

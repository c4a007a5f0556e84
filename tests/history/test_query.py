"""Pages of the past: what fits, in either order, a page at a time."""

import asyncio
import runpy
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kevmond.errors import FilterError
from kevmond.events.filters import EventFilter
from kevmond.events.own import Loss
from kevmond.history import query
from kevmond.history.condition import Condition
from kevmond.history.query import Walk, Wanted, search
from kevmond.journal.journal import Journal
from kevmond.journal.paging import BLOCK
from kevmond.journal.settings import JournalSettings
from kevmond.sinks.testing import CONTEXT, START_NS

KIT = runpy.run_path(str(Path(__file__).parent / "conftest.py"))
COUNT = 900
RECORDS = KIT["variety"](1, COUNT)


async def pages(journal, wanted, limit):
    """Return the positions of all pages, each found by where the one before ended."""
    turns, found = asyncio.Lock(), []
    while True:
        page = await search(journal, turns, wanted, limit)
        seqs = [record.seq for record in page.records]
        assert len(seqs) <= limit
        found.append(seqs)
        if not page.more:
            assert page.last == (seqs[-1] if seqs else None)
            return found
        end = {"before": page.last} if wanted.newest_first else {"after": page.last}
        wanted = Wanted(
            wanted.condition,
            **{
                "after": wanted.after,
                "before": wanted.before,
                "since_ns": wanted.since_ns,
                "until_ns": wanted.until_ns,
                "newest_first": wanted.newest_first,
                **end,
            },
        )


PLACES = st.none() | st.integers(0, COUNT + 50)
TIMES = st.none() | st.integers(0, COUNT + 50).map(lambda seq: START_NS + seq * 1_000_000)
CONDITIONS = st.builds(
    Condition,
    st.sampled_from([(), ("code=link-*",), ("drop type=kevmond.*",), ("interface=en0", "code=99")]),
    interface=st.sampled_from(["", "en1", "en*,!en0"]),
    types=st.sampled_from(["", "network.dl.link-on", "kevmond.*"]),
    text=st.sampled_from(["", "LINK-ON", '"seq":1', "nothing has this"]),
)


@given(
    condition=CONDITIONS,
    after=PLACES,
    before=PLACES,
    since=TIMES,
    until=TIMES,
    limit=st.integers(15, 400),
    looked=st.sampled_from([query.LOOKED, BLOCK]),
)
@settings(max_examples=30, deadline=None)
def test_pages_are_all_that_fits(
    tmp_path_factory, condition, after, before, since, until, limit, looked
):
    """Pages in a row give every event that fits once, in order; the other order is the reverse."""
    wanted = [
        record.seq
        for record in RECORDS
        if (after is None or record.seq > after)
        and (before is None or record.seq < before)
        and (since is None or record.wall_ns >= since)
        and (until is None or record.wall_ns <= until)
        and condition.matches(record)
    ]

    async def run():
        path = tmp_path_factory.getbasetemp() / "query.sqlite"
        journal = Journal.open(JournalSettings(path=path, window_records=50))
        journal.set_context(CONTEXT)
        if journal.next_seq == 1:
            for begin in range(0, COUNT, 100):
                await KIT["put"](journal, *RECORDS[begin : begin + 100])
        asked = {"after": after, "before": before, "since_ns": since, "until_ns": until}
        there = await pages(journal, Wanted(condition, **asked), limit)
        back = await pages(journal, Wanted(condition, **asked, newest_first=True), limit)
        await journal.aclose(10)
        assert [seq for page in there for seq in page] == wanted
        assert [seq for page in back for seq in page] == wanted[::-1]

    query.LOOKED, before_test = looked, query.LOOKED
    try:
        asyncio.run(run())
    finally:
        query.LOOKED = before_test


async def test_a_walk_is_bounded_and_tells_where_it_ended(journal, kit, monkeypatch):
    """A page that nothing was found for ends after so many records, and is no end."""
    await kit.put(journal, *[kit.link(seq) for seq in range(1, 1001)])
    monkeypatch.setattr(query, "LOOKED", 500)
    nothing = Condition(text="nothing has this")
    page = await search(journal, asyncio.Lock(), Wanted(nothing), 10)
    assert (page.records, page.last, page.more) == ([], 2 * BLOCK, True)
    page = await search(journal, asyncio.Lock(), Wanted(nothing, after=2 * BLOCK), 10)
    assert (page.records, page.last, page.more) == ([], None, False)


async def test_walks_at_once_decode_one_block_in_a_turn_of_the_loop(journal, kit):
    """However many walk, the loop has its turn after each block that is decoded."""
    await kit.put(journal, *[kit.link(seq) for seq in range(1, 601)])
    turn, decoded = [0], []

    async def count_turns():
        while True:
            turn[0] += 1
            await asyncio.sleep(0)

    class Noting(Condition):
        def matches(self, record):
            decoded.append((turn[0], record.seq))
            return super().matches(record)

    async def walk(turns):
        found = Walk(journal, turns, Wanted(Noting(["code=link-off"])), most=1000)
        return [record.seq async for block in found.blocks() for record in block]

    turns = asyncio.Lock()
    counting = asyncio.ensure_future(count_turns())
    walks = await asyncio.gather(*(walk(turns) for _ in range(4)))
    counting.cancel()
    assert walks == [list(range(1, 601))] * 4
    in_turn = {each: [seq for now, seq in decoded if now == each] for each, _ in decoded}
    assert max(map(len, in_turn.values())) <= BLOCK


def test_rules_let_own_records_pass_and_shorthands_do_not():
    """A rule is no reason to hide a loss; who asks for an interface wants that interface."""
    record = KIT["said"](7, Loss(lost=1, total=1, source="id-gap"))
    assert Condition(["interface=en0"]).matches(record)
    assert not Condition(interface="en0").matches(record)
    assert not Condition(types="network.*").matches(record)
    assert Condition(types="kevmond.loss").matches(record)


def test_alternatives_and_drops_are_those_of_the_filter_language():
    """Several rules are one filter."""
    rules = ["code=link-on", "interface=en1", "drop interface=en1 code=99"]
    condition, filtering = Condition(rules), EventFilter(rules)
    for record in RECORDS:
        assert condition.matches(record) == filtering.matches(record.event)


def test_text_is_found_whatever_its_case():
    """Letters of any alphabet are compared without their case, in the JSON that consumers get."""
    record = KIT["said"](7, Loss(lost=1, total=1, source="id-gap", detail="Straße nach KÖLN"))
    for text in ("straße", "STRASSE", "köln", "kevmond.LOSS", '"lost":1'):
        assert Condition(text=text).matches(record), text
    assert not Condition(text="berlin").matches(record)


@pytest.mark.parametrize(
    "parts",
    [{"rules": ["colour=red"]}, {"types": "network.dl.lnk-on"}, {"rules": ["interface=en0 ="]}],
)
def test_a_mistake_is_told(parts):
    """What cannot match anything is refused, as in every filter."""
    with pytest.raises(FilterError):
        Condition(**parts)


def test_a_condition_is_told_in_words():
    """Whoever looks at the streams sees what each asked for."""
    assert str(Condition()) == ""
    told = Condition(["code=link-on", "interface=en1"], types="network.*", text="X")
    assert str(told) == "code=link-on or interface=en1; type=network.*; text='x'"
    assert told.key == Condition(["code=link-on", "interface=en1"], types="network.*", text="x").key

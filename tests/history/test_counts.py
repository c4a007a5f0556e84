"""Counts of events, checked against counting by hand."""

import asyncio
from collections import Counter

import pytest

from kevmond.errors import ConfigError
from kevmond.events.event import timestamp
from kevmond.history import counts
from kevmond.history.condition import Condition
from kevmond.history.counts import count
from kevmond.history.query import Wanted


def name_of(record, by):
    """Return what a record counts as."""
    event = record.event
    return {"type": event.type, "interface": event.interface or "(none)"}.get(
        by, event.severity.value
    )


@pytest.mark.parametrize("by", ["type", "interface", "severity"])
@pytest.mark.parametrize("rules", [[], ["code=link-*"]])
async def test_counts_are_those_made_by_hand(journal, kit, by, rules):
    """Totals and buckets add up to every event that fits."""
    records = kit.variety(1, 1200)
    await kit.put(journal, *records)
    condition = Condition(rules)
    wanted = Wanted(condition, newest_first=True, since_ns=records[99].wall_ns)
    found = await count(journal, asyncio.Lock(), wanted, by=by, bucket=1)
    fitting = [record for record in records[99:] if condition.matches(record)]
    assert found["by"] == dict(Counter(name_of(record, by) for record in fitting))
    assert found["total"] == len(fitting)
    by_hand = {}
    for record in fitting:
        begin = timestamp(record.wall_ns // 10**9 * 10**9)
        by_hand.setdefault(begin, Counter())[name_of(record, by)] += 1
    assert found["buckets"] == [
        {"time": begin, "count": sum(each.values()), "by": dict(each)}
        for begin, each in sorted(by_hand.items())
    ]
    assert (found["cut"], found["looked_at"]) == (False, 1101)
    assert found["looked_from"] == records[99].event.time


async def test_no_buckets_are_made_where_none_are_wanted(journal, kit):
    """A bucket of nothing is no bucket."""
    await kit.put(journal, *kit.variety(1, 10))
    found = await count(journal, asyncio.Lock(), Wanted(newest_first=True), by="type", bucket=0)
    assert (found["total"], found["buckets"]) == (10, [])


async def test_the_newest_are_counted_where_there_are_too_many(journal, kit, monkeypatch):
    """What is looked at is bounded, and said."""
    await kit.put(journal, *kit.variety(1, 1000))
    monkeypatch.setattr(counts, "LOOKED", 512)
    found = await count(journal, asyncio.Lock(), Wanted(newest_first=True), by="type", bucket=60)
    assert (found["total"], found["looked_at"], found["cut"]) == (512, 512, True)
    assert found["looked_from"] == timestamp(kit.START_NS + 489 * 1_000_000)


async def test_too_many_buckets_are_refused(journal, kit, monkeypatch):
    """An answer has an end; the mistake says what to ask for instead."""
    await kit.put(journal, *[kit.link(seq, second=seq) for seq in range(1, 101)])
    monkeypatch.setattr(counts, "MOST_BUCKETS", 99)
    with pytest.raises(ConfigError, match="make them longer"):
        await count(journal, asyncio.Lock(), Wanted(newest_first=True), by="type", bucket=1)
    found = await count(journal, asyncio.Lock(), Wanted(newest_first=True), by="type", bucket=2)
    assert len(found["buckets"]) == 50


async def test_nothing_counts_nothing(journal):
    """An empty journal has an answer too."""
    found = await count(journal, asyncio.Lock(), Wanted(newest_first=True), by="type", bucket=60)
    assert (found["total"], found["by"], found["looked_from"]) == (0, {}, None)

"""/v1/events: pages, counts, single events, and who got them."""

from types import SimpleNamespace

import pytest

from kevmond.events.filters import parse_rule
from kevmond.history import query
from kevmond.sinks.health import Counters, SinkStatistics, State
from kevmond.sinks.testing import START_NS, link_message, record


def seqs(page):
    """Return the positions of a page."""
    return [event["seq"] for event in page["events"]]


async def test_pages_tell_where_to_go_on(daemon):
    """A page has the oldest events first; `last` is the cursor of the next page."""
    await daemon.put(250)
    page = await daemon.get("events")
    assert seqs(page) == list(range(1, 101))
    assert {key: page[key] for key in page if key != "events"} == {
        "first": 1,
        "last": 100,
        "more": True,
        "oldest": 1,
        "newest": 250,
    }
    page = await daemon.get("events", after=200, limit=1000)
    assert (seqs(page), page["last"], page["more"]) == (list(range(201, 251)), 250, False)
    page = await daemon.get("events", order="desc", before=3)
    assert (seqs(page), page["first"], page["last"]) == ([2, 1], 2, 1)
    page = await daemon.get("events", order="desc", limit=2)
    assert (seqs(page), page["more"]) == ([250, 249], True)


async def test_events_are_those_that_consumers_get(daemon):
    """The JSON of an event is the same everywhere."""
    await daemon.put()
    wanted = record(1, raw=link_message(1))
    page = await daemon.get("events")
    assert page["events"] == [await daemon.get("events/1")]
    assert page["events"] == [await daemon.get(f"events/{wanted.event.id}")]
    assert page["events"] == [wanted.event.model_dump(mode="json", by_alias=True)]


async def test_nothing_is_an_answer_too(daemon):
    """An empty journal has empty pages."""
    assert await daemon.get("events") == {
        "events": [],
        "first": None,
        "last": None,
        "more": False,
        "oldest": 1,
        "newest": 0,
    }


async def test_every_condition_narrows_the_page(daemon):
    """Rules are alternatives; shorthands, text and times hold together with them."""
    await daemon.put(10)  # link-off en0
    await daemon.put(10, code=13)  # link-on en0
    await daemon.put(10, unit=1)  # link-off en1
    await daemon.lose()

    async def found(*pairs, **words):
        return seqs(await daemon.get("events", *pairs, **words))

    rules = [("filter", "code=link-on"), ("filter", "interface=en1")]
    assert await found(*rules) == list(range(11, 32))
    assert await found(*rules, type="network.*") == list(range(11, 31))
    assert await found(interface="en1") == list(range(21, 31))
    assert await found(("interface", "en0"), ("interface", "en1"), after=19) == list(range(20, 31))
    assert await found(text="LINK-ON", before=14) == [11, 12, 13]
    since, until = record(5).event.time, record(7).event.time
    assert await found(since=since, until=until) == [5, 6, 7]
    assert await found(since="1s") == []


async def test_walk_that_was_too_long_goes_on_behind_what_was_looked_at(daemon, monkeypatch):
    """A page may be empty and not the last; `last` is then how far it came."""
    await daemon.put(600)
    monkeypatch.setattr(query, "LOOKED", 256)
    page = await daemon.get("events", text="nothing has this")
    assert (page["events"], page["first"], page["last"], page["more"]) == ([], None, 256, True)


@pytest.mark.parametrize(
    ("path", "words", "error"),
    [
        ("events", {"fliter": "x"}, "fliter: no such parameter here; there are filter, "),
        ("events", {"filter": "colour=red"}, "colour"),
        ("events", {"type": "network.dl.lnk-on"}, "the nearest known one is"),
        ("events", {"after": "-1"}, "after: not a number: '-1'"),
        ("events", {"limit": "9" * 5000}, "limit: not a number"),
        ("events", {"since": "yesterday"}, "since: not a time: 'yesterday'"),
        ("events", {"order": "up"}, "order: 'up' is none of asc, desc"),
        ("events/counts", {"by": "colour"}, "by: 'colour' is none of type, interface, severity"),
        ("events/counts", {"limit": "3"}, "limit: no such parameter here"),
        ("events/1", {"x": "y"}, "x: no such parameter here"),
        ("events/stream", {"until": "1h"}, "until: no such parameter here"),
        ("events/stream", {"after": "1", "since": "1h"}, "after and since"),
        ("events/stream", {"filter": "class=nothing"}, "class"),
    ],
)
async def test_mistake_is_told(daemon, path, words, error):
    """A 422 says which parameter is wrong and what would be right."""
    await daemon.put()
    told = await daemon.get(path, status=422, **words)
    assert error in told["error"]


async def test_counts_are_told_with_buckets(daemon):
    """Totals are by type unless something else is asked for, and buckets a minute long."""
    await daemon.put(3)
    await daemon.put(2, code=13)
    found = await daemon.get("events/counts")
    assert found == {
        "bucket": 60,
        "total": 5,
        "by": {"network.dl.link-off": 3, "network.dl.link-on": 2},
        "buckets": [
            {
                "time": "2026-11-24T08:09:00.000000Z",
                "count": 5,
                "by": {"network.dl.link-on": 2, "network.dl.link-off": 3},
            }
        ],
        "cut": False,
        "looked_at": 5,
        "looked_from": record(1).event.time,
    }
    found = await daemon.get("events/counts", by="severity", bucket=0, filter="code=link-off")
    assert (found["by"], found["buckets"]) == ({"notice": 3}, [])


async def test_an_event_that_is_not_there_is_a_404_with_a_hint(daemon):
    """Whoever asks learns where events may have gone, and how to see which there are."""
    for path in ("events/7", "events/x-1-00000000/explain"):
        told = await daemon.get(path, status=404)
        assert "is not in the journal" in told["error"]
        assert "journal.max_age" in told["hint"]


async def test_explanation_names_every_consumer(daemon):
    """Sinks that run, sinks that are switched off, and streams tell what became of an event."""
    await daemon.put(3)
    figures = SinkStatistics("files", "jsonl", State.HEALTHY, None, Counters(), position=3, lag=0)
    runner = SimpleNamespace(
        name="files",
        cursor_name="sink.files",
        settings=SimpleNamespace(type="jsonl", filter=(parse_rule("code=link-on"),)),
        statistics=lambda: figures,
    )
    daemon.fleet.names = lambda: ["files"]
    daemon.fleet.runner = {"files": runner}.get
    daemon.config["settings"]["sinks"] = {"files": {}, "log": {"enabled": False}}
    await daemon.joined(after=1, interface="en0")
    found = await daemon.get("events/2/explain")
    assert found["event"] == await daemon.get("events/2")
    assert [(each["name"], each["verdict"], each["at"]) for each in found["consumers"]] == [
        ("files", "filtered", 3),
        ("log", "paused", None),
        ("stream-1", "delivered", 3),
    ]


async def test_counting_looks_at_time_too(daemon):
    """What came before `since` is not counted."""
    await daemon.put(10)
    found = await daemon.get("events/counts", since=record(8).event.time)
    assert (found["total"], record(1).wall_ns) == (3, START_NS + 1_000_000)

"""`kevmond explain`, against a real journal and sinks behind the API."""

import json
import sys

import pytest

from kevmond.sinks.jsonl import JsonlSettings

RULE = "rule 1 (code=link-on): its code is link-off"


@pytest.fixture
def explain(ask, past):
    """Call `kevmond explain ARGS...`; two sinks run, of which one has a filter."""
    past.sinks(
        {
            "all": JsonlSettings(path=past.folder / "all.jsonl"),
            "links": JsonlSettings(path=past.folder / "links.jsonl", filter=["code=link-on"]),
        }
    )
    return lambda *args: ask("explain", *args)


def taken(past, count):
    """Wait until the sinks have come to a position."""

    async def wait():
        import asyncio

        async with asyncio.timeout(30):
            while any(past.fleet.runner(name).position < count for name in ("all", "links")):  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.005)

    past.call(wait())


def test_each_consumer_has_a_verdict_and_a_reason(explain, past):
    """The event itself, then who got it, and the rule by which another did not."""
    (one,) = past.put()
    taken(past, 1)
    assert explain("1").lines == [
        "2026-11-24T08:09:31.124456Z notice   network.dl.link-off         en0",
        "  position       1",
        f"  id             {one.event.id}",
        "",
        "all (sink of type jsonl): delivered",
        "  its place has passed it, and there is no filter",
        "links (sink of type jsonl): filtered",
        f"  no rule lets it pass; {RULE} (by the filter as it is now)",
    ]


def test_id_is_taken_as_well(explain, past):
    """An event is named by its id or by its position."""
    first, _ = past.put(2)
    taken(past, 2)
    facts = json.loads(explain(first.event.id, "--json").out)
    assert facts["event"] == json.loads(first.line)
    assert [one["verdict"] for one in facts["consumers"]] == ["delivered", "filtered"]
    assert json.loads(explain("1", "--json").out)["event"] == facts["event"]


def test_nobody_is_told_as_that(ask, past):
    """There may be no consumers."""
    past.put()
    assert ask("explain", "1").lines[-1].startswith("there is no consumer")


@pytest.mark.parametrize("event_id", ["7", "4f1c0a52-1-00000000", "../status"])
def test_unknown_event(explain, past, event_id):
    """Exit code 1, and why it may be gone."""
    past.put()
    result = explain(event_id)
    assert (result.code, "is not in the journal" in result.err) == (1, True), result.err


def test_empty_id_asks_no_daemon(kevmond):
    """A variable of a script that was never set is told as that."""
    result = kevmond("explain", "", "--state-dir", ".")
    assert (result.code, "it is empty" in result.err) == (2, True)


def test_closed_output_is_no_failure(ask, past, monkeypatch):
    """Whoever closes the output wants nothing."""
    past.put()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", None)
        result = ask("explain", "1")
    assert (result.code, result.err) == (0, "")


def test_without_a_daemon_the_way_to_one_is_told(kevmond, tmp_path):
    """EX_UNAVAILABLE, and the command that starts one."""
    result = kevmond("explain", "1", "--state-dir", tmp_path)
    assert (result.code, "start it with `kevmond run`" in result.err) == (69, True)

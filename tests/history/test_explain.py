"""What became of one event at each consumer, told from what is known."""

import json
import runpy
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kevmond.events.filters import EventFilter, parse_rule
from kevmond.events.own import Loss
from kevmond.history import explain as module
from kevmond.history.condition import Condition
from kevmond.history.explain import explain
from kevmond.history.reasons import decide
from kevmond.journal.letters import DeadLetter
from kevmond.sinks.health import Counters, SinkStatistics, State

KIT = runpy.run_path(str(Path(__file__).parent / "conftest.py"))
RECORDS = KIT["variety"](1, 200)
RULES = [
    "class=network",
    "class=system",
    "code=link-on interface=en*",
    "code=99 severity>=warning",
    "interface=!?*",
    "drop interface=en1",
    "drop type=kevmond.loss",
    "drop origin=own",
    "vendor=apple subclass=dl,inet code=!link-off",
]

# ---------------------------------------------------------------------- the filter in words


@given(st.lists(st.sampled_from(RULES), max_size=4), st.sampled_from(RECORDS))
def test_a_decision_in_words_is_the_filter_s(rules, record):
    """Whatever is told of a filter, it says what the filter does."""
    found = EventFilter(rules)
    assert decide(found, record.event).passes == found.matches(record.event)


@pytest.mark.parametrize(
    ("rules", "passes", "why"),
    [
        ([], True, "there is no filter"),
        (["drop code=link-on"], True, "no rule drops it"),
        (["class=system", "code=link-off"], True, "rule 2 lets it pass (code=link-off)"),
        (["code=link-off", "drop interface=en0"], False, "rule 2 drops it (drop interface=en0)"),
        (
            ["class=system", "drop code=link-on", "code=link-on interface=en1 severity>=info"],
            False,
            (
                "no rule lets it pass; rule 1 (class=system): its class is network; rule 3 "
                "(code=link-on interface=en1 'severity=>=info'): its code is link-off, its "
                "interface is en0"
            ),
        ),
        (["origin=own"], False, "no rule lets it pass; rule 1 (origin=own): its origin is another"),
    ],
)
def test_the_rule_that_decides_is_told(kit, rules, passes, why):
    """A person sees which rule it was, or what of the event no rule wanted."""
    assert decide(EventFilter(rules), kit.link(1).event) == (passes, why)


def test_own_records_are_held_back_only_by_name(kit):
    """It is told that a rule need not match kevmond's own records."""
    event = kit.said(1, Loss(lost=1, total=1, source="id-gap")).event
    passes, why = decide(EventFilter(["class=system", "drop interface=en0"]), event)
    assert passes
    assert "own records pass" in why
    assert decide(EventFilter(["drop type=kevmond.*"]), event) == (
        False,
        "rule 1 drops it (drop 'type=kevmond.*')",
    )


# ---------------------------------------------------------------------- consumers


@dataclass
class Runner:
    """A sink's runner, as far as it is asked."""

    name: str
    rules: tuple = ()
    type: str = "jsonl"
    state: State = State.HEALTHY
    position: int = 0
    more: dict = field(default_factory=dict)

    @property
    def cursor_name(self):
        return f"sink.{self.name}"

    @property
    def settings(self):
        return SimpleNamespace(type=self.type, filter=tuple(map(parse_rule, self.rules)))

    def statistics(self):
        more = {"last_error": None, "counters": Counters(), "lag": 0} | self.more
        return SinkStatistics(self.name, self.type, self.state, position=self.position, **more)


class Fleet:
    """Runners by name."""

    def __init__(self, *runners):
        self.runners = {runner.name: runner for runner in runners}

    def names(self):
        return list(self.runners)

    def runner(self, name):
        return self.runners.get(name)


async def told(record, journal, *runners, **more):
    """Return verdict and reason for each consumer."""
    answers = await explain(record, journal, Fleet(*runners), **more)
    return {each["name"]: (each["verdict"], each["why"]) for each in answers}


async def test_each_verdict_says_what_is_known(journal, kit):
    """Delivered, filtered, waiting, resting, or before it began: with the reason and the place."""
    await kit.put(journal, *[kit.link(seq) for seq in range(1, 11)])
    journal.cursor("sink.late")
    journal.cursor("sink.good", start="oldest")
    disabled = {"last_error": "410 Gone"}
    failing = {
        "attempts": 3,
        "last_error": "connection refused",
        "next_attempt_ns": kit.START_NS,
    }
    dropping = {"counters": Counters(dropped=2)}
    found = await told(
        kit.link(5),
        journal,
        Runner("good", position=10),
        Runner("unknown", position=10, more=dropping),
        Runner("narrow", ("class=system",), position=10),
        Runner("narrow-behind", ("class=system",), position=2),
        Runner("late", position=10),
        Runner("behind", position=4),
        Runner("failing", position=4, type="webhook", state=State.RETRYING, more=failing),
        Runner("paused", position=4, state=State.PAUSED),
        Runner("disabled", position=4, state=State.DISABLED, more=disabled),
        off=["unused"],
    )
    assert found == {
        "good": ("delivered", "its place has passed it, and there is no filter"),
        "unknown": (
            "delivered",
            (
                "its place has passed it, and there is no filter; whether it came before this "
                "consumer began is not known; of all its events it refused 2 for good in this "
                "run, and which those were is not kept"
            ),
        ),
        "narrow": (
            "filtered",
            (
                "no rule lets it pass; rule 1 (class=system): its class is network (by the "
                "filter as it is now)"
            ),
        ),
        "narrow-behind": (
            "filtered",
            (
                "no rule lets it pass; rule 1 (class=system): its class is network; it will be "
                "passed over"
            ),
        ),
        "late": ("before-it-began", "it began with what came after position 10"),
        "behind": ("waiting", "it has come to position 4"),
        "failing": (
            "waiting",
            (
                "it has come to position 4; 3 attempts failed; the last error was: connection "
                "refused; the next attempt is at 2026-11-24T08:09:31.123456Z"
            ),
        ),
        "paused": ("paused", "it is paused; the event waits until it goes on"),
        "disabled": ("paused", "it is disabled: 410 Gone; the event waits until it goes on"),
        "unused": ("paused", "it is switched off in the configuration (sinks.unused.enabled)"),
    }


async def test_kind_type_and_place_are_told(journal, kit):
    """A webhook is told apart from the sinks of other types."""
    answers = await explain(
        kit.link(5), journal, Fleet(Runner("a", type="webhook"), Runner("b", position=7))
    )
    assert [(a["name"], a["kind"], a["type"], a["at"]) for a in answers] == [
        ("a", "webhook", "webhook", 0),
        ("b", "sink", "jsonl", 7),
    ]


async def test_dead_letter_is_found_among_many(journal, kit, monkeypatch):
    """An event that was given up is told with the number of its letter and the reason."""
    monkeypatch.setattr(module, "PAGE", 4)
    records = [kit.link(seq) for seq in range(1, 21)]
    await kit.put(journal, *records)
    journal.cursor("sink.a", start="oldest")
    story = json.dumps({"why": "500 Server Error", "attempts": 9})
    letters = [DeadLetter.of(record, story if record.seq == 10 else "?") for record in records[:12]]
    journal.bury("sink.a", letters, ("sink.a", 12))
    sinks = Runner("a", position=12), Runner("b", position=12)
    found = await told(records[9], journal, *sinks)
    verdict, why = found["a"]
    assert verdict == "dead-letter"
    assert why.endswith(" and is dead letter 10: 500 Server Error (attempts: 9)")
    assert found["b"][0] == "delivered"
    assert (await told(records[11], journal, *sinks))["a"][1].endswith("dead letter 12: ?")
    assert (await told(records[15], journal, *sinks))["a"][0] == "waiting"


@dataclass
class Follower:
    """A stream, as far as it is asked."""

    name: str
    condition: Condition
    began: int
    position: int


async def test_streams_are_consumers_too(journal, kit):
    """A stream began somewhere, has come so far, and asked for something."""
    await kit.put(journal, *[kit.link(seq) for seq in range(1, 11)])
    found = await told(
        kit.link(5),
        journal,
        followers=[
            Follower("got", Condition(["code=link-off"]), 0, 9),
            Follower("waits", Condition(), 0, 4),
            Follower("later", Condition(), 5, 9),
            Follower("narrow", Condition(["code=link-on"]), 0, 9),
            Follower("other", Condition(interface="en1"), 0, 9),
        ],
    )
    assert found == {
        "got": (
            "delivered",
            "it was written to the caller, and rule 1 lets it pass (code=link-off)",
        ),
        "waits": ("waiting", "the caller has come to position 4"),
        "later": ("before-it-began", "it follows from position 5 on"),
        "narrow": (
            "filtered",
            "no rule lets it pass; rule 1 (code=link-on): its code is link-off",
        ),
        "other": ("filtered", "it asked for interface=en1"),
    }

"""Lanes of spans, and the machine that is kept from one question to the next."""

import asyncio

import pytest

from kevmond.events.event import timestamp
from kevmond.history import machine as module
from kevmond.history import timeline
from kevmond.history.interfaces import Transition
from kevmond.history.machine import Machine
from kevmond.history.timeline import lanes, natural


def of(found, interface, kind):
    """Return the spans of the lanes of an interface and a kind, by label."""
    return {
        lane["label"]: [(s["from"], s["to"], s["state"]) for s in lane["spans"]]
        for lane in found
        if (lane["interface"], lane["kind"]) == (interface, kind)
    }


def at(second):
    """Text of a time."""
    return timestamp(second * 10**9)


def link(second, state, interface="en0"):
    """Make a transition of a link."""
    return Transition(second * 10**9, interface, "link", "link", state)


def test_spans_follow_one_another_and_the_last_is_open():
    """A change ends a span and begins the next; nothing known is no span."""
    found = lanes([link(1, "up"), link(5, "down"), link(7, None), link(9, "up")], 0)
    assert of(found, "en0", "link") == {
        "link": [(at(1), at(5), "up"), (at(5), at(7), "down"), (at(9), None, "up")]
    }


def test_what_began_before_is_cut_and_what_ended_before_is_left_out():
    """A timeline tells only of its time."""
    transitions = [link(1, "up"), link(5, "down"), link(7, "up"), link(2, "up", "en1")]
    transitions += [link(6, None, "en1")]
    found = lanes(transitions, 6 * 10**9)
    assert of(found, "en0", "link") == {"link": [(at(6), at(7), "down"), (at(7), None, "up")]}
    assert of(found, "en1", "link") == {}


def test_the_latest_spans_of_a_flapping_link_are_told(monkeypatch):
    """A lane has so many spans and no more, and says that it is cut."""
    monkeypatch.setattr(timeline, "MOST_SPANS", 3)
    (lane,) = lanes([link(n, "up" if n % 2 else "down") for n in range(10)], 0)
    assert lane["cut"]
    assert [span["from"] for span in lane["spans"]] == [at(7), at(8), at(9)]


def test_interfaces_are_ordered_as_people_count():
    """The second comes before the tenth, whatever a name looks like."""
    names = ["en10", "en2", "lo0", "", "7", "bridge100", "en"]
    assert sorted(names, key=natural) == ["", "7", "bridge100", "en", "en2", "en10", "lo0"]


async def test_story_of_a_cable_is_seen_on_the_timeline(journal, kit):
    """The link goes down and up again, and the address comes back with it."""
    records = await kit.told("cable")
    first = kit.link(1, code=13)
    await kit.put(journal, first, *[kit_record(record, 1) for record in records])
    found = await Machine(journal, asyncio.Lock()).timeline(0, kit.START_NS + 10**12)
    off, on = (
        next(r for r in records if r.event.type == f"network.dl.link-{word}").event.time
        for word in ("off", "on")
    )
    assert of(found["lanes"], "en0", "link") == {
        "link": [(first.event.time, off, "up"), (off, on, "down"), (on, None, "up")]
    }
    came = next(r for r in records if r.event.type == "network.inet.new-addr").event
    labels = of(found["lanes"], "en0", "address")
    assert labels[f"{came.payload.address}/24"] == [(came.time, None, "present")]
    assert found["looked_from"] == first.event.time


def kit_record(record, by):
    """Make a record anew, `by` positions later."""
    return record._decoder.record(record.body, seq=record.seq + by, wall_ns=record.wall_ns)


class Reads:
    """A journal that remembers from where it was read."""

    def __init__(self, journal):
        self.journal = journal
        self.firsts = []

    def __getattr__(self, name):
        return getattr(self.journal, name)

    async def read(self, *, first_seq=1, **more):
        self.firsts.append(first_seq)
        return await self.journal.read(first_seq=first_seq, **more)


async def test_a_question_reads_what_has_come_since_the_one_before(journal, kit):
    """Nothing is read twice, and nothing while nobody asks."""
    reads = Reads(journal)
    machine = Machine(reads, asyncio.Lock())
    assert await machine.interfaces() == {"interfaces": [], "looked_from": None}
    await kit.put(journal, *[kit.link(seq, code=13) for seq in range(1, 301)])
    (en0,) = (await machine.interfaces())["interfaces"]
    assert (en0["running"], en0["last_event"]["seq"]) == (True, 300)
    reads.firsts.clear()
    await kit.put(journal, kit.link(301, code=12), kit.link(302, code=13, unit=10))
    found = (await machine.interfaces())["interfaces"]
    assert [(each["name"], each["running"]) for each in found] == [("en0", False), ("en10", True)]
    assert min(reads.firsts) == 301


async def test_questions_at_once_are_answered_alike(journal, kit):
    """One of them reads, the others wait for it."""
    await kit.put(journal, *await kit.told("tour"))
    machine = Machine(journal, asyncio.Lock())
    first, *others = await asyncio.gather(*(machine.interfaces() for _ in range(5)))
    assert [each["name"] for each in first["interfaces"]][:2] == ["awdl0", "en0"]
    assert others == [first] * 4


@pytest.mark.parametrize("asked_before", [True, False])
async def test_too_much_to_look_back_over_is_begun_anew(journal, kit, monkeypatch, asked_before):
    """Only so many positions are looked at; what was known from before is not mixed with it."""
    monkeypatch.setattr(module, "LOOK_BACK", 50)
    machine = Machine(journal, asyncio.Lock())
    await kit.put(journal, kit.link(1, unit=1))
    if asked_before:
        await machine.interfaces()
    await kit.put(journal, *[kit.link(seq) for seq in range(2, 101)])
    found = await machine.interfaces()
    assert [each["name"] for each in found["interfaces"]] == ["en0"]
    assert found["looked_from"] == kit.link(51).event.time


async def test_transitions_are_bounded(journal, kit, monkeypatch):
    """A timeline that would be longer says from when on it is whole."""
    monkeypatch.setattr(module, "TRANSITIONS", 10)
    await kit.put(journal, *[kit.link(seq, code=12 + seq % 2) for seq in range(1, 101)])
    found = await Machine(journal, asyncio.Lock()).timeline(0, 0)
    assert found["looked_from"] == kit.link(91).event.time
    assert len(of(found["lanes"], "en0", "link")["link"]) == 10

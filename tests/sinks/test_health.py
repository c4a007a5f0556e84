"""News of a sink: told once when it changes, never a flood, and nothing forgotten."""

import asyncio

import pytest

from kevmond.events import own
from kevmond.sinks.health import BURST, REFILL, Announcer, Health, State


class Hand:
    """A clock that the test moves."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def told():
    """Return the list of what was announced."""
    return []


@pytest.fixture
def health(told):
    """Return the health of a sink that opened."""
    made = Health("files", told.append, monotonic=Hand())
    made.healthy()
    return made


def test_start_is_no_news(health, told):
    """A sink that opens at the first attempt says nothing."""
    assert (health.state, told) == (State.HEALTHY, [])


def test_outage_is_told_once_and_so_is_its_end(health, told):
    """Ten refusals of one outage make one record, and the end of it another."""
    for _ in range(10):
        health.refused("/x: ENOSPC")
    health.taken(5)
    health.taken(5)
    assert [(payload.state, payload.detail, payload.attempts) for payload in told] == [
        ("retrying", "/x: ENOSPC", 1),
        ("recovered", None, 10),
    ]
    assert health.counters.retried == 10
    assert health.attempts == 0


def test_since_when(told):
    """A state is dated by its beginning, however often it is confirmed."""
    times = iter(range(10, 100))
    health = Health("files", told.append, monotonic=Hand(), wall_ns=lambda: next(times))
    assert health.since_ns == 10
    health.refused("no")
    health.refused("no")
    assert health.since_ns == 11
    health.taken(1)
    assert health.since_ns == 12


def test_start_that_fails_is_told(told):
    """A sink that cannot be opened at first is told of, and its opening too."""
    health = Health("files", told.append, monotonic=Hand())
    health.refused("no")
    health.healthy()
    assert [payload.state for payload in told] == ["retrying", "recovered"]


def test_loss_is_told_with_the_exact_number(health, told):
    """Records given up are counted in a loss record that names the sink."""
    health.gave_up(7, "too long")
    state, loss = told
    assert (state.state, state.dropped, state.detail) == ("failed", 7, "too long")
    assert isinstance(loss, own.Loss)
    assert (loss.lost, loss.total, loss.source, loss.consumer) == (7, 7, "sink", "files")


def test_missed_is_told_as_difference_and_total(health, told):
    """Each increment of what the journal let go of makes a loss record of that consumer."""
    health.missed(3)
    health.missed(10)
    assert [(loss.lost, loss.total, loss.source) for loss in told] == [
        (3, 3, "journal"),
        (7, 10, "journal"),
    ]


async def test_losses_that_go_on_are_told_when_they_have_doubled(health, told):
    """A thousand batches given up make few loss records, whose sum is exact at the end."""
    for _ in range(1000):
        health.gave_up(1, "no")
    losses = [payload for payload in told if isinstance(payload, own.Loss)]
    assert [loss.total for loss in losses] == [1, 2, 4, 8, 16, 32, 64, 128]
    health.stopped(0, finished=True)
    losses = [payload for payload in told if isinstance(payload, own.Loss)]
    assert sum(loss.lost for loss in losses) == losses[-1].total == 1000


def test_losses_are_told_when_the_sink_recovers(health, told):
    """At the end of an outage every record given up in it has been told."""
    for _ in range(7):
        health.gave_up(1, "no")
    health.taken(1)
    losses = [payload for payload in told if isinstance(payload, own.Loss)]
    assert sum(loss.lost for loss in losses) == 7


def test_sink_that_refuses_its_own_reports_falls_silent(health, told):
    """Reports that the sink gives up too, each told of again, come to an end by themselves."""
    health.gave_up(1, "no")
    answered = 0
    while answered < len(told):
        answered += 1
        health.gave_up(1, "no")
    assert answered < 10


def test_flood_of_misses_is_held_back_and_its_total_stays_exact(told):
    """A thousand increments in one instant make a few records, whose sum is exact in the end."""

    async def scenario():
        health = Health("files", told.append, monotonic=Hand())
        for total in range(1, 1001):
            health.missed(total)
        health.stopped(0, finished=True)

    asyncio.run(scenario())
    assert len(told) == BURST + 1
    assert sum(loss.lost for loss in told) == told[-1].total == 1000


def test_stopping_with_a_backlog_is_told(health, told):
    """What a stopped sink leaves in the journal is said, with the reason."""
    health.refused("nobody answers")
    health.stopped(12, finished=False)
    assert told[-1].state == "stopped"
    assert told[-1].detail == "what follows event 12 waits in the journal (nobody answers)"


def test_stopping_without_a_backlog_is_no_news(health, told):
    """A sink that took everything says nothing when it stops."""
    health.stopped(0, finished=True)
    assert (health.state, told) == (State.STOPPED, [])


def test_allowance_comes_back_with_time():
    """After the burst one piece of news is let through for each interval that went by."""
    clock = Hand()
    count = []

    async def scenario():
        announcer = Announcer(lambda: count.append(clock.now), monotonic=clock)
        for _ in range(BURST):
            announcer.news()
        clock.now += REFILL
        announcer.news()
        assert len(count) == BURST + 1
        announcer.news()
        announcer.news()
        assert len(count) == BURST + 1
        announcer.flush()
        assert len(count) == BURST + 2
        announcer.flush()

    asyncio.run(scenario())
    assert len(count) == BURST + 2


async def test_held_back_news_is_told_by_a_timer(monkeypatch):
    """What was held back is told later without anything else having to happen."""
    monkeypatch.setattr("kevmond.sinks.health.REFILL", 0.001)
    told = asyncio.Event()
    count = 0

    def announce():
        nonlocal count
        count += 1
        if count > BURST:
            told.set()

    announcer = Announcer(announce, monotonic=Hand())
    for _ in range(BURST + 1):
        announcer.news()
    assert count == BURST
    await asyncio.wait_for(told.wait(), 30)

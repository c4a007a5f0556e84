"""The wait before a sink's next attempt, with a clock that the tests drive."""

import asyncio

import pytest

from kevmond.sinks.waiting import NUDGES_APART, Waiting


class Clock:
    """Time that goes on only when somebody waits; what happens meanwhile is given beforehand."""

    def __init__(self):
        self.now = 1000.0
        self.plan = []

    async def pause(self, seconds, woken):
        if self.plan and self.plan[0][0] <= self.now + seconds:
            at, act = self.plan.pop(0)
            self.now = max(self.now, at)
            act()
            return
        self.now += seconds


@pytest.fixture
def clock():
    """Make a clock."""
    return Clock()


@pytest.fixture
def waiting(clock):
    """Make a wait that goes by that clock."""
    return Waiting(clock.pause, monotonic=lambda: clock.now, wall_ns=lambda: int(clock.now * 1e9))


async def test_a_wait_that_nothing_ends(clock, waiting):
    """It lasts as long as it shall, and no nudge ended it."""
    assert not await waiting.sleep(60)
    assert clock.now == 1060


async def test_a_nudge_ends_a_wait(clock, waiting):
    """A first nudge is heeded at once."""
    clock.plan = [(1010, waiting.nudge)]
    assert await waiting.sleep(60)
    assert clock.now == 1010


async def test_nudges_are_heeded_no_more_often_than_that(clock, waiting):
    """The second of two nudges waits its time, also after one that had to wait."""
    ends = []
    for _ in range(3):
        clock.plan = [(clock.now, waiting.nudge)]
        assert await waiting.sleep(60)
        ends.append(clock.now - 1000)
    assert ends == [0, NUDGES_APART, 2 * NUDGES_APART]


async def test_a_wait_that_the_receiver_asked_for_is_not_shortened(clock, waiting):
    """Whatever is said to have changed, a firm wait lasts."""
    clock.plan = [(1001, waiting.nudge), (1002, waiting.nudge)]
    assert not await waiting.sleep(600, firm=True)
    assert clock.now == 1600


async def test_a_wake_ends_any_wait(clock, waiting):
    """A stop or a reload ends a firm wait too, and is no nudge."""
    clock.plan = [(1003, waiting.wake)]
    assert not await waiting.sleep(600, firm=True)
    assert clock.now == 1003


async def test_a_wake_before_the_wait_is_not_lost(waiting):
    """What was said since `calm` ends the wait for it."""
    waiting.calm()
    waiting.wake()
    await asyncio.wait_for(waiting.until_woken(), 20)

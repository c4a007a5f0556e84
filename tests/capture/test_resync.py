"""When the interfaces' state is taken, and what enters the stream."""

import asyncio
import threading

import pytest

from kevmond.capture.resync import Resync
from kevmond.capture.settings import CaptureSettings
from kevmond.events import own
from kevmond.events.own import Change, InterfaceState

PATIENCE = 10
"""Seconds after which a test gives up waiting for what must come."""


class Log:
    """Remembers warnings."""

    def __init__(self):
        self.said = []

    def warning(self, text, **more):
        """Keep one."""
        self.said.append((text, more))


class Clock:
    """Stands still until it is set."""

    def __init__(self):
        self.now = 3_000_000_000

    def monotonic_ns(self):
        """Answer what was set."""
        return self.now


class Made:
    """A resync, what it said, and its clock and log."""

    def __init__(self, take, **settings):
        self.clock, self.log, self.said = Clock(), Log(), asyncio.Queue()
        self.resync = Resync(
            CaptureSettings(**settings),
            lambda payload, interface=None: self.said.put_nowait((payload, interface)),
            clock=self.clock,
            log=self.log,
            take=take,
        )

    async def next(self):
        """Wait for what is said next."""
        return (await asyncio.wait_for(self.said.get(), PATIENCE))[0]

    def all(self):
        """Everything said up to now."""
        return [self.said.get_nowait() for _ in range(self.said.qsize())]

    def waits(self):
        """How long the next look still has to wait, seconds."""
        timer = self.resync._timer
        return None if timer is None else timer.when() - asyncio.get_running_loop().time()


@pytest.fixture
async def resync():
    """Make resyncs, and stop them in the end."""
    made = []

    def make(take, **settings):
        made.append(Made(take, **settings))
        return made[-1]

    yield make
    for one in made:
        one.resync.stop()


def states(**up):
    """Make a snapshot of interfaces that are up or not."""
    return {name: InterfaceState(name=name, up=value) for name, value in up.items()}


async def test_first_snapshot_is_one_record_an_interface(resync):
    """Each interface's state is a record that names it."""
    made = resync(lambda: states(lo0=True, en0=True))
    await made.resync.first()
    assert [(type(one), one.cause, one.state.name, name) for one, name in made.all()] == [
        (own.Snapshot, "start", "lo0", "lo0"),
        (own.Snapshot, "start", "en0", "en0"),
    ]


async def test_later_look_says_what_changed(resync):
    """After a gap the differences are told, with the cause of looking."""
    answers = iter([states(en0=True), states(en0=False)])
    made = resync(lambda: next(answers), resync_interval=0.001)
    await made.resync.first()
    made.all()
    made.resync.ask("loss")
    told = await made.next()
    assert (told.cause, told.first) == ("loss", False)
    assert told.changes == (Change(interface="en0", field="up", before=True, after=False),)


async def test_look_that_finds_nothing_new_says_so(resync):
    """No difference is told too: the loss hid no change that lasts."""
    made = resync(lambda: states(en0=True), resync_interval=0.001)
    await made.resync.first()
    made.all()
    made.resync.ask("wake")
    assert await made.next() == own.Resync(cause="wake", changes=(), first=False)


async def test_long_loss_leads_to_few_looks(resync):
    """What is asked within the interval waits for its end, and for that only once."""
    made = resync(dict, resync_interval=50)
    await made.resync.first()
    made.clock.now += 20_000_000_000
    made.resync.ask("loss")
    timer = made.resync._timer
    made.resync.ask("loss")
    assert made.resync._timer is timer
    assert 20 < made.waits() < 31


async def test_look_after_a_quiet_time_comes_at_once(resync):
    """The interval counts from the last look, so a first loss does not wait."""
    made = resync(dict, resync_interval=50)
    await made.resync.first()
    made.clock.now = 60_000_000_000
    made.resync.ask("loss")
    assert (await made.next()).cause == "loss"


async def test_every_cause_leads_to_a_look_of_its_own(resync):
    """A look that is over does not stand in the way of the next."""
    made = resync(dict, resync_interval=0.001)
    for cause in ("loss", "wake", "reopened"):
        made.clock.now += 60_000_000_000
        made.resync.ask(cause)
        assert (await made.next()).cause == cause


async def test_asked_during_a_look_is_another_look_after_it(resync):
    """What is asked while the system is being asked is neither forgotten nor pressed for."""
    asked, began, released = [], threading.Event(), threading.Event()

    def take():
        asked.append(1)
        began.set()
        released.wait(PATIENCE)
        return {}

    made = resync(take, resync_interval=0.001)
    made.resync.ask("loss")
    await asyncio.to_thread(began.wait, PATIENCE)
    made.clock.now = 60_000_000_000
    made.resync._begin("wake")
    assert made.waits() > 0.1
    released.set()
    assert [(await made.next()).cause for _ in range(2)] == ["loss", "wake"]
    assert len(asked) == 2


async def test_system_that_fails_is_said_and_lived_with(resync):
    """An error of the system ends neither the look nor capture."""

    def broken():
        raise PermissionError(1, "Operation not permitted")

    made = resync(broken)
    await made.resync.first()
    assert made.all() == []
    assert made.log.said == [
        (
            "the system did not tell its interfaces",
            {"error": "[Errno 1] Operation not permitted"},
        )
    ]


async def test_failed_look_leaves_the_known_state(resync):
    """After a look that failed the next one is compared with the last that did not."""

    def take():
        answer = next(answers)
        if answer is None:
            raise OSError
        return answer

    answers = iter([states(en0=True), None, states(en0=False)])
    made = resync(take, resync_interval=0.001)
    await made.resync.first()
    made.all()
    await made.resync._compare("loss")
    assert made.all() == []
    await made.resync._compare("loss")
    assert [change.after for change in (await made.next()).changes] == [False]


async def test_states_are_told_by_the_first_look_that_succeeds(resync):
    """If the system did not answer at the start, the states follow once it does."""

    def take():
        if made.clock.now < 60_000_000_000:
            raise OSError
        return states(en0=True)

    made = resync(take)
    await made.resync.first()
    made.clock.now = 60_000_000_000
    made.resync.ask("wake")
    snapshot, resync = await made.next(), await made.next()
    assert (snapshot.cause, snapshot.state.name, snapshot.state.up) == ("wake", "en0", True)
    assert resync == own.Resync(cause="wake", changes=(), first=True)


async def test_system_that_hangs_is_not_waited_for(resync):
    """A look that takes too long is given up, and nobody waits for its thread."""
    released = threading.Event()
    made = resync(lambda: released.wait(PATIENCE), snapshot_timeout=0.01)
    await made.resync.first()
    assert made.all() == []
    assert made.log.said == [
        ("the system did not tell its interfaces in time", {"seconds": 0.01}),
    ]
    released.set()


async def test_system_that_hangs_is_not_asked_again_meanwhile(resync):
    """One thread hangs, however often a look is asked for; when it ends, looks go on."""
    asked, began, released = [], threading.Event(), threading.Event()

    def take():
        asked.append(threading.current_thread())
        began.set()
        released.wait(PATIENCE)
        return states(en0=True)

    made = resync(take, snapshot_timeout=0.01)
    await made.resync.first()
    for _ in range(3):
        await made.resync._compare("loss")
    await asyncio.to_thread(began.wait, PATIENCE)
    released.set()
    await asyncio.to_thread(asked[0].join, PATIENCE)
    assert len(asked) == 1
    assert made.log.said[-1][0].endswith("silent still")
    made.resync.settings = CaptureSettings()
    await made.resync._compare("loss")
    assert (len(asked), (await made.next()).state.name) == (2, "en0")


async def test_system_without_a_thread_to_spare_is_asked_again_later(resync, monkeypatch):
    """A thread that cannot be had is an error like another, and no reason to think one hangs."""

    def refuse(_thread):
        raise RuntimeError("can't start new thread")

    made = resync(lambda: states(en0=True))
    with monkeypatch.context() as changed:
        changed.setattr(threading.Thread, "start", refuse)
        await made.resync.first()
    assert made.log.said[-1][1] == {"error": "can't start new thread"}
    await made.resync.first()
    assert (await made.next()).state.name == "en0"


async def test_stop_forgets_what_was_asked(resync):
    """After a stop no look begins, and stopping twice is harmless."""
    made = resync(lambda: pytest.fail("asked"), resync_interval=0.001)
    made.resync.ask("loss")
    made.resync.stop()
    made.resync.stop()
    assert made.resync._timer is None


async def test_stop_ends_a_look_that_runs(resync):
    """A look in hand is given up; what its thread still finds out is told to nobody."""
    began, released, threads = threading.Event(), threading.Event(), []

    def take():
        threads.append(threading.current_thread())
        began.set()
        released.wait(PATIENCE)
        return states(en0=True)

    made = resync(take)
    made.resync.ask("loss")
    await asyncio.to_thread(began.wait, PATIENCE)
    task = made.resync._task
    made.resync.stop()
    await asyncio.wait([task], timeout=PATIENCE)
    released.set()
    await asyncio.to_thread(threads[0].join, PATIENCE)
    assert task.cancelled()
    assert made.all() == []


async def test_snapshots_can_be_switched_off(resync):
    """`snapshot = false` asks the system nothing."""
    made = resync(lambda: pytest.fail("asked"), snapshot=False)
    await made.resync.first()
    made.resync.ask("loss")
    assert made.resync._timer is None


def test_thread_that_ends_after_its_loop_disturbs_nobody():
    """A look that hangs past the end of the daemon finds no loop, and is silent about it."""
    began, released, threads = threading.Event(), threading.Event(), []

    def take():
        threads.append(threading.current_thread())
        began.set()
        released.wait(PATIENCE)
        return {}

    asyncio.run(Made(take, snapshot_timeout=0.01).resync.first())
    assert began.wait(PATIENCE)
    (thread,) = threads
    released.set()
    thread.join(PATIENCE)
    assert not thread.is_alive()

"""The runner: nothing is lost, nobody waits for anybody, and all of it is said once."""

import asyncio
import contextlib

import pytest

from kevmond.errors import JournalError, PermanentError, RetryableError
from kevmond.events import own
from kevmond.sinks.base import SinkSettings
from kevmond.sinks.health import State
from kevmond.sinks.runner import SinkRunner
from kevmond.sinks.testing import MemoryJournal, record, records

PATIENCE = 30.0


class ScriptedSink:
    """A sink that fails as told, and otherwise remembers what it took."""

    Settings = SinkSettings

    def __init__(self, name="scripted", settings=None):
        self.opening = []
        self.writing = []
        self.held = None
        self.took = []
        self.calls = []
        self.taken = asyncio.Event()

    async def open(self):
        self.calls.append("open")
        if self.opening:
            await self._play(self.opening.pop(0))
        return self.held

    async def write(self, batch):
        self.calls.append("write")
        if self.writing:
            await self._play(self.writing.pop(0))
        self.took += [one.seq for one in batch]
        self.taken.set()

    async def _play(self, step):
        if isinstance(step, BaseException):
            raise step
        if step is not None:
            await step()

    async def reopen(self):
        self.calls.append("reopen")

    async def aclose(self):
        self.calls.append("aclose")

    async def until(self, seq):
        """Wait until the record at `seq` has been taken."""
        async with asyncio.timeout(PATIENCE):
            while not self.took or self.took[-1] < seq:
                self.taken.clear()
                await self.taken.wait()


async def hang():
    """Never return."""
    await asyncio.Event().wait()


class Rig:
    """A runner with everything that the test can look at."""

    def __init__(self, sink=None, journal=None, **settings):
        self.sink = sink or ScriptedSink()
        self.journal = journal or MemoryJournal()
        self.told = []
        self.waits = []
        self.runner = SinkRunner(
            settings.pop("name", "test"),
            self.sink,
            SinkSettings(**settings),
            self.journal,
            announce=self.told.append,
            uniform=lambda low, high: high,
            pause=self.pause,
        )

    async def pause(self, seconds, woken):
        """Note the wait and be done with it."""
        self.waits.append(seconds)
        await asyncio.sleep(0)

    @property
    def counters(self):
        return self.runner.health.counters

    @property
    def states(self):
        return [one.state for one in self.told if isinstance(one, own.Sink)]


@pytest.fixture
async def rig():
    """Return a function that makes a rig, and drain what was made."""
    made = []

    def make(*args, **settings):
        made.append(Rig(*args, **settings))
        return made[-1]

    yield make
    for one in made:
        await one.runner.drain(0.0)


async def test_batches_arrive_in_order_and_are_acknowledged(rig):
    """Records come in order, in batches no larger than set, and count when they were taken."""
    made = rig(batch_size=4)
    await made.runner.start()
    made.journal.append(records(1, 10))
    await made.sink.until(10)
    await made.runner.drain(PATIENCE)
    assert made.sink.took == list(range(1, 11))
    assert made.runner.position == 10
    assert (made.counters.delivered, made.counters.batches) == (10, 3)
    assert made.told == []


async def test_filtered_records_move_the_cursor(rig):
    """What the filter holds back is counted, never offered, and acknowledged."""
    made = rig(filter=["severity>=warning"])
    await made.runner.start()
    made.journal.append(records(1, 5))
    await made.runner.drain(PATIENCE)
    assert (made.sink.took, made.runner.position, made.counters.filtered) == ([], 5, 5)
    assert "write" not in made.sink.calls


async def test_refused_batch_is_offered_until_it_is_taken(rig):
    """A batch that is refused three times arrives once, after waits that double."""
    made = rig(retry_initial=1.0)
    made.sink.writing = [RetryableError("busy")] * 3
    await made.runner.start()
    made.journal.append(records(1, 3))
    await made.sink.until(3)
    await made.runner.drain(PATIENCE)
    assert made.sink.took == [1, 2, 3]
    assert made.waits == [1.0, 2.0, 4.0]
    assert made.states == ["retrying", "recovered"]
    assert made.counters.retried == 3


async def test_receivers_wish_is_honoured(rig):
    """`after` of a RetryableError is waited for."""
    made = rig(retry_initial=0.5)
    made.sink.writing = [RetryableError("busy", after=7.0)]
    await made.runner.start()
    made.journal.append(records(1, 1))
    await made.sink.until(1)
    assert made.waits == [7.5]


async def test_batch_refused_for_good_is_counted_and_said(rig):
    """A permanent error gives up one batch, told with its positions, and the next is taken."""
    made = rig(batch_size=3)
    made.sink.writing = [PermanentError("too long")]
    await made.runner.start()
    made.journal.append(records(1, 6))
    await made.sink.until(6)
    await made.runner.drain(PATIENCE)
    assert made.sink.took == [4, 5, 6]
    assert (made.counters.dropped, made.counters.delivered, made.runner.position) == (3, 3, 6)
    assert made.states == ["failed", "recovered"]
    (loss,) = [one for one in made.told if isinstance(one, own.Loss)]
    assert (loss.lost, loss.source, loss.consumer) == (3, "sink", "test")
    assert loss.detail == "too long (events 1 to 3)"


async def test_mistake_in_the_sink_is_retried_and_said_once(rig):
    """A programming error does not end the runner; its text is told once for the whole outage."""
    made = rig()
    made.sink.writing = [TypeError("'NoneType' object is not\n  iterable")] * 5
    await made.runner.start()
    made.journal.append(records(1, 1))
    await made.sink.until(1)
    await made.runner.drain(PATIENCE)
    assert made.states == ["retrying", "recovered"]
    assert made.told[0].detail == "TypeError: 'NoneType' object is not iterable"


async def test_sink_that_cancels_itself_is_retried(rig):
    """A CancelledError that nobody asked for is one more failure, not the runner's end."""
    made = rig()
    made.sink.writing = [asyncio.CancelledError()]
    await made.runner.start()
    made.journal.append(records(1, 1))
    await made.sink.until(1)
    assert made.runner.health.last_error == "it cancelled itself"


async def test_write_that_takes_too_long_is_offered_again(rig):
    """A write that does not return in time is cancelled and counts as refused."""
    made = rig(write_timeout=0.01)
    made.sink.writing = [hang]
    await made.runner.start()
    made.journal.append(records(1, 2))
    await made.sink.until(2)
    assert made.sink.took == [1, 2]
    assert made.runner.health.last_error == "no answer within 0.01 s"


async def test_timeout_of_the_sinks_own_is_told_as_such(rig):
    """A TimeoutError from inside the sink is not taken for the runner's."""
    made = rig()
    made.sink.writing = [TimeoutError("the broker sleeps")]
    await made.runner.start()
    made.journal.append(records(1, 1))
    await made.sink.until(1)
    assert made.runner.health.last_error == "TimeoutError: the broker sleeps"


async def test_hanging_sink_delays_no_other(rig):
    """While one sink hangs and one fails, a third takes every event, and nobody else waits."""
    journal = MemoryJournal()
    hanging = rig(journal=journal, name="hanging")
    hanging.sink.writing = [hang]
    failing = rig(journal=journal, name="failing")
    failing.sink.writing = [RetryableError("no")] * 1_000_000
    well = rig(journal=journal, name="well", batch_size=10)
    for one in (hanging, failing, well):
        await one.runner.start()
    for first in range(1, 1000, 100):
        journal.append(records(first, first + 99))  # as the reader does: returns at once
        await well.sink.until(first + 99)
    assert well.sink.took == list(range(1, 1001))
    assert (hanging.runner.position, failing.runner.position) == (0, 0)
    assert (hanging.runner.lag, failing.runner.lag, well.runner.lag) == (1000, 1000, 0)


async def test_drain_delivers_what_is_there_and_closes(rig):
    """Draining takes all that the journal was given before, and closes the sink."""
    made = rig(batch_size=2)
    await made.runner.start()
    made.journal.append(records(1, 9))
    await made.runner.drain(PATIENCE)
    assert made.sink.took == list(range(1, 10))
    assert made.sink.calls[-1] == "aclose"
    assert made.runner.health.state is State.STOPPED


async def test_idle_sink_drains_at_once(rig):
    """A sink with nothing to do does not use its deadline."""
    made = rig()
    await made.runner.start()
    await asyncio.wait_for(made.runner.drain(3600.0), PATIENCE)
    assert made.sink.calls == ["open", "aclose"]


async def test_dead_receiver_does_not_hold_up_the_end(rig):
    """A write that hangs is cancelled at the deadline; that its batch waits is said."""
    made = rig()
    made.sink.writing = [hang]
    await made.runner.start()
    made.journal.append(records(1, 4))
    await asyncio.wait_for(made.runner.drain(0.01), PATIENCE)
    assert (made.runner.position, made.runner.lag) == (0, 4)
    assert made.states == ["stopped"]
    assert made.told[-1].detail == "what follows event 0 waits in the journal"


async def test_sink_deaf_to_cancellation_is_left_behind(rig, monkeypatch):
    """Neither a write that ignores being cancelled nor a close that hangs holds up the end."""
    monkeypatch.setattr("kevmond.sinks.runner.GRACE", 0.01)
    let_go = asyncio.Event()
    ended = asyncio.Event()

    async def deaf():
        while not let_go.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await let_go.wait()
        ended.set()
        raise RetryableError("at last")

    made = rig()
    made.sink.writing = [deaf]
    made.sink.aclose = hang
    await made.runner.start()
    made.journal.append(records(1, 1))
    await asyncio.sleep(0)
    await asyncio.wait_for(made.runner.drain(0.01), PATIENCE)
    assert made.runner.health.state is State.STOPPED
    let_go.set()
    await asyncio.wait_for(ended.wait(), PATIENCE)


async def test_drain_ends_a_wait_between_attempts():
    """A sink that waits for its next attempt makes it when the daemon stops."""
    made = Rig()
    made.runner = SinkRunner(
        "test",
        made.sink,
        SinkSettings(retry_initial=3600.0, retry_maximum=3600.0),
        made.journal,
        announce=made.told.append,
        uniform=lambda low, high: high,
    )
    refused = asyncio.Event()

    async def refuse():
        refused.set()
        raise RetryableError("no")

    made.sink.writing = [refuse]
    await made.runner.start()
    made.journal.append(records(1, 2))
    await asyncio.wait_for(refused.wait(), PATIENCE)
    await asyncio.sleep(0)
    await asyncio.wait_for(made.runner.drain(PATIENCE), PATIENCE)
    assert made.sink.took == [1, 2]


async def test_opening_is_tried_until_it_works(rig):
    """A sink that cannot be opened at first misses nothing."""
    made = rig()
    made.sink.opening = [RetryableError("not yet"), OSError("nor now")]
    await made.runner.start()
    made.journal.append(records(1, 3))
    await made.sink.until(3)
    assert made.sink.took == [1, 2, 3]
    assert made.states == ["retrying", "recovered"]


async def test_start_does_not_wait_for_a_sink_that_hangs(rig, monkeypatch):
    """`start` returns though the first attempt to open does not."""
    monkeypatch.setattr("kevmond.sinks.runner.FIRST_ATTEMPT", 0.01)
    made = rig()
    made.sink.opening = [hang]
    await asyncio.wait_for(made.runner.start(), PATIENCE)
    assert made.runner.health.state is State.STARTING


async def test_sink_that_cannot_be_opened_waits_for_sighup(rig):
    """A permanent error at opening is tried again when somebody says that something changed."""
    made = rig()
    made.sink.opening = [PermanentError("no such stream")]
    await made.runner.start()
    made.journal.append(records(1, 2))
    assert made.runner.health.state is State.FAILED
    assert made.states == ["failed"]
    assert await made.runner.reopen() is None
    await made.sink.until(2)
    assert made.states == ["failed", "recovered"]


async def test_goes_on_behind_what_the_sink_holds(rig):
    """Records that the sink says it holds are acknowledged and not offered again."""
    made = rig(journal=MemoryJournal(records(1, 8)), start="oldest")
    made.sink.held = 5
    await made.runner.start()
    await made.runner.drain(PATIENCE)
    assert made.sink.took == [6, 7, 8]
    assert made.runner.position == 8


async def test_held_records_that_are_read_anyway_are_passed_over(rig):
    """A cursor that still gives out what was acknowledged does not lead to doubles."""
    journal = MemoryJournal(records(1, 8))
    acknowledge = journal.cursor("x").acknowledge.__func__

    made = rig(journal=journal, start="oldest")
    made.sink.held = 5
    cursor = journal.cursor("sink.test", start="oldest")
    cursor.acknowledge = lambda seq: (
        journal.positions.__setitem__("sink.test", seq) if seq < 8 else acknowledge(cursor, seq)
    )
    journal.cursor = lambda name, start: cursor
    await made.runner.start()
    await made.runner.drain(PATIENCE)
    assert (made.sink.took, made.counters.held) == ([6, 7, 8], 5)


async def test_sink_ahead_of_a_new_journal_moves_it_on(rig):
    """Positions that the sink holds from a journal that is gone are not given out again."""
    made = rig()
    made.sink.held = 100
    await made.runner.start()
    assert made.journal.next_seq == 101
    made.journal.append([record(101)])
    await made.sink.until(101)
    assert made.sink.took == [101]


async def test_sink_that_opens_late_gets_all_of_this_run(rig):
    """What was given out before the sink could say what it holds is delivered, whatever it says."""
    made = rig()
    opened = asyncio.Event()
    made.sink.held = 100
    made.sink.opening = [RetryableError("no"), opened.wait]
    await made.runner.start()
    made.journal.append(records(1, 3))
    opened.set()
    await made.sink.until(3)
    assert made.sink.took == [1, 2, 3]
    assert made.journal.next_seq == 101


async def test_missed_records_are_told(rig):
    """What the journal let go of before it was read is told as a loss of this consumer."""
    journal = MemoryJournal(records(1, 10))
    made = rig(journal=journal, start="oldest")
    cursor = journal.cursor("sink.test", start="oldest")
    cursor.lose(4)
    journal.cursor = lambda name, start: cursor
    await made.runner.start()
    await made.runner.drain(PATIENCE)
    assert made.sink.took == [5, 6, 7, 8, 9, 10]
    (loss,) = made.told
    assert (loss.lost, loss.total, loss.source, loss.consumer) == (4, 4, "journal", "test")
    assert made.counters.missed == 4


async def test_reopen_comes_between_batches(rig):
    """SIGHUP never reaches a sink in the middle of a write, nor does it wait for that."""
    made = rig()
    writing, go_on = asyncio.Event(), asyncio.Event()

    async def slow():
        writing.set()
        await go_on.wait()
        made.sink.calls.append("written")

    made.sink.writing = [slow]
    await made.runner.start()
    made.journal.append(records(1, 1))
    await asyncio.wait_for(writing.wait(), PATIENCE)
    assert await asyncio.wait_for(made.runner.reopen(), PATIENCE) is None
    assert made.sink.calls == ["open", "write"]
    go_on.set()
    made.journal.append(records(2, 2))
    await made.sink.until(2)
    assert made.sink.calls == ["open", "write", "written", "reopen", "write"]


async def test_reopen_that_fails_is_answered(rig):
    """What went wrong at SIGHUP is returned for the report, and the runner goes on."""
    made = rig()

    async def fail():
        raise RetryableError("/x: EACCES")

    made.sink.reopen = fail
    await made.runner.start()
    assert await made.runner.reopen() == "/x: EACCES"
    made.journal.append(records(1, 1))
    await made.sink.until(1)


async def test_closed_journal_ends_the_runner(rig):
    """When the journal closes, the runner's task ends by itself."""
    made = rig()
    await made.runner.start()
    made.journal.close()
    await asyncio.wait_for(asyncio.wait([made.runner._task]), PATIENCE)
    assert made.runner._task.exception() is None


async def test_journal_in_trouble_is_asked_again(rig):
    """An error from the journal is waited out like one from the sink."""
    journal = MemoryJournal()
    made = rig(journal=journal)
    cursor = journal.cursor("sink.test")
    read = cursor.read
    errors = [JournalError("disk on fire")]

    async def read_or_fail(limit):
        if errors:
            raise errors.pop()
        return await read(limit)

    cursor.read = read_or_fail
    journal.cursor = lambda name, start: cursor
    await made.runner.start()
    journal.append(records(1, 2))
    await made.sink.until(2)
    assert made.states == ["retrying", "recovered"]


async def test_statistics_tell_where_it_stands(rig):
    """State, counters, place and distance are there to be shown at any time."""
    made = rig(type="scripted")
    made.sink.writing = [None, hang]
    await made.runner.start()
    made.journal.append(records(1, 2))
    await made.sink.until(2)
    made.journal.append(records(3, 5))
    found = made.runner.statistics()
    assert (found.name, found.type, found.state) == ("test", "scripted", State.HEALTHY)
    assert (found.counters.delivered, found.lag) == (2, 5 - found.position)


def test_idle_runner_has_no_timer():
    """A runner waiting for events has nothing on the loop but the last call's limit, once."""

    async def scenario():
        made = Rig(write_timeout=0.02)
        await made.runner.start()
        made.journal.append(records(1, 3))
        await made.sink.until(3)
        for _ in range(10):
            await asyncio.sleep(0)
        assert made.runner.position == 3
        loop = asyncio.get_running_loop()
        timers = [timer for timer in loop._scheduled if not timer.cancelled()]
        assert len(timers) <= 1
        if timers:
            await asyncio.sleep(timers[0].when() - loop.time() + 0.005)
        await asyncio.sleep(0)
        assert not [timer for timer in loop._scheduled if not timer.cancelled()]
        await made.runner.drain(1.0)

    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as loop:
        loop.run(scenario())

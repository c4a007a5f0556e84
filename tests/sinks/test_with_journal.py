"""Sinks on the real journal: from append to file, over restarts, a lost journal and a slow sink."""

import asyncio
import json

import pytest

from kevmond.errors import PermanentError, RetryableError
from kevmond.journal import Journal, JournalSettings
from kevmond.sinks.base import DeliveryPolicy, SinkSettings
from kevmond.sinks.jsonl import JsonlSink
from kevmond.sinks.runner import SinkRunner
from kevmond.sinks.testing import CONTEXT, record

PATIENCE = 30.0


async def until(holds):
    """Wait for a condition."""
    async with asyncio.timeout(PATIENCE):
        while not holds():  # noqa: ASYNC110 - a cursor tells nobody that it moved
            await asyncio.sleep(0.001)


class Daemon:
    """A journal with the sinks that a test gives it."""

    def __init__(self, tmp_path, **journal):
        self.settings = JournalSettings(path=tmp_path / "journal.sqlite", **journal)
        self.path = tmp_path / "events.jsonl"
        self.told = []

    async def __aenter__(self):
        self.journal = Journal.open(self.settings)
        self.runners = []
        return self

    async def __aexit__(self, *exc):
        await asyncio.gather(*(runner.drain(PATIENCE) for runner in self.runners))
        await self.journal.aclose(PATIENCE)

    async def add(self, name, sink, settings):
        """Start a sink."""
        runner = SinkRunner(
            name,
            sink,
            settings,
            self.journal,
            announce=self.told.append,
            dead_letters=self.journal,
        )
        self.runners.append(runner)
        await runner.start()
        return runner

    async def add_file(self):
        """Start the jsonl sink."""
        settings = JsonlSink.Settings(path=self.path)
        return await self.add("jsonl", JsonlSink("jsonl", settings), settings)

    def append(self, count):
        """Append as the capture does."""
        self.journal.set_context(CONTEXT)
        first = self.journal.next_seq
        self.journal.append([record(seq) for seq in range(first, first + count)])

    def written(self):
        """Return the positions in the file."""
        return [json.loads(line)["seq"] for line in self.path.read_bytes().splitlines()]


@pytest.fixture
def daemon(tmp_path):
    """Return a function that makes a daemon on the same folder each time."""
    return lambda **journal: Daemon(tmp_path, **journal)


async def test_events_reach_the_file_and_a_restart_goes_on(daemon):
    """Two runs deliver every event once, in order."""
    for count in (300, 200):
        async with daemon() as running:
            await running.add_file()
            running.append(count)
    assert running.written() == list(range(1, 501))
    assert running.told == []


async def test_file_outlives_a_lost_journal(daemon):
    """If the journal is gone, the file's positions go on where they were."""
    async with daemon() as running:
        await running.add_file()
        running.append(10)
    for left in running.settings.path.parent.glob("journal.sqlite*"):
        left.unlink()
    async with daemon() as running:
        await running.add_file()
        running.append(5)
    assert running.written() == list(range(1, 16))


async def test_acknowledgement_that_was_lost_makes_no_doubles(daemon, tmp_path):
    """A sink whose file holds more than the journal knows of is not given that again."""
    async with daemon() as running:
        await running.add("other", Refusing(), SinkSettings())
        running.append(20)
        lines = [record(seq).line + b"\n" for seq in range(1, 13)]
        running.path.write_bytes(b"".join(lines))
        running.runners.pop(0)
        await running.journal.aclose(PATIENCE)
    async with daemon() as running:
        settings = JsonlSink.Settings(path=running.path, start="oldest")
        await running.add("jsonl", JsonlSink("jsonl", settings), settings)
    assert running.written() == list(range(1, 21))


class Refusing:
    """A sink that never takes anything."""

    Settings = SinkSettings

    def __init__(self):
        self.asked = asyncio.Event()

    async def open(self):
        return None

    async def write(self, batch):
        self.asked.set()
        await asyncio.Event().wait()

    async def reopen(self):
        pass

    async def aclose(self):
        pass


async def test_hanging_sink_delays_neither_the_file_nor_the_appending(daemon):
    """While one sink hangs on its first event, ten thousand others reach the file."""
    async with daemon() as running:
        refusing = Refusing()
        hanging = await running.add("hanging", refusing, SinkSettings())
        file = await running.add_file()
        running.append(1)
        await asyncio.wait_for(refusing.asked.wait(), PATIENCE)
        for _ in range(100):
            running.append(100)
            await asyncio.sleep(0)
        await file.drain(PATIENCE)
        assert running.written() == list(range(1, 10_002))
        assert hanging.lag == 10_001
        await hanging.drain(0.0)
        running.runners.clear()


async def test_what_left_the_journal_is_counted_for_the_sink_that_missed_it(daemon):
    """A sink so far behind that the size bound takes its events is told how many, exactly."""
    async with daemon(max_bytes=1 << 20, window_records=0, window_bytes=0) as running:
        refusing = Refusing()
        slow = await running.add("slow", refusing, SinkSettings(write_timeout=0.05))
        file = await running.add_file()
        for _ in range(40):
            running.append(500)
            await until(lambda: file.lag == 0)
        taken = []

        async def take(batch):
            taken.extend(one.seq for one in batch)

        refusing.write = take
        await until(lambda: slow.lag == 0)
        counters = slow.health.counters
        assert counters.missed > 0
        assert counters.delivered + counters.missed == 20_000
        assert len(taken) == len(set(taken)) == counters.delivered
        assert (taken[0], taken[-1]) == (1, 20_000)  # what it had in hand, and the newest
        slow.health.stopped(0, finished=True)
        losses = [one for one in running.told if one.TYPE == "kevmond.loss"]
        assert sum(one.lost for one in losses) == counters.missed
        assert {one.consumer for one in losses} == {"slow"}
        assert running.written() == list(range(1, 20_001))


class Choosy(Refusing):
    """A sink that takes at most three at once, none that ends in 7, and sometimes hesitates."""

    policy = DeliveryPolicy((0.001,), give_up_after=3600.0)

    def __init__(self):
        super().__init__()
        self.took = []
        self.calls = 0

    async def write(self, batch):
        self.calls += 1
        if self.calls % 5 == 0:
            raise RetryableError("not now")
        if batch[0].seq % 10 == 7:
            raise PermanentError("no sevens", count=1)
        fine = [one.seq for one in batch[:3] if one.seq % 10 != 7]
        count = next((i for i, one in enumerate(batch[:3]) if one.seq % 10 == 7), len(fine))
        self.took += fine[:count]
        return count


async def test_every_event_is_delivered_or_a_dead_letter_over_restarts(daemon):
    """With a policy each event is taken once or buried once, however often the daemon restarts."""
    took = []
    for count in (100, 50, 77):
        async with daemon() as running:
            sink = Choosy()
            runner = await running.add("hook", sink, SinkSettings(batch_size=10))
            running.append(count)
            await until(lambda runner=runner: runner.lag == 0)
            counters = runner.health.counters
            assert counters.delivered + counters.buried == count
            took += sink.took
    async with daemon() as running:
        letters = await running.journal.letters("sink.hook", limit=1000)
        assert [letter.seq for letter in letters] == list(range(7, 228, 10))
        assert took == [seq for seq in range(1, 228) if seq % 10 != 7]
        assert [json.loads(letter.line) for letter in letters] == [
            json.loads(record(letter.seq).line) for letter in letters
        ]
        assert {json.loads(letter.story)["why"] for letter in letters} == {"no sevens"}
        assert running.journal.states("note.") == {}


async def refuse(batch):
    """Take nothing."""
    raise RetryableError("503")


async def test_sink_that_goes_leaves_no_note(daemon):
    """An outage is remembered over a restart, and forgotten with the sink."""
    async with daemon() as running:
        sink = Refusing()
        sink.policy = DeliveryPolicy((3600.0,), give_up_after=86400.0)
        sink.write = refuse
        runner = await running.add("hook", sink, SinkSettings())
        running.append(1)
        await until(lambda: runner.attempts == 1)
        await runner.drain(0.01)
        running.runners.clear()
    async with daemon() as running:
        (note,) = running.journal.states("note.sink.hook").values()
        assert json.loads(note)["attempts"] == 2  # the stop tried once more
        running.journal.retain_only([])
        assert running.journal.states("note.") == {}

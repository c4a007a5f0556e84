"""Cursors and retention against a model that is nothing but a list of what was appended.

One equation holds whatever happens: a consumer that has read everything was given, of all records
behind the position it started from, each exactly once or has counted it as missed.
"""

import asyncio
import shutil
import sqlite3
import tempfile
from pathlib import Path
from types import SimpleNamespace

import uvloop
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kevmond.events.event import Context, Kind, Record
from kevmond.journal import Journal, JournalSettings
from kevmond.journal.pipeline import Pace
from kevmond.journal.store import Store

NAMES = st.sampled_from(["a", "b", "c"])
HOUR = 3600 * 10**9


def revive(context, seq, wall_ns, kind, body):
    """Stand in for kevmond.events.revive."""
    return Record(seq, wall_ns, Kind(kind), body)


class Consumer:
    """What the model knows of an open cursor."""

    def __init__(self, cursor):
        self.cursor = cursor
        self.begin = cursor.position
        self.read = []
        self.told = set()  # what runs before had lost, and its count tells from the start


class JournalMachine(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="kevmond-"))
        self.runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
        self.clock = SimpleNamespace(wall=10**18, monotonic=0)
        self.clock.wall_ns = lambda: self.clock.wall
        self.clock.monotonic_ns = lambda: self.clock.monotonic
        self.full = False
        self.life = 0  # how often it died
        self.shown = {}  # what consumers were given at each position, over all lives
        self.appended = []
        self.positions = {}
        self.consumers = {}
        self.excused = {}  # of each name: what was gone before it began, or was told for good
        self.told = {}  # what an acknowledgement has made told for good, for cursors to come
        self.journal = None
        machine = self

        class FillableStore(Store):
            def insert(self, rows):
                if machine.full:
                    raise sqlite3.OperationalError("database or disk is full")
                super().insert(rows)

        self.store = FillableStore

    def run(self, work):
        """Run a function on the loop and let everything come to rest."""

        async def go():
            result = work()
            if asyncio.iscoroutine(result):
                result = await result
            pipeline = self.journal._pipeline
            async with asyncio.timeout(30):
                while pipeline._in_flight or pipeline._scheduled or pipeline._flush:  # noqa: ASYNC110
                    await asyncio.sleep(0)
            return result

        return self.runner.run(go())

    @initialize(window=st.sampled_from([0, 5, 1000]), held=st.sampled_from([3, 20, 1000]))
    def begin(self, window, held):
        self.settings = JournalSettings(
            path=self.folder / "j",
            max_bytes=1 << 20,
            max_age=3600,
            window_records=window,
            held_records=held,
        )
        self.open()
        self.open_cursor("a", "oldest")
        self.open_cursor("b", "oldest")

    def open(self):
        async def opening():
            self.journal = Journal.open(
                self.settings,
                clock=self.clock,
                revive=revive,
                pace=Pace(flush=0.0, retry_first=1e6, retry_most=1e6),
                make_store=self.store,
            )
            self.journal.set_context(Context(host="h", boot_id="b"))

        self.run(opening)

    @rule(count=st.integers(1, 30), size=st.sampled_from([10, 60_000]))
    def append(self, count, size):
        first = self.journal.next_seq
        made = [
            Record(seq, self.clock.wall, Kind.KERNEL, f"{seq} {self.life}".encode().ljust(size))
            for seq in range(first, first + count)
        ]
        self.appended += range(first, first + count)
        self.run(lambda: self.journal.append(made))

    @rule(more=st.integers(0, 50))
    def advance(self, more):
        self.run(lambda: self.journal.advance(self.journal.next_seq + more))

    @rule(name=NAMES, start=st.sampled_from(["oldest", "newest", 5]))
    def open_cursor(self, name, start):
        if name in self.consumers:
            return
        newest = self.journal.next_seq - 1
        oldest = min(self.journal._view.oldest() - 1, newest)
        cursor = self.run(lambda: self.make_cursor(name, start))
        told = cursor.missed
        gone = self.run(lambda: self.gone_behind(cursor.position))
        if name not in self.positions:
            self.excused[name] = gone
        if name in self.positions:
            self.excused[name] |= self.told.pop(name, set())
            assert cursor.position == self.positions[name]
        elif start != "oldest":
            expected = newest if start == "newest" else max(min(5, newest), oldest)
            assert cursor.position == expected
        self.positions[name] = cursor.position
        self.consumers[name] = Consumer(cursor)
        if told:
            self.consumers[name].told = gone

    async def gone_behind(self, position):
        visible = self.journal._view.visible_seq
        there = await self.journal.read(first_seq=position + 1, limit=10**6)
        asked = {seq for seq in self.appended if position < seq <= visible}
        return asked - {record.seq for record in there}

    async def make_cursor(self, name, start):
        return self.journal.cursor(name, start=start)

    @rule(name=NAMES, limit=st.integers(1, 100))
    def read(self, name, limit):
        if consumer := self.consumers.get(name):
            for record in self.run(lambda: self.some(consumer, limit)):
                body = record.body.rstrip()
                assert body.startswith(b"%d " % record.seq)
                assert self.shown.setdefault(record.seq, body) == body, "given out twice"
                consumer.read.append(record.seq)

    async def some(self, consumer, limit):
        return await consumer.cursor.available(limit)

    @rule(name=NAMES, back=st.integers(0, 10))
    def acknowledge(self, name, back):
        consumer = self.consumers.get(name)
        if consumer and len(consumer.read) > back:
            seq = consumer.read[-1 - back]
            if seq > self.positions[name]:
                self.told.setdefault(name, set()).update(consumer.told)
            self.run(lambda: consumer.cursor.acknowledge(seq))
            self.positions[name] = max(self.positions[name], seq)
            assert consumer.cursor.position == self.positions[name]

    @rule(name=NAMES)
    def close_cursor(self, name):
        if consumer := self.consumers.pop(name, None):
            self.run(consumer.cursor.close)

    @rule(name=NAMES)
    def forget(self, name):
        self.run(lambda: self.journal.forget(name))
        self.consumers.pop(name, None)
        self.positions.pop(name, None)
        self.told.pop(name, None)

    @rule(hours=st.integers(0, 3))
    def time_passes(self, hours):
        self.clock.wall += hours * HOUR
        self.clock.monotonic += hours * HOUR

    @precondition(lambda self: not self.full)
    @rule()
    def disk_fills(self):
        self.full = True

    @precondition(lambda self: self.full)
    @rule()
    def disk_empties(self):
        self.full = False
        self.run(self.retry)

    def retry(self):
        """Have the disk tried again, as time would."""
        if timer := self.journal._pipeline._retry:
            timer.cancel()
            self.journal._pipeline._retry_due()

    @precondition(lambda self: not self.full)
    @rule(check=st.booleans())
    def restart(self, check):
        self.end()
        before = self.journal.next_seq
        self.consumers.clear()
        self.open()
        assert self.journal.next_seq == before
        known = {c.name: c.position for c in self.journal.statistics().cursors}
        assert known == self.positions
        if check:
            for name in self.positions:
                self.open_cursor(name, "newest")
                self.drain(name)

    @precondition(lambda self: not self.full)
    @rule(name=NAMES)
    def drain(self, name):
        """Read to a record just written: each one behind the start was given once or counted."""
        consumer = self.consumers.get(name)
        if consumer is None:
            return
        self.append(1, 10)
        last = self.appended[-1]
        while not consumer.read or consumer.read[-1] < last:
            before = len(consumer.read)
            self.read(name, 50)
            assert len(consumer.read) > before
        excused = self.excused[name]
        wanted = [seq for seq in self.appended if seq > consumer.begin and seq not in excused]
        assert consumer.read == sorted(set(consumer.read) & set(wanted))
        self.check_account(len(wanted), len(consumer.read), consumer.cursor.missed)

    def check_account(self, wanted, read, missed):
        """Hold what is counted against what was to be had."""
        assert read + missed == wanted

    @precondition(lambda self: self.full)
    @rule(name=NAMES)
    def memory_serves(self, name):
        """While the disk refuses, all that is not lost is given out, up to the newest."""
        consumer = self.consumers.get(name)
        if consumer is None or self.journal.statistics().refusal is None or not self.appended:
            return
        while True:
            before = len(consumer.read)
            self.read(name, 50)
            if len(consumer.read) == before:
                break
        assert consumer.cursor.next_seq > self.appended[-1]

    @invariant()
    def bounds_hold(self):
        if self.journal is None or self.full:
            return
        figures = self.journal.statistics()
        assert figures.disk_bytes <= (1 << 20) + 200_000
        assert figures.pending == 0
        counters = figures.counters
        assert counters.appended == counters.committed + counters.lost

    def end(self):
        async def closing():
            await self.journal.aclose(20)

        self.runner.run(closing())

    def teardown(self):
        self.full = False
        if self.journal is not None:
            self.end()
        self.runner.close()
        shutil.rmtree(self.folder)


TestModel = JournalMachine.TestCase
TestModel.settings = settings(max_examples=120, stateful_step_count=40, deadline=None)

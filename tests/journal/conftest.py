"""What the tests of the journal share: records, a disk that obeys, journals that get closed."""

import asyncio
import sqlite3
from types import SimpleNamespace

import pytest

from kevmond.events.event import Context, Kind, Record
from kevmond.journal import Journal, JournalSettings
from kevmond.journal.pipeline import Pace
from kevmond.journal.store import Store

CONTEXT = Context(host="mac", boot_id="boot-1", os_release="20.6.0", vendor_names={1: "apple"})
QUICK = Pace(flush=0.01, retry_first=0.01, retry_most=0.02, stuck=60.0)
HOUR = 3600 * 10**9


def body(seq, size=48):
    """Bytes that tell which record they belong to."""
    return f"record {seq} ".encode().ljust(size, b".")


def record(seq, *, size=48, wall_ns=None, kind=Kind.KERNEL):
    """Make a record as capture does, but for the event, which the journal does not look at."""
    wall_ns = 10**18 + seq * 1000 if wall_ns is None else wall_ns
    return Record(seq, wall_ns, kind, body(seq, size), event=SimpleNamespace(context=CONTEXT))


def records(first, last, **more):
    """Make records of all positions from `first` to `last`."""
    return [record(seq, **more) for seq in range(first, last + 1)]


def revive(context, seq, wall_ns, kind, body):
    """Stand in for kevmond.events.revive: the event tells its context."""
    return Record(seq, wall_ns, Kind(kind), body, event=SimpleNamespace(context=context))


def seqs(found):
    """Positions of records."""
    return [each.seq for each in found]


class FakeClock:
    """A clock that tests set."""

    def __init__(self):
        self.wall = 10**18
        self.monotonic = 0

    def wall_ns(self):
        return self.wall

    def monotonic_ns(self):
        return self.monotonic

    def pass_time(self, ns):
        self.wall += ns
        self.monotonic += ns


class Disk:
    """Makes stores that refuse, break or hang while a test says so."""

    def __init__(self):
        self.error = None
        self.opened = 0
        self.refused = 0
        self.gate = None  # a threading.Event that commits wait for
        self.commits = 0
        disk = self

        class ControlledStore(Store):
            def __init__(self, *args):
                disk.opened += 1
                disk.check()
                super().__init__(*args)

            def insert(self, rows):
                disk.check()
                super().insert(rows)

            def commit(self):
                if disk.gate is not None:
                    disk.gate.wait(30)
                disk.check()
                super().commit()
                disk.commits += 1

        self.store = ControlledStore

    def check(self):
        if self.error is not None:
            self.refused += 1
            raise self.error

    def fill(self):
        self.error = sqlite_error("database or disk is full", "SQLITE_FULL")


def sqlite_error(text, name, of=sqlite3.OperationalError):
    """Make an error as the sqlite3 module raises it."""
    error = of(text)
    error.sqlite_errorname = name
    error.sqlite_errorcode = getattr(sqlite3, name)
    return error


@pytest.fixture
def clock():
    """Give a clock that the test sets."""
    return FakeClock()


@pytest.fixture
def disk():
    """Give a disk that refuses, breaks or hangs when told."""
    return Disk()


@pytest.fixture
async def journals(tmp_path, clock):
    """Open journals in tmp_path; they are closed at the end."""
    opened = []

    def open_journal(make_store=Store, pace=QUICK, **settings):
        settings.setdefault("path", tmp_path / "journal.sqlite")
        journal = Journal.open(
            JournalSettings(**settings),
            clock=clock,
            revive=revive,
            pace=pace,
            make_store=make_store,
        )
        journal.set_context(CONTEXT)
        opened.append(journal)
        return journal

    yield open_journal
    for journal in opened:
        await journal.aclose(10)


async def read_to(cursor, last, limit=100):
    """Read until the record at `last` is there."""
    found = []
    async with asyncio.timeout(20):
        while not found or found[-1].seq < last:
            found += await cursor.read(limit)
    return found


async def settled(journal):
    """Wait until the journal has nothing more to do: nothing waiting, under way or timed."""
    async with asyncio.timeout(20):
        while not journal._pipeline.idle:  # noqa: ASYNC110 - a state, not an event
            await asyncio.sleep(0.001)


@pytest.fixture
def kit():
    """Give the helpers above, by name."""
    names = (
        "CONTEXT FakeClock HOUR QUICK body read_to record records revive seqs settled sqlite_error"
    )
    return SimpleNamespace(**{name: globals()[name] for name in names.split()})

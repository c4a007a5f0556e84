"""A capture on a simulated kernel and a real journal, and everything it put into the stream."""

import asyncio
import contextlib
from types import SimpleNamespace

import pytest

from kevmond.capture.position import KEY, Position
from kevmond.capture.reader import Capture
from kevmond.capture.settings import CaptureSettings
from kevmond.journal.journal import Journal
from kevmond.journal.settings import JournalSettings
from kevmond.kernel.simulated.model import SimulatedKernel

LINK_ON = (1, 1, 2, 13, b"\x02\0\0\0\0\0\0\0en".ljust(24, b"\0"))
"""A KEV_DL_LINK_ON of en0."""

ROOM = 682
"""Messages of 48 bytes that a receive buffer of 32 KiB holds (measured on XNU)."""

QUICK = {
    "snapshot": False,
    "receive_space": 32768,
    "loss_age": 0.005,
    "loss_report_interval": 0.005,
    "reopen_initial": 0.005,
    "reopen_maximum": 0.01,
    "resync_interval": 0.005,
}


class Clock:
    """A clock that tests set."""

    def __init__(self):
        self.wall = 1_700_000_000_000_000_000
        self.monotonic = 5_000_000_000

    def wall_ns(self):
        return self.wall

    def monotonic_ns(self):
        return self.monotonic


class Kernel(SimulatedKernel):
    """A kernel that does not always open a socket."""

    def __init__(self, **more):
        super().__init__(**more)
        self.refusals = []
        """What the next calls of `open_event_socket` raise."""

    def open_event_socket(self, receive_space):
        if self.refusals:
            raise self.refusals.pop(0)
        return super().open_event_socket(receive_space)

    def links(self, count):
        """Post so many KEV_DL_LINK_ON."""
        for _ in range(count):
            self.post(*LINK_ON)


class Run:
    """A capture under way, and the events it put into its journal."""

    def __init__(self, kernel, path, *, filters=(), clock=None, take=dict, **settings):
        self.kernel = kernel
        self.journal = Journal.open(JournalSettings(path=path))
        self.cursor = self.journal.cursor("test", durable=False)
        self.capture = Capture(
            kernel,
            self.journal,
            CaptureSettings(**QUICK | settings),
            filters=filters,
            clock=clock,
        )
        self.capture._resync._take = take
        self.events = []

    @property
    def sock(self):
        """The event socket in use."""
        return self.capture._opened.sock

    @property
    def totals(self):
        """The account as it stands."""
        return self.capture.statistics().totals

    @property
    def position(self):
        """How far the journal knows capture to be."""
        return Position.read(self.journal.state(KEY))

    async def until(self, condition):
        """Take what comes into the stream until `condition()` holds."""
        async with asyncio.timeout(20):
            while not condition():
                found = self.cursor.read_now(10_000)
                self.take(found)
                if not found:
                    await asyncio.sleep(0.001)

    def take(self, records):
        """Note the events of some records."""
        for record in records:
            self.events.append(record.event)
            self.cursor.acknowledge(record.seq)

    async def all(self):
        """Take everything that was appended so far."""
        await self.until(lambda: self.cursor.position >= self.journal.next_seq - 1)

    def of(self, kind):
        """Payloads of a type, in order."""
        return [event.payload for event in self.events if event.type == kind]

    @property
    def kernel_events(self):
        """What the kernel posted and was delivered."""
        return [event for event in self.events if not event.synthetic]

    @property
    def account(self):
        """Events delivered, and lost as the stream tells it."""
        return len(self.kernel_events), sum(loss.lost for loss in self.of("kevmond.loss"))

    async def accounted(self, posted):
        """Wait until so many events are delivered or reported lost."""
        await self.until(lambda: sum(self.account) >= posted)
        assert sum(self.account) == posted


@pytest.fixture
def kernel():
    """Give a simulated kernel."""
    return Kernel()


@pytest.fixture
def clock():
    """Give a clock that the test sets."""
    return Clock()


@pytest.fixture
def run(tmp_path, kernel):
    """Start a capture; it is stopped, and all of its stream taken, at the end of the block."""

    @contextlib.asynccontextmanager
    async def running(source=None, *, name="journal.sqlite", **more):
        one = Run(source or kernel, tmp_path / name, **more)
        try:
            await one.capture.start()
            try:
                yield one
            finally:
                await one.capture.stop()
                await one.all()
        finally:
            await one.journal.aclose(5)

    return running


@pytest.fixture
def kit():
    """Give the constants above, by name."""
    return SimpleNamespace(LINK_ON=LINK_ON, ROOM=ROOM, Kernel=Kernel, Run=Run)

"""Capture on a simulated kernel: whatever happens, posted = delivered + lost, in the stream too."""

import asyncio

import pytest

from kevmond import stories
from kevmond.capture.reader import Capture
from kevmond.capture.settings import CaptureSettings
from kevmond.errors import KernelError
from kevmond.events.filters import EventFilter
from kevmond.journal.journal import Journal
from kevmond.journal.settings import JournalSettings
from kevmond.kernel.simulated.model import SimulatedKernel

LINK_ON = (1, 1, 2, 13, b"\x02\0\0\0\0\0\0\0en".ljust(24, b"\0"))
QUICK = {
    "snapshot": False,
    "loss_age": 0.01,
    "loss_report_interval": 0.01,
    "reopen_initial": 0.01,
    "receive_space": 32768,
}
DEFAULT_SOCKET = 682
"""Messages of 48 bytes that a receive buffer of 32 KiB holds (measured on XNU)."""


class Run:
    """A capture, and everything it put into the journal."""

    def __init__(self, kernel, path, filters=(), **settings):
        self.kernel = kernel
        self.journal = Journal.open(JournalSettings(path=path / "journal.sqlite"))
        self.cursor = self.journal.cursor("test", durable=False)
        self.capture = Capture(
            kernel, self.journal, CaptureSettings(**QUICK | settings), filters=filters
        )
        self.events = []

    async def __aenter__(self):
        await self.capture.start()
        return self

    async def __aexit__(self, *_):
        await self.capture.stop()
        await self.wait_for(self.cursor_is_at_end)
        await self.journal.aclose(5)

    def cursor_is_at_end(self):
        return bool(self.events) and self.events[-1].seq == self.journal.next_seq - 1

    async def wait_for(self, condition):
        """Read records until `condition()` holds."""
        async with asyncio.timeout(20):
            while not condition():
                for record in await self.cursor.read(10_000):
                    self.events.append(record.event)
                    self.cursor.acknowledge(record.seq)

    def of(self, kind):
        """Return what came of a type."""
        return [event for event in self.events if event.type == kind]

    @property
    def delivered(self):
        return sum(not event.synthetic for event in self.events)

    @property
    def lost(self):
        return sum(event.payload.lost for event in self.of("kevmond.loss"))


@pytest.mark.parametrize("posted", [DEFAULT_SOCKET + 1, 256 * 3, 5_000])
async def test_overflow_is_counted_without_a_later_event(tmp_path, posted):
    """A loss at the very end of a burst is in the stream, exactly, though nothing follows it."""
    kernel = SimulatedKernel()
    async with Run(kernel, tmp_path) as run:
        for _ in range(posted):
            kernel.post(*LINK_ON)
        await run.wait_for(lambda: run.of("kevmond.loss"))
        assert (run.delivered, run.lost) == (DEFAULT_SOCKET, posted - DEFAULT_SOCKET)
    assert run.of("kevmond.loss")[0].payload.source == "tail"


async def test_last_batch_that_is_exactly_full_hides_no_loss(tmp_path):
    """The tail is looked at even if reading ended with a full batch, not an empty socket."""
    kernel = SimulatedKernel()
    async with Run(kernel, tmp_path, batch_size=DEFAULT_SOCKET // 2) as run:
        for _ in range(1_000):
            kernel.post(*LINK_ON)
        await run.wait_for(lambda: run.of("kevmond.loss"))
        assert run.delivered + run.lost == 1_000


async def test_loss_in_the_middle_names_its_ids(tmp_path):
    """A gap between two events that were read is told with the first and the last id of it."""
    kernel = SimulatedKernel()
    async with Run(kernel, tmp_path) as run:
        for _ in range(DEFAULT_SOCKET + 10):
            kernel.post(*LINK_ON)
        await run.wait_for(lambda: run.delivered == DEFAULT_SOCKET)
        kernel.post(*LINK_ON)
        await run.wait_for(lambda: run.of("kevmond.loss"))
    (loss,) = run.of("kevmond.loss")
    assert (loss.payload.first_id, loss.payload.last_id) == (683, 692)
    assert loss.payload.lost == loss.payload.total == 10


async def test_waiting_messages_are_no_loss(tmp_path):
    """However long the loop is kept from reading, what waits in the socket is not called lost."""
    kernel = SimulatedKernel()
    async with Run(kernel, tmp_path) as run:
        for _ in range(DEFAULT_SOCKET):
            kernel.post(*LINK_ON)
        run.capture._check()
        run.capture._check()
        await run.wait_for(lambda: run.delivered == DEFAULT_SOCKET)
    assert run.of("kevmond.loss") == []


async def test_narrow_filter_counts_by_the_sockets_own_counter(tmp_path):
    """Where ids prove nothing, the kernel's counter for this very socket does."""
    kernel = SimulatedKernel()
    wanted = [EventFilter([{"class": "network", "subclass": "dl"}])]
    async with Run(kernel, tmp_path, wanted) as run:
        for _ in range(DEFAULT_SOCKET + 5):
            kernel.post(*LINK_ON)
        for _ in range(50):
            kernel.post(1, 3, 2, 1, bytes(8))  # not asked for, so not ours to lose
        await run.wait_for(lambda: run.of("kevmond.loss"))
        assert (run.delivered, run.lost) == (DEFAULT_SOCKET, 5)
    assert run.of("kevmond.loss")[0].payload.source == "socket-counter"


async def test_failed_socket_is_reopened_and_the_gap_counted(tmp_path):
    """A socket error is said and does not end the watch; what was posted meanwhile is lost."""
    kernel = SimulatedKernel()
    async with Run(kernel, tmp_path) as run:
        run.capture._opened.sock.fail_next_read("EIO")
        for _ in range(3):
            kernel.post(*LINK_ON)
        await run.wait_for(lambda: len(run.of("kevmond.capture")) == 2)
        kernel.post(*LINK_ON)
        await run.wait_for(lambda: run.delivered == 1)
        await run.wait_for(lambda: run.lost == 3)
    error, reopened = run.of("kevmond.capture")
    assert (error.payload.state, error.payload.symbol) == ("error", "EIO")
    assert reopened.payload.state == "reopened"


async def test_reboot_is_said_and_ids_begin_anew(tmp_path):
    """A kernel that went away comes back as another boot, with events of its own ids."""
    kernel = SimulatedKernel()
    async with Run(kernel, tmp_path) as run:
        before = run.capture.context.boot_id
        kernel.post(*LINK_ON)
        await run.wait_for(lambda: run.delivered == 1)
        kernel.reboot()
        await run.wait_for(lambda: run.of("kevmond.boot"))
        await run.wait_for(lambda: len(run.of("kevmond.capture")) == 2)
        kernel.post(*LINK_ON)
        await run.wait_for(lambda: run.delivered == 2)
    assert run.of("kevmond.boot")[0].payload.previous_boot_id == before
    first, second = (event for event in run.events if event.kernel_id is not None)
    assert first.kernel_id == second.kernel_id == 1
    assert first.id != second.id
    assert run.lost == 0


async def test_run_begins_with_what_was_missed(tmp_path):
    """The first record of a run says how many events were posted since the run before."""
    kernel = SimulatedKernel()
    async with Run(kernel, tmp_path) as first:
        kernel.post(*LINK_ON)
        await first.wait_for(lambda: first.delivered == 1)
    for _ in range(7):
        kernel.post(*LINK_ON)
    async with Run(kernel, tmp_path) as second:
        pass
    assert second.events[0].type == "kevmond.start"
    assert second.events[0].payload.missed == 7
    assert second.of("kevmond.missed")[0].payload.count == 7
    assert second.of("kevmond.missed")[0].payload.previous_id == 1


async def test_filter_changed_in_place_keeps_the_account(tmp_path):
    """Events posted under the old and under the new filter are each accounted for as theirs."""
    kernel = SimulatedKernel()
    async with Run(kernel, tmp_path) as run:
        for _ in range(10):
            kernel.post(*LINK_ON)
        narrow = [EventFilter([{"class": "system", "subclass": "ctl"}])]
        await run.capture.apply(run.capture.settings, filters=narrow)
        for _ in range(10):
            kernel.post(*LINK_ON)  # no longer asked for
        kernel.post(1, 3, 2, 1, bytes(8))
        await run.wait_for(lambda: run.delivered == 11)
        await run.capture.apply(run.capture.settings, filters=[])
        kernel.post(*LINK_ON)
        await run.wait_for(lambda: run.delivered == 12)
    totals = run.capture.statistics().totals
    assert (totals.delivered, totals.lost, run.lost) == (12, 0, 0)


@pytest.mark.parametrize("name", [name for name in stories.names() if name != "storm"])
async def test_every_story_is_accounted_for(tmp_path, name):
    """Each built-in story, malformed messages included, is delivered whole or counted."""
    kernel = SimulatedKernel()
    async with Run(kernel, tmp_path, receive_space=1 << 20) as run:
        await stories.play(stories.load(name), kernel, speed=float("inf"))
    totals = run.capture.statistics().totals
    assert run.delivered == totals.delivered
    assert totals.posted == totals.delivered + totals.lost
    assert run.lost == totals.lost == 0


async def test_wall_clock_that_leaps_leads_to_a_resync(tmp_path, monkeypatch):
    """A machine that slept is noticed by its first event; its interfaces are looked at again."""

    class Clock:
        ahead = 0

        def wall_ns(self):
            return 1_700_000_000_000_000_000 + self.ahead

        def monotonic_ns(self):
            return 5_000_000_000

    kernel = SimulatedKernel()
    run = Run(kernel, tmp_path, snapshot=True)
    run.capture._clock = run.capture._resync._clock = clock = Clock()
    run.capture._resync._take = dict
    async with run:
        clock.ahead = 3_600_000_000_000
        kernel.post(*LINK_ON)
        run.capture._resync._last_ns = None
        await run.wait_for(lambda: run.of("kevmond.resync"))
    assert run.of("kevmond.resync")[0].payload.cause == "wake"


async def test_at_rest_nothing_but_the_heartbeat_is_due(tmp_path):
    """An idle capture has one timer, the heartbeat, which is slow."""
    async with Run(SimulatedKernel(), tmp_path) as run:
        capture = run.capture
        assert capture._watch._timer is None
        assert capture._resync._timer is None
        left = capture._heartbeat.when() - asyncio.get_running_loop().time()
        assert 50 < left < 61


async def test_reopening_goes_on_whatever_fails(tmp_path, monkeypatch):
    """Neither a kernel that refuses nor an error nobody foresaw ends the watch."""
    kernel = SimulatedKernel()
    opened = kernel.open_event_socket
    failures = iter([KernelError("socket", "ENOBUFS"), RuntimeError("unforeseen")])

    def failing(space):
        error = next(failures, None)
        if error is not None:
            raise error
        return opened(space)

    async with Run(kernel, tmp_path) as run:
        monkeypatch.setattr(kernel, "open_event_socket", failing)
        run.capture._opened.sock.fail_next_read("EIO")
        kernel.post(*LINK_ON)
        await run.wait_for(lambda: len(run.of("kevmond.capture")) == 2)
        kernel.post(*LINK_ON)
        await run.wait_for(lambda: run.delivered == 1 and run.lost == 1)
    assert run.of("kevmond.capture")[1].payload.attempt == 3
    assert run.capture.statistics().errors == 3

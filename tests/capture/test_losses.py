"""When losses are looked for and said: a loop and a clock that only move when told to."""

from itertools import pairwise
from types import SimpleNamespace

import pytest

from kevmond.capture import losses
from kevmond.capture.ledger import Basis, LossLedger, LossReport, Totals
from kevmond.capture.losses import LossWatch, loss_record
from kevmond.capture.sequence import LostRange
from kevmond.events.event import Severity

SECOND = 1_000_000_000
AGE = SECOND // 4
EVERY = 10 * SECOND


class Loop:
    """A loop of timers and nothing else; times are ns."""

    def __init__(self):
        self.now = 0
        self.timers = []

    def call_later(self, delay, callback):
        """Remember a timer."""
        timer = SimpleNamespace(at=self.now + round(delay * 1e9), callback=callback)
        timer.cancel = lambda: self.timers.remove(timer)
        self.timers.append(timer)
        return timer

    def run(self, seconds):
        """Let time pass, and what is due happen at its time."""
        end = self.now + round(seconds * 1e9)
        while due := [timer for timer in self.timers if timer.at <= end]:
            timer = min(due, key=lambda one: one.at)
            self.timers.remove(timer)
            self.now = timer.at
            timer.callback()
        self.now = end


class Running:
    """A watch over a real ledger, and a kernel of which only the last id is known."""

    def __init__(self, loop):
        self.loop = loop
        self.last_id = 0
        self.checks = []
        self.said = []
        self.resyncs = 0
        self.ledger = LossLedger(report_every_ns=EVERY, age_ns=AGE)
        self.ledger.opened(0, 0, 0, ids_count=True, new_boot=True)
        self.watch = LossWatch(
            self.ledger,
            check=self.check,
            say=lambda payload: self.said.append((loop.now / SECOND, payload)),
            lost=self.resync,
            monotonic_ns=lambda: loop.now,
        )

    def check(self):
        """Find the socket empty, after the last id was asked for."""
        self.checks.append(self.loop.now / SECOND)
        self.ledger.drained(self.loop.now)
        self.ledger.posted_up_to(self.last_id, self.loop.now)

    def resync(self):
        """Count what a loss leads to."""
        self.resyncs += 1

    def burst(self, read, dropped):
        """Read some events; others behind them did not fit."""
        first = self.last_id + 1
        self.last_id += read + dropped
        self.ledger.observe(list(range(first, first + read)), self.loop.now, lambda: self.last_id)
        self.watch.soon()


@pytest.fixture
def running(monkeypatch):
    """Make a watch whose loop is in the test's hands."""
    loop = Loop()
    monkeypatch.setattr(losses, "asyncio", SimpleNamespace(get_running_loop=lambda: loop))
    return Running(loop)


def test_at_rest_there_is_no_timer(running):
    """A watch that nobody asked for anything wakes nobody."""
    running.loop.run(3600)
    assert (running.checks, running.loop.timers) == ([], [])


def test_reading_leads_to_one_check_and_then_to_rest(running):
    """However often it is asked for, one check comes after the age; all is well, so no other."""
    for _ in range(5):
        running.burst(read=3, dropped=0)
    running.loop.run(3600)
    assert (running.checks, running.said, running.loop.timers) == ([0.25], [], [])


def test_lost_end_of_a_burst_is_said_after_it_aged(running):
    """The first check learns of the ids, the second finds them old enough, and a resync follows."""
    running.burst(read=3, dropped=4)
    running.loop.run(3600)
    ((when, loss),) = running.said
    assert (when, loss.lost, loss.source, loss.first_id, loss.last_id) == (0.5, 4, "tail", 4, 7)
    assert (running.checks, running.resyncs, running.loop.timers) == ([0.25, 0.5], 1, [])


def test_loss_that_goes_on_is_said_once_an_interval_and_in_full(running):
    """Reports keep their distance, the last one included, and add up to every event lost."""
    for _ in range(60):
        running.burst(read=1, dropped=2)
        running.loop.run(0.5)
    running.loop.run(3600)
    times = [when for when, _ in running.said]
    apart = [later - earlier for earlier, later in pairwise(times)]
    assert min(apart) >= EVERY / SECOND
    assert len(times) == 4
    assert sum(loss.lost for _, loss in running.said) == 120
    assert running.loop.timers == []


def test_report_that_waits_delays_no_check(running):
    """While a report may not be said yet, a new burst is looked after as soon as ever."""
    running.burst(read=1, dropped=1)
    running.loop.run(1)  # said at 0.5
    running.burst(read=1, dropped=1)
    running.loop.run(1)  # known, and has to wait until 10.5
    running.burst(read=1, dropped=5)
    assert len(running.loop.timers) == 1
    running.loop.run(60)
    assert [(when, loss.lost) for when, loss in running.said] == [(0.5, 1), (10.5, 6)]


def test_what_waits_is_said_at_a_forced_report(running):
    """The end of a run passes over the waiting time."""
    for _ in range(2):
        running.burst(read=1, dropped=1)
        running.loop.run(1)
    running.watch.report(force=True)
    running.watch.stop()
    assert [(when, loss.lost) for when, loss in running.said] == [(0.5, 1), (2, 1)]
    assert running.loop.timers == []


def test_forced_report_of_nothing_says_nothing(running):
    """Silence is not broken by the end of a run."""
    running.burst(read=2, dropped=0)
    running.watch.report(force=True)
    assert running.said == []


def test_what_is_not_our_loss_leads_to_no_resync(running):
    """A record without a loss of ours gives no reason to look at the interfaces."""
    running.burst(read=1, dropped=1)
    running.loop.run(1)
    running.ledger.observe([2], running.loop.now, lambda: 2)  # it came after all
    running.watch.soon()
    running.loop.run(60)
    late = running.said[-1][1]
    assert (late.lost, late.late, late.total, running.resyncs) == (0, 1, 0, 1)


def test_stopped_watch_holds_no_timer(running):
    """Stopping lets go of the timer, and stopping twice is harmless."""
    running.burst(read=1, dropped=1)
    running.watch.stop()
    running.watch.stop()
    running.loop.run(60)
    assert (running.checks, running.loop.timers) == ([], [])


def report(**more):
    """Make a report of three lost events, changed as given."""
    told = {
        "lost": 3,
        "late": 0,
        "basis": Basis.IDS,
        "ranges": (LostRange(5, 6, at_end=False), LostRange(9, 9, at_end=False)),
        "system_dropped": 0,
        "too_big": 0,
        "no_memory": 0,
        "totals": Totals(lost=12),
    }
    return LossReport(**told | more)


def test_record_names_count_total_and_ids():
    """The record of a loss is exact and says where it lies and what may help."""
    record = loss_record(report())
    assert (record.lost, record.total, record.first_id, record.last_id) == (3, 12, 5, 9)
    assert record.detail == "ids 5-6, 9-9; a larger capture.receive_space may help"
    assert (record.source, record.consumer) == ("id-gap", None)
    assert record.severity() is Severity.ERROR


def test_record_of_many_ranges_spells_out_the_newest():
    """The ends are named whatever is between; of the ranges only the last few are."""
    ranges = tuple(LostRange(at, at, at_end=False) for at in range(10, 30, 2))
    record = loss_record(report(lost=10, ranges=ranges))
    assert (record.first_id, record.last_id) == (10, 28)
    assert record.detail.startswith("ids ... 22-22, 24-24, 26-26, 28-28; ")


def test_record_of_a_few_ranges_spells_out_all():
    """Nothing is left out, and nothing said to be."""
    ranges = tuple(LostRange(at, at, at_end=False) for at in range(10, 18, 2))
    assert loss_record(report(ranges=ranges)).detail.startswith("ids 10-10, 12-12, 14-14, 16-16;")


def test_record_without_ids_names_none():
    """Where the socket's counter is the proof, no id is made up."""
    record = loss_record(report(basis=Basis.SOCKET, ranges=()))
    assert (record.source, record.first_id, record.last_id) == ("socket-counter", None, None)


def test_record_of_somebody_elses_loss_is_a_warning_and_says_so():
    """The system-wide counter is told as what it is."""
    record = loss_record(report(lost=0, basis=Basis.SYSTEM, ranges=(), system_dropped=4))
    assert record.source == "system-counter"
    assert "dropped 4 for listeners of this machine, perhaps not for us" in record.detail
    assert record.severity() is Severity.WARNING


def test_hint_of_the_system_is_told_beside_a_proved_loss():
    """What was proved before does not hide what can only be hinted at now."""
    assert "perhaps not for us" in loss_record(report(system_dropped=4)).detail


def test_what_the_kernel_could_not_post_is_a_detail():
    """Events too large, or without memory, are told beside the count and not in it."""
    record = loss_record(report(lost=0, basis=Basis.SYSTEM, ranges=(), too_big=2, no_memory=3))
    assert (record.lost, record.severity()) == (0, Severity.WARNING)
    assert "2 were too large for the kernel to post to anybody" in record.detail
    assert "3 times the kernel had no memory for a message" in record.detail


def test_late_arrivals_alone_need_no_words():
    """A correction is in the figures; there is nothing to be done about it."""
    record = loss_record(report(lost=0, late=2, ranges=()))
    assert (record.late, record.detail) == (2, None)

"""The loss ledger over sockets, filters and boots."""

import pytest

from kevmond.capture.ledger import Basis, LossLedger
from kevmond.kernel.base import KernelStatistics

SECOND = 1_000_000_000


def statistics(fullsock=0, toobig=0, nomem=0):
    """Counters of the whole system."""
    return KernelStatistics(1, 1, 0, toobig, nomem, fullsock, 0)


def nobody():
    """Answer SIOCGKEVID where it cannot be asked."""


@pytest.fixture
def ledger():
    """Make a ledger and tell it of an open socket with an open filter, at id 0."""
    ledger = LossLedger(report_every_ns=10 * SECOND, age_ns=SECOND // 5)
    ledger.opened(0, 0, 0, ids_count=True, new_boot=True)
    ledger.baseline(0, statistics())
    return ledger


def lose(ledger, first, last, now=0):
    """Post `first` to `last`, read none of them, and let that become certain."""
    ledger.posted_up_to(last, now)
    ledger.drained(now + ledger.age_ns)
    assert ledger.totals().awaited == 0
    return last - first + 1


def test_nothing_lost_is_nothing_said(ledger):
    """Without a loss there is no report."""
    ledger.observe([1, 2, 3], 0, nobody)
    ledger.posted_up_to(3, 0)
    ledger.drained(SECOND)
    assert ledger.report(SECOND) is None


def test_first_loss_is_said_at_once(ledger):
    """A loss after a quiet time does not wait."""
    lose(ledger, 1, 4)
    report = ledger.report(SECOND)
    assert (report.lost, report.totals.lost, report.basis) == (4, 4, Basis.TAIL)


def test_reports_are_few_and_their_sum_exact(ledger):
    """While a loss goes on reports keep their distance, and together they miss nothing."""
    told = [ledger.report(0)]
    for step in range(1, 101):
        ledger.observe([2 * step], step * SECOND, lambda step=step: 2 * step)
        ledger.drained(step * SECOND + ledger.age_ns)
        told.append(ledger.report(step * SECOND + ledger.age_ns))
    told.append(ledger.report(101 * SECOND, force=True))
    said = [report for report in told if report is not None]
    assert len(said) <= 12
    assert sum(report.lost for report in said) == ledger.totals().lost == 100


def test_late_arrival_is_said_and_corrects_the_total(ledger):
    """What was reported lost and came after all is told as late."""
    ledger.observe([2], 0, lambda: 2)
    ledger.drained(SECOND)
    assert ledger.report(SECOND).lost == 1
    ledger.observe([1], 2 * SECOND, lambda: 2)
    report = ledger.report(20 * SECOND)
    assert (report.lost, report.late, report.totals.lost) == (0, 1, 0)


def test_narrow_filter_counts_by_the_sockets_counter():
    """Where ids prove nothing, the kernel's counter for this socket is the loss."""
    ledger = LossLedger()
    ledger.opened(0, 0, 0, ids_count=False, new_boot=True)
    ledger.baseline(5, statistics())
    ledger.observe([10, 400], 0, nobody)
    ledger.counters(8, statistics(fullsock=3))
    report = ledger.report(SECOND)
    assert (report.lost, report.basis) == (3, Basis.SOCKET)
    assert ledger.totals().delivered == 2


def test_system_counter_only_informs():
    """Where not even the socket's counter can be read, somebody's loss is not called ours."""
    ledger = LossLedger()
    ledger.opened(0, 0, 0, ids_count=False, new_boot=True)
    ledger.baseline(None, statistics())
    ledger.counters(None, statistics(fullsock=7))
    report = ledger.report(SECOND)
    assert (report.lost, report.system_dropped, report.basis) == (0, 7, Basis.SYSTEM)


def test_events_too_large_for_the_kernel_are_a_detail(ledger):
    """What the kernel refused to post to anybody has no id and is no loss of ours."""
    ledger.counters(0, statistics(toobig=2))
    report = ledger.report(SECOND)
    assert (report.lost, report.too_big) == (0, 2)


def test_reopened_socket_counts_what_came_between(ledger):
    """Events posted while no socket was open are lost, exactly."""
    ledger.observe([1, 2], 0, nobody)
    ledger.closed()
    ledger.opened(10, 10, SECOND, ids_count=True, new_boot=False)
    ledger.observe([11], SECOND, lambda: 11)
    totals = ledger.totals()
    assert (totals.posted, totals.delivered, totals.lost) == (11, 3, 8)


def test_new_boot_begins_new_ids_and_keeps_the_totals(ledger):
    """Ids start again with a boot; what was counted before it stays counted."""
    lose(ledger, 1, 4)
    ledger.closed()
    ledger.opened(0, 0, SECOND, ids_count=True, new_boot=True)
    ledger.observe([1], SECOND, lambda: 1)
    totals = ledger.totals()
    assert (totals.posted, totals.delivered, totals.lost) == (5, 1, 4)


def test_narrowed_filter_ends_the_proof_by_ids(ledger):
    """After the filter was narrowed a gap is no loss; before it, it was."""
    ledger.observe([1, 3], 0, lambda: 3)
    ledger.filter_changed(3, 3, 0, ids_count=False)
    ledger.observe([9], 0, nobody)
    ledger.drained(SECOND)
    totals = ledger.totals()
    assert (totals.delivered, totals.lost) == (3, 1)


def test_opened_filter_begins_the_proof_by_ids(ledger):
    """What was posted under the narrow filter is left out; what comes after the change counts."""
    ledger.filter_changed(0, 0, 0, ids_count=False)
    ledger.observe([5], 0, nobody)
    ledger.filter_changed(7, 7, 0, ids_count=True)
    ledger.observe([8, 10], 0, lambda: 10)
    ledger.drained(SECOND)
    totals = ledger.totals()
    assert (totals.delivered, totals.lost) == (3, 1)


def test_drops_proved_by_ids_are_not_counted_by_the_counter_too(ledger):
    """What the socket's counter says of the time before the filter was narrowed is known."""
    ledger.observe([1, 8], 0, lambda: 8)
    ledger.counters(6, statistics(fullsock=6))
    ledger.filter_changed(8, 8, 0, ids_count=False)
    ledger.drained(SECOND)
    ledger.counters(7, statistics(fullsock=7))
    totals = ledger.totals()
    assert (totals.lost, totals.socket_dropped) == (7, 7)


def test_impossible_id_under_a_narrow_filter_moves_nothing():
    """The highest id known is what a next run counts from: nonsense does not raise it."""
    ledger = LossLedger()
    ledger.opened(100, 100, 0, ids_count=False, new_boot=True)
    ledger.observe([105, 1 << 30, None], 0, nobody)
    assert ledger.last_id == 105
    assert ledger.totals().delivered == 3


def test_reopening_with_an_open_filter_after_a_narrow_one_is_no_loss(ledger):
    """What was posted while the other filter ended was perhaps not ours."""
    ledger.filter_changed(0, 0, 0, ids_count=False)
    ledger.closed()
    ledger.opened(5, 6, 0, ids_count=True, new_boot=False)
    ledger.drained(SECOND)
    assert ledger.totals().lost == 0


def test_events_at_the_moment_of_opening_are_not_called_lost():
    """An event posted while the first filter was being set may have been too early for it."""
    ledger = LossLedger()
    ledger.opened(4, 6, 0, ids_count=True, new_boot=True)
    ledger.drained(SECOND)
    assert ledger.totals().lost == 0


def test_unsaid_is_what_no_record_tells_yet(ledger):
    """What a kill would hide: awaited ids, and losses that no report has said."""
    ledger.observe([2], 0, lambda: 2)
    assert ledger.unsaid == 1
    ledger.drained(SECOND)
    assert ledger.unsaid == 1
    ledger.report(SECOND)
    assert ledger.unsaid == 0


def test_changed_bounds_hold_for_what_is_awaited_already(ledger):
    """A reload that shortens the patience does not leave a missing id to the old one."""
    ledger.configure(report_every_ns=0, age_ns=100 * SECOND, window=1000)
    ledger.posted_up_to(3, 0)
    ledger.drained(SECOND)
    assert ledger.totals().awaited == 3
    ledger.configure(report_every_ns=0, age_ns=SECOND // 2, window=1000)
    ledger.drained(2 * SECOND)
    assert ledger.totals().lost == 3


def test_counter_that_falls_silent_leaves_the_hint_of_the_system():
    """Once the socket's own counter cannot be read any more, the system's is told again."""
    ledger = LossLedger()
    ledger.opened(0, 0, 0, ids_count=False, new_boot=True)
    ledger.baseline(0, statistics())
    ledger.counters(None, statistics(fullsock=3))
    report = ledger.report(SECOND)
    assert (report.lost, report.system_dropped, report.basis) == (0, 3, Basis.SYSTEM)


def test_ids_of_a_loss_are_told_in_order(ledger):
    """Gaps become certain in any order; the first and the last id lost are the ends of them all."""
    ledger.posted_up_to(5, 0)
    ledger.observe([3], ledger.age_ns - 1, nobody)
    ledger.drained(ledger.age_ns)  # 4 and 5, known for longer, come first
    ledger.drained(2 * ledger.age_ns)
    assert [one[:2] for one in ledger.report(SECOND).ranges] == [(1, 2), (4, 5)]


def test_ids_of_a_loss_are_told_in_order_across_the_wrap():
    """The range before the wrap is the first one."""
    ledger = LossLedger()
    ledger.opened(0xFFFFFFF0, 0xFFFFFFF0, 0, ids_count=True, new_boot=True)
    ledger.observe([0xFFFFFFF2, 1, 3], 0, lambda: 3)
    ledger.drained(SECOND)
    ranges = ledger.report(SECOND).ranges
    assert [one[:2] for one in ranges] == [(0xFFFFFFF1,) * 2, (0xFFFFFFF3, 0), (2, 2)]


def test_first_id_of_very_many_ranges_is_the_first_one(ledger):
    """What is left out of a report is between its ends."""
    ledger.observe(list(range(2, 2002, 2)), 0, lambda: 2000)
    ledger.drained(SECOND)
    report = ledger.report(SECOND)
    assert (report.lost, report.ranges[0].first, report.ranges[-1].last) == (1000, 1, 1999)


def test_ranges_are_told_once(ledger):
    """A report has the ids of its own loss, not of those before."""
    for last in (4, 9):
        lose(ledger, 1, last, now=last * SECOND)
        report = ledger.report(last * SECOND, force=True)
    assert [one[:2] for one in report.ranges] == [(5, 9)]


def test_gap_and_lost_end_together_are_a_gap(ledger):
    """Only a loss that nothing but SIOCGKEVID told of is called the end of a burst."""
    ledger.observe([2], 0, lambda: 2)
    lose(ledger, 3, 4)
    report = ledger.report(SECOND)
    assert ([one.at_end for one in report.ranges], report.basis) == ([False, True], Basis.IDS)


@pytest.mark.parametrize("is_open", [True, False])
@pytest.mark.parametrize("dropped", [0, None])
def test_what_the_whole_machines_counters_tell_is_said_to_be_theirs(is_open, dropped):
    """A report without a loss of ours rests on no proof of ours, whatever the filter."""
    ledger = LossLedger()
    ledger.opened(0, 0, 0, ids_count=is_open, new_boot=True)
    ledger.baseline(dropped, statistics())
    ledger.counters(dropped, statistics(toobig=2))
    report = ledger.report(SECOND)
    assert (report.lost, report.too_big, report.basis) == (0, 2, Basis.SYSTEM)


def test_lack_of_memory_is_a_gap_with_an_open_filter(ledger):
    """Such an event has an id: it is counted as the gap it leaves and needs no report of its own.

    The next report tells how often it was for want of memory.
    """
    ledger.counters(0, statistics(nomem=1))
    assert ledger.report(SECOND) is None
    lose(ledger, 1, 1)
    report = ledger.report(SECOND)
    assert (report.lost, report.no_memory) == (1, 1)


def test_lack_of_memory_is_a_detail_with_a_narrow_filter(ledger):
    """Where ids prove nothing, it may have been somebody else's event."""
    ledger.filter_changed(0, 0, 0, ids_count=False)
    ledger.counters(0, statistics(nomem=1))
    report = ledger.report(SECOND)
    assert (report.lost, report.no_memory) == (0, 1)


def test_others_drops_are_not_spoken_of_where_ids_prove(ledger):
    """With an open filter the system's counter is no news, neither now nor once it is narrow."""
    ledger.counters(None, statistics(fullsock=9))
    assert ledger.report(SECOND) is None
    ledger.filter_changed(0, 0, 0, ids_count=False)
    ledger.counters(None, statistics(fullsock=9))
    assert ledger.report(SECOND) is None
    ledger.counters(None, statistics(fullsock=11))
    assert ledger.report(SECOND).system_dropped == 2


def test_counters_of_a_new_socket_begin_anew():
    """What was counted on a socket before is neither forgotten nor counted again."""
    ledger = LossLedger()
    ledger.opened(0, 0, 0, ids_count=False, new_boot=True)
    ledger.baseline(0, statistics())
    ledger.counters(3, statistics(fullsock=3))
    ledger.closed()
    ledger.opened(9, 9, 0, ids_count=False, new_boot=False)
    ledger.baseline(0, statistics(fullsock=8))
    ledger.counters(2, statistics(fullsock=10))
    totals = ledger.totals()
    assert (totals.lost, totals.socket_dropped, totals.system_dropped) == (5, 5, 5)


def test_counter_that_goes_back_is_no_loss(ledger):
    """A kernel that begins to count anew has dropped nothing by that."""
    ledger.filter_changed(0, 0, 0, ids_count=False)
    for reading in (5, 0, 1):
        ledger.counters(reading, None)
    assert ledger.totals().lost == 6


def test_gap_that_may_still_close_is_no_alarm(ledger):
    """While messages may be queued behind the last id, nothing is said."""
    ledger.posted_up_to(5000, 0)
    for first in range(1, 5001, 250):
        ledger.observe(list(range(first, first + 250)), 100 * SECOND, lambda: 5000)
        assert not ledger.due()
    ledger.drained(200 * SECOND)
    assert (ledger.totals().lost, ledger.report(200 * SECOND)) == (0, None)


def test_open_gap_of_an_open_filter_is_closed_by_what_was_queued(ledger):
    """After the filter was narrowed, what was queued before it still answers its ids."""
    ledger.posted_up_to(4, 0)
    ledger.filter_changed(5, 5, 0, ids_count=False)
    ledger.observe([1, 2, 5, 70, 80], 0, nobody)
    ledger.drained(SECOND)
    totals = ledger.totals()
    assert (totals.delivered, totals.lost, totals.awaited) == (5, 2, 0)


def test_report_counts_late_arrivals_in_both_figures(ledger):
    """Lost less late is the change of the total, whatever the report has of both."""
    ledger.observe([2], 0, lambda: 2)
    ledger.drained(SECOND)
    ledger.report(SECOND)
    ledger.observe([1], SECOND, lambda: 2)
    lose(ledger, 3, 5, now=2 * SECOND)
    report = ledger.report(30 * SECOND)
    assert (report.lost, report.late, report.totals.lost) == (3, 1, 3)


def test_wait_is_what_is_left_of_the_interval(ledger):
    """The owner of a clock is told when to come back."""
    assert ledger.wait_ns(0) == 0
    lose(ledger, 1, 1)
    ledger.report(SECOND)
    assert ledger.wait_ns(4 * SECOND) == 7 * SECOND
    assert ledger.wait_ns(12 * SECOND) == 0


def test_ledger_that_was_never_told_of_a_socket_has_nothing_to_tell():
    """Before the first socket everything is zero, and asking does no harm."""
    ledger = LossLedger()
    ledger.closed()
    ledger.drained(SECOND)
    assert (ledger.report(0, force=True), ledger.unsaid, ledger.awaited) == (None, 0, 0)
    assert ledger.totals().posted == 0

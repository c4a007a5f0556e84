"""Ids of one boot: what was seen, what is awaited, what is lost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kevmond.capture.sequence import IdSequence, LostRange, signed_difference

AGE = 100
WRAP = 0xFFFFFFFF


@pytest.fixture
def ids():
    """Begin after id 10, with a short patience."""
    return IdSequence(10, age_ns=AGE, window=8)


def nobody():
    """Answer SIOCGKEVID where it cannot be asked."""


def balanced(ids):
    """Tell whether everything posted is delivered, lost or awaited."""
    return ids.posted == ids.delivered + ids.lost + ids.awaited


def settle(ids, now=10**9):
    """Let all that is awaited age in an empty socket."""
    ids.drained(now)


@pytest.mark.parametrize(
    ("later", "earlier", "distance"),
    [(5, 3, 2), (3, 5, -2), (2, WRAP, 3), (WRAP, 2, -3), (0, WRAP, 1), (7, 7, 0)],
)
def test_distance_is_right_across_the_wrap(later, earlier, distance):
    """The counter is a u32 that wraps; ids near each other stay near."""
    assert signed_difference(later, earlier) == distance


def test_ids_in_order_are_no_news(ids):
    """What comes in order is delivered and nothing else."""
    ids.observe([11, 12, 13], 0, nobody)
    assert (ids.delivered, ids.lost, ids.awaited, ids.last_id) == (3, 0, 0, 13)


def test_gap_is_awaited_and_then_lost(ids):
    """A missing id is waited for until the socket was empty and its age is reached."""
    ids.observe([11, 14], 0, nobody)
    ids.drained(AGE - 1)
    assert (ids.awaited, ids.lost) == (2, 0)
    ids.drained(AGE)
    assert (ids.awaited, ids.lost) == (0, 2)
    assert list(ids.fresh) == [LostRange(12, 13, at_end=False)]


def test_gap_is_lost_after_a_window_of_later_messages(ids):
    """Under endless load the socket is never empty, and later messages prove the loss."""
    ids.observe([12], 0, nobody)
    ids.observe(list(range(13, 13 + 8)), 0, nobody)
    assert ids.lost == 1


def test_reordered_ids_are_no_loss(ids):
    """Two posters may deliver their ids the wrong way round."""
    ids.observe([12, 11, 13], 0, nobody)
    settle(ids)
    assert (ids.lost, ids.reordered, ids.delivered) == (0, 1, 3)


def test_late_arrival_is_taken_back_from_the_lost(ids):
    """What comes after it was declared lost corrects the total."""
    ids.observe([12], 0, nobody)
    settle(ids)
    assert ids.lost == 1
    ids.observe([11], 0, nobody)
    assert (ids.lost, ids.late, ids.delivered) == (0, 1, 2)
    assert balanced(ids)


def test_two_events_with_one_id_are_two_events(ids):
    """The counter is raised without a lock: a doubled id is a post of its own, and no loss."""
    ids.observe([11, 11, 12], 0, nobody)
    settle(ids)
    assert (ids.delivered, ids.duplicates, ids.lost) == (3, 1, 0)
    assert balanced(ids)


def test_doubled_id_hides_no_loss_behind_it(ids):
    """Two events that got one id leave none missing: a gap right behind them is a loss."""
    ids.observe([11, 11, 13], 0, nobody)
    settle(ids)
    assert (ids.delivered, ids.duplicates, ids.lost) == (3, 1, 1)
    assert balanced(ids)


def test_end_of_a_burst_is_seen_by_asking_the_kernel(ids):
    """SIOCGKEVID tells of events behind the last one read; that range is marked as the end."""
    ids.observe([11], 0, nobody)
    ids.expect(15, 0)
    settle(ids)
    assert ids.lost == 4
    assert list(ids.fresh) == [LostRange(12, 15, at_end=True)]


def test_events_still_queued_are_no_loss(ids):
    """What the kernel has posted and we have not read yet comes in time."""
    ids.expect(13, 0)
    ids.observe([11, 12, 13], 5, nobody)
    settle(ids)
    assert (ids.lost, ids.delivered) == (0, 3)


def test_impossible_id_is_a_stray(ids):
    """An id that the kernel cannot have given yet makes no gap of billions."""
    ids.observe([11, 4_000_000], 0, lambda: 12)
    ids.observe([None], 0, nobody)
    settle(ids)
    assert (ids.strays, ids.lost, ids.last_id) == (2, 0, 11)


def test_ids_wrap_without_a_gap():
    """After 0xffffffff comes 0."""
    ids = IdSequence(WRAP - 1, age_ns=AGE, window=8)
    ids.observe([WRAP, 0, 1], 0, nobody)
    settle(ids)
    assert (ids.delivered, ids.lost, ids.last_id) == (3, 0, 1)


def test_abandoned_socket_loses_what_it_held(ids):
    """What was posted before a socket closed, and not read from it, is gone."""
    ids.observe([11], 0, nobody)
    ids.abandon(14)
    assert (ids.lost, ids.awaited) == (3, 0)


def test_what_was_not_ours_is_left_out(ids):
    """Ids posted while we asked for something else are neither delivered nor lost."""
    ids.skip(20)
    ids.observe([21], 0, nobody)
    assert (ids.posted, ids.lost) == (1, 0)


def test_what_was_queued_before_ids_counted_hides_no_loss(ids):
    """Events left out that are read after all are ours, and neither doubled ids nor an excuse."""
    ids.skip(20)
    ids.observe([17, 18, 20], 0, nobody)
    ids.observe([24], 0, nobody)
    settle(ids)
    assert (ids.posted, ids.delivered, ids.duplicates, ids.lost) == (7, 4, 0, 3)


def test_message_without_an_id_accounts_for_one_that_is_missing(ids):
    """Nonsense was posted too: the id that it should have borne is not lost, the others are."""
    ids.observe([11, None, 14], 0, nobody)
    settle(ids)
    assert (ids.delivered, ids.strays, ids.lost) == (3, 1, 1)
    assert balanced(ids)


@st.composite
def histories(draw):
    """Make ids as a kernel posts them, some dropped, some swapped with a neighbour, and the start.

    Returns the base, the ids in the order read, and how many were dropped.
    """
    base = draw(st.sampled_from([0, 10, WRAP - 5]))
    fates = draw(st.lists(st.sampled_from("....d.s"), min_size=1, max_size=60))
    kept = [base + 1 + at for at, fate in enumerate(fates) if fate != "d"]
    swaps = [at for at, fate in enumerate(fates) if fate == "s"]
    for at in swaps:
        if 0 < at < len(kept):
            kept[at - 1], kept[at] = kept[at], kept[at - 1]
    return base, [number & WRAP for number in kept], fates.count("d"), len(fates)


@given(histories(), st.lists(st.integers(1, 9), max_size=60), st.booleans())
def test_account_is_exact_whatever_is_dropped_or_swapped(history, sizes, asked_early):
    """Nothing is ever unaccounted for, and in the end lost is exactly what was dropped."""
    base, read, dropped, posted = history
    last = (base + posted) & WRAP
    ids = IdSequence(base & WRAP, age_ns=AGE, window=1000)
    if asked_early:
        ids.expect(last, 0)
    todo = list(read)
    for size in [*sizes, len(todo) or 1]:
        batch, todo = todo[:size], todo[size:]
        ids.observe(batch, 0, lambda: last)
        assert balanced(ids)
    ids.expect(last, 0)
    assert balanced(ids)
    settle(ids)
    assert balanced(ids)
    assert (ids.delivered, ids.lost, ids.posted) == (len(read), dropped, posted)


@given(st.integers(1, 40), st.lists(st.integers(1, 9), max_size=20), st.integers(0, 40))
def test_batches_that_fill_a_gap_in_order_count_like_single_ids(posted, sizes, start):
    """Reading a queue behind its known last id, in batches or one by one, gives one account."""
    whole, single = (IdSequence(WRAP - start, age_ns=AGE, window=1000) for _ in range(2))
    for ids in (whole, single):
        ids.expect((WRAP - start + posted) & WRAP, 0)
    todo = [(WRAP - start + 1 + at) & WRAP for at in range(posted)]
    for size in sizes:
        batch, todo = todo[:size], todo[size:]
        whole.observe(batch, 0, nobody)
        for number in batch:
            single.observe([number], 0, nobody)
    for ids in (whole, single):
        settle(ids)
    assert (whole.posted, whole.delivered, whole.lost) == (
        single.posted,
        single.delivered,
        single.lost,
    )
    assert balanced(whole)

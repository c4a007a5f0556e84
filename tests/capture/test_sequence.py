"""Ids of one boot: what was seen, what is awaited, what is lost."""

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from kevmond.capture.sequence import BLIND_LEAP, IdSequence, LostRange, signed_difference

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


def test_empty_batch_is_no_news(ids):
    """A read that found nothing does not make what may be queued look passed by."""
    ids.observe([11], 0, nobody)
    ids.expect(15, 0)
    ids.observe([], 0, nobody)
    settle(ids)
    assert list(ids.fresh) == [LostRange(12, 15, at_end=True)]


def test_full_window_leaves_what_may_be_queued(ids):
    """However much is read, ids behind the last one read are not lost before the socket is empty.

    A window of later messages proves nothing of what lies behind them all.
    """
    ids.expect(40, 0)
    ids.observe(list(range(11, 31)), 0, nobody)
    assert (ids.lost, ids.awaited) == (0, 10)


def test_gap_found_while_a_queue_is_read_ages_from_then(ids):
    """What the last id told of may be queued; only what comes behind it makes it a gap."""
    ids.expect(15, 0)
    ids.observe([13], AGE - 1, nobody)
    ids.drained(AGE)
    assert (ids.lost, ids.awaited) == (2, 2)  # 14 and 15 are as old as the question
    ids.drained(2 * AGE - 1)
    assert (ids.lost, ids.awaited) == (4, 0)


def test_empty_socket_before_the_age_proves_nothing(ids):
    """An id is given before its message is queued, so an empty socket alone is no proof."""
    ids.expect(12, 0)
    for now in range(AGE):
        ids.drained(now)
    assert (ids.lost, ids.awaited) == (0, 2)


def test_late_arrival_inside_a_lost_range_takes_back_one(ids):
    """A range declared lost may come piece by piece, and each piece only once."""
    ids.observe([20], 0, nobody)
    settle(ids)
    assert ids.lost == 9
    ids.observe([15, 11, 19, 15], 0, nobody)
    assert (ids.lost, ids.late, ids.duplicates) == (6, 3, 1)
    assert balanced(ids)


def test_more_gaps_than_are_awaited_are_lost_oldest_first(ids):
    """Memory is bounded: of very many gaps the oldest are given up early."""
    ids.configure(age_ns=AGE, window=1 << 30)
    ids.observe(list(range(12, 12 + 2 * 600, 2)), 0, lambda: 5000)
    assert ids.lost == 600 - 512
    assert balanced(ids)
    settle(ids)
    assert (ids.lost, ids.awaited) == (600, 0)


def test_of_very_many_lost_ranges_the_first_and_the_newest_are_told(ids):
    """The ends of what is missing are known however many ranges there are."""
    ids.observe(list(range(12, 12 + 2 * 1000, 2)), 0, lambda: 5000)
    settle(ids)
    assert (ids.lost, len(ids.fresh)) == (1000, 256)
    assert (ids.fresh[0].first, ids.fresh[-1].last) == (11, 11 + 2 * 999)


def test_leap_is_checked_with_the_kernel_once_a_batch(ids):
    """SIOCGKEVID is asked where an id leaps and nowhere else."""
    asked = []

    def last_id():
        asked.append(1)
        return 40

    ids.observe([11, 12], 0, last_id)
    ids.observe([12, 11], 0, last_id)
    assert asked == []
    ids.observe([14, 16, 40, 41], 0, last_id)
    assert (len(asked), ids.strays, ids.last_id) == (1, 0, 41)
    ids.observe([90], 0, last_id)
    assert (ids.strays, ids.last_id) == (1, 41)


@pytest.mark.parametrize(("leap", "strays"), [(BLIND_LEAP, 0), (BLIND_LEAP + 1, 1)])
def test_leap_is_believed_within_bounds_where_nobody_can_be_asked(ids, leap, strays):
    """Without SIOCGKEVID a wide gap is a loss and an absurd one nonsense."""
    ids.observe([10 + leap], 0, nobody)
    settle(ids)
    assert (ids.strays, ids.lost) == (strays, 0 if strays else leap - 1)
    assert balanced(ids)


def test_id_far_behind_is_a_stray_and_no_doubled_one():
    """No race gives an id of thousands of events ago: such a message hides its own, unseen id."""
    ids = IdSequence(0, age_ns=AGE, window=8)
    ids.observe(list(range(1, 5001)), 0, nobody)
    ids.observe([7, 5002], 0, lambda: 5002)  # the one that says 7 was posted as 5001
    settle(ids)
    assert (ids.strays, ids.duplicates, ids.lost, ids.posted) == (1, 0, 0, 5002)
    assert balanced(ids)


def test_stray_excuses_one_id_and_no_more(ids):
    """Each message of nonsense stands for one missing id, whichever comes first."""
    ids.observe([11, None, 13, 15], 0, nobody)
    settle(ids)
    assert (ids.strays, ids.lost) == (1, 1)
    ids.observe([14], 0, nobody)  # the one that had been called lost
    assert (ids.lost, ids.late) == (0, 1)
    assert balanced(ids)


def test_what_came_while_the_filter_was_set_is_ours_only_if_it_comes(ids):
    """An id from that moment is counted if its event is read, and left out if not."""
    ids.expect(14, 0, unsure=True)
    ids.observe([13], 0, nobody)
    settle(ids)
    assert (ids.posted, ids.delivered, ids.lost) == (1, 1, 0)


def test_last_id_that_went_back_changes_nothing(ids):
    """Two posters may set the counter back by one for a moment."""
    ids.observe([11, 12], 0, nobody)
    ids.expect(11, 0)
    ids.skip(11)
    ids.abandon(11)
    assert (ids.last_id, ids.posted, ids.lost) == (12, 2, 0)


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


class SequenceAgainstKernel(RuleBasedStateMachine):
    """A kernel that loses events for no reason at all, and hands others over very late.

    Any event may be dropped or held back for a while, room or not, as a kernel short of memory or
    a poster put to sleep between its id and its message may do; the last id is asked for at any
    moment, and the socket is called empty only when it is.
    """

    @initialize(base=st.sampled_from([0, 10, WRAP - 6, WRAP]), window=st.sampled_from([5, 100_000]))
    def begin(self, base, window):
        """Begin with an empty socket."""
        self.ids = IdSequence(base, age_ns=AGE, window=window)
        self.last = base
        self.now = 0
        self.queue = []
        self.held = []
        self.read = []
        self.posted = self.dropped = 0

    @rule(fates=st.lists(st.sampled_from("qqqqdh"), min_size=1, max_size=12))
    def post(self, fates):
        """Post events; each is queued, dropped or held back."""
        for fate in fates:
            self.last = (self.last + 1) & WRAP
            self.posted += 1
            if fate == "d":
                self.dropped += 1
            else:
                (self.queue if fate == "q" else self.held).append(self.last)

    @rule()
    def give_one_id_twice(self):
        """Two events of one id, next to each other."""
        if self.queue and self.queue[-1] == self.last:
            self.queue.append(self.last)
            self.posted += 1

    @rule(data=st.data())
    def hand_over(self, data):
        """Queue what was held back, in any order."""
        self.queue += data.draw(st.permutations(self.held))
        self.held = []

    @rule(most=st.integers(0, 9), passed=st.integers(0, AGE), answers=st.booleans())
    def observe(self, most, passed, answers):
        """Read a batch, which may be empty, from a kernel that can be asked or cannot."""
        self.now += passed
        batch, self.queue = self.queue[:most], self.queue[most:]
        self.read += batch
        self.ids.observe(batch, self.now, lambda: self.last if answers else None)

    @rule()
    def ask(self):
        """Ask for the last id whatever is queued."""
        self.ids.expect(self.last, self.now)

    @rule(passed=st.integers(0, 2 * AGE))
    def drain(self, passed):
        """Read until the socket is empty, and judge."""
        self.now += passed
        self.observe(len(self.queue), 0, answers=True)
        self.ids.drained(self.now)

    @invariant()
    def nothing_is_unaccounted_for(self):
        """Find what is known to be posted delivered, lost or awaited, and nothing read lost."""
        ids = getattr(self, "ids", None)
        if ids is None:
            return
        assert balanced(ids)
        assert ids.delivered == len(self.read)
        assert min(ids.lost, ids.awaited, ids.posted) >= 0
        assert ids.lost <= self.dropped + len(self.held) + len(self.queue)
        assert ids.strays == 0

    def teardown(self):
        """Once everything has come, lost is what was dropped."""
        if not hasattr(self, "ids"):
            return
        self.queue += self.held
        self.ask()
        self.drain(0)
        self.drain(AGE)
        assert (self.ids.lost, self.ids.awaited) == (self.dropped, 0)
        assert (self.ids.posted, self.ids.delivered) == (self.posted, len(self.read))
        assert len(self.read) + self.dropped == self.posted


TestSequenceAgainstKernel = SequenceAgainstKernel.TestCase
TestSequenceAgainstKernel.settings = settings(
    max_examples=150, stateful_step_count=40, deadline=None
)

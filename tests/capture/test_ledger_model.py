"""The ledger against a kernel in miniature: whatever happens, its account is the true one.

The kernel here is a queue of bounded length and counters, told to post, to drop, to give an id
twice, to hand two messages over in the wrong order, to wrap, to have its filter changed, to close
its socket and to boot again.  It knows what became of every event; the ledger has to find out.
"""

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kevmond.capture.ledger import LossLedger
from kevmond.kernel.base import KernelStatistics

AGE = 1_000
WINDOW = 100_000
MASK = 0xFFFFFFFF
ROOM = 12
"""Messages that the socket holds."""


class LedgerAgainstKernel(RuleBasedStateMachine):
    """Posts, reads and mishaps in any order."""

    @initialize(base=st.sampled_from([0, 7, MASK - 3, MASK]), is_open=st.booleans())
    def begin(self, base, is_open):
        """Open the first socket of the first boot."""
        self.ledger = LossLedger(report_every_ns=AGE, age_ns=AGE, window=WINDOW)
        self.now = 1
        self.posted = self.delivered = self.lost = 0
        self.told = 0
        self.fullsock = 0
        self.boot(base, is_open)

    def boot(self, base, is_open):
        """Begin new ids with a new socket."""
        self.last_id = base & MASK
        self.is_open = is_open
        self.queue = []
        self.unprovable = 0
        self.dropped = 0
        self.ledger.opened(base & MASK, base & MASK, self.now, ids_count=is_open, new_boot=True)
        self.baseline()

    def statistics(self):
        """Answer net.systm.kevt.stats."""
        return KernelStatistics(1, 1, 0, 0, 0, self.fullsock, 0)

    def baseline(self):
        """Tell the counters of a new socket."""
        self.ledger.baseline(self.dropped, self.statistics())

    def wanted(self, ours):
        """Tell whether the filter lets an event through: all, or only those of ours."""
        return self.is_open or ours

    @rule(ours=st.lists(st.booleans(), min_size=1, max_size=20))
    def post(self, ours):
        """Post events; what is wanted is queued, or dropped where there is no room."""
        for one in ours:
            self.last_id = (self.last_id + 1) & MASK
            if not self.wanted(one):
                continue
            self.posted += 1
            if len(self.queue) < ROOM:
                self.queue.append(self.last_id)
            else:
                self.dropped += 1
                self.fullsock += 1
                self.lost += 1

    @rule()
    def post_two_with_one_id(self):
        """Post two events at once, which the counter is raised for once."""
        if len(self.queue) + 2 <= ROOM:
            self.post([True])
            self.queue.append(self.last_id)
            self.posted += 1
            self.unprovable = len(self.queue)

    @rule()
    def post_in_the_wrong_order(self):
        """Post two events, of which the later one is queued first."""
        if len(self.queue) + 2 <= ROOM:
            self.post([True, True])
            self.queue[-2:] = self.queue[:-3:-1]

    @precondition(lambda self: self.is_open)
    @rule(ahead=st.none() | st.integers(2**20, 2**30))
    def post_nonsense(self, ahead):
        """Post a message that has no id, or one that cannot be: its own id stays unseen."""
        if len(self.queue) < ROOM:
            self.last_id = (self.last_id + 1) & MASK
            self.queue.append(None if ahead is None else (self.last_id + ahead) & MASK)
            self.posted += 1
            if ahead is not None:
                self.read(ROOM)

    @rule(most=st.integers(1, 8))
    def read(self, most):
        """Read a batch."""
        batch, self.queue = self.queue[:most], self.queue[most:]
        self.delivered += len(batch)
        self.unprovable = max(0, self.unprovable - len(batch))
        if batch:
            self.ledger.observe(batch, self.now, lambda: self.last_id)

    @rule(passed=st.sampled_from([0, 1, AGE // 2, 2 * AGE]))
    def check(self, passed):
        """Ask for the last id, read until the socket is empty, and read the counters."""
        self.now += passed
        last_id = self.last_id
        self.read(ROOM)
        self.ledger.drained(self.now)
        self.ledger.posted_up_to(last_id, self.now)
        self.ledger.counters(self.dropped, self.statistics())

    @rule()
    def report(self):
        """Say what has to be said."""
        report = self.ledger.report(self.now)
        self.told += report.lost - report.late if report is not None else 0

    @rule(is_open=st.booleans())
    def change_filter(self, is_open):
        """Set another filter; what is queued stays queued."""
        if is_open != self.is_open:
            self.ledger.counters(self.dropped, self.statistics())
            if is_open:
                self.unprovable = len(self.queue)
            self.is_open = is_open
            self.ledger.filter_changed(self.last_id, self.last_id, self.now, ids_count=is_open)

    @precondition(lambda self: self.is_open and not self.unprovable)
    @rule(meanwhile=st.integers(0, 9), is_open=st.booleans())
    def reopen(self, meanwhile, is_open):
        """Lose the socket with what it held, and what is posted until there is another one.

        Not with messages in it that were queued under a narrow filter, or that bear the id of
        another: nobody can count those.
        """
        self.ledger.counters(self.dropped, self.statistics())
        self.ledger.closed()
        self.lost += len(self.queue) + meanwhile
        self.posted += meanwhile
        self.last_id = (self.last_id + meanwhile) & MASK
        self.queue = []
        self.dropped = 0
        self.is_open = is_open
        self.ledger.opened(self.last_id, self.last_id, self.now, ids_count=is_open, new_boot=False)
        self.baseline()

    @rule(base=st.sampled_from([0, MASK]), is_open=st.booleans())
    def reboot(self, base, is_open):
        """Boot again, everything read: what a kernel took with it nobody can know."""
        self.settle()
        self.ledger.closed()
        self.boot(base, is_open)

    def settle(self):
        """Let everything become certain."""
        self.check(0)
        self.check(2 * AGE)

    @invariant()
    def account_is_balanced(self):
        """Nothing is unaccounted for, at any time."""
        if hasattr(self, "ledger"):
            totals = self.ledger.totals()
            assert totals.posted == totals.delivered + totals.lost + totals.awaited
            assert totals.delivered == self.delivered

    def teardown(self):
        """Find, in the end, lost exactly what the kernel dropped, and said exactly that."""
        if not hasattr(self, "ledger"):
            return
        self.settle()
        totals = self.ledger.totals()
        assert (totals.lost, totals.awaited) == (self.lost, 0)
        assert totals.posted == self.posted
        report = self.ledger.report(self.now, force=True)
        self.told += report.lost - report.late if report is not None else 0
        assert self.told == self.lost
        assert self.ledger.unsaid == 0


TestLedgerAgainstKernel = LedgerAgainstKernel.TestCase
TestLedgerAgainstKernel.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)

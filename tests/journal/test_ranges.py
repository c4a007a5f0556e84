"""Sets of positions."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from kevmond.journal.ranges import Ranges

SPANS = st.lists(st.tuples(st.integers(1, 60), st.integers(0, 9)), max_size=12)


@given(SPANS, st.integers(0, 70), st.integers(0, 70))
def test_ranges_are_a_set(spans, first, last):
    """Whatever is added, counting agrees with a plain set, and ranges stay disjoint and sorted."""
    ranges, plain = Ranges(), set()
    for begin, more in spans:
        ranges.add(begin, begin + more)
        plain |= set(range(begin, begin + more + 1))
    assert ranges.count(first, last) == len(plain & set(range(first, last + 1)))
    assert ranges.count(first) == len({seq for seq in plain if seq >= first})
    flat = [bound for span in ranges for bound in span]
    assert all(a <= b for a, b in pairwise(flat))
    assert len(set(flat[1::2]) & {begin - 1 for begin in flat[::2]}) == 0


@given(SPANS, st.integers(0, 70))
def test_prune_forgets_only_what_lies_below(spans, below):
    """After pruning, nothing at or above the position has changed."""
    ranges = Ranges((begin, begin + more) for begin, more in spans)
    before = ranges.count(below)
    ranges.prune(below)
    assert ranges.count(below) == before
    assert all(last >= below for _, last in ranges)

"""How long a refused batch waits."""

from hypothesis import given
from hypothesis import strategies as st

from kevmond.backoff import Backoff


def longest(low, high):
    """Draw the longest wait."""
    return high


def test_bound_doubles_up_to_the_maximum():
    """The longest possible waits are the first bound, its doubles, and then the maximum."""
    backoff = Backoff(0.5, 3.0, uniform=longest)
    assert [backoff.next() for _ in range(5)] == [0.5, 1.0, 2.0, 3.0, 3.0]


def test_jitter_is_full():
    """A wait may be as short as nothing."""
    backoff = Backoff(0.5, 3.0, uniform=lambda low, high: low)
    assert [backoff.next() for _ in range(3)] == [0.0, 0.0, 0.0]


def test_reset_begins_anew():
    """After a success the next outage starts with the first bound."""
    backoff = Backoff(0.5, 3.0, uniform=longest)
    backoff.next()
    backoff.next()
    backoff.reset()
    assert (backoff.failures, backoff.next()) == (0, 0.5)


def test_after_is_honoured_and_spread():
    """A receiver that asks for two seconds gets them, and at most the first bound more."""
    assert Backoff(0.5, 60.0, uniform=lambda low, high: low).next(2.0) == 2.0
    assert Backoff(0.5, 60.0, uniform=longest).next(2.0) == 2.5


def test_after_is_bounded():
    """A receiver that asks for a day gets the maximum, one that asks for the past gets now."""
    assert Backoff(0.5, 60.0, uniform=longest).next(86400.0) == 60.0
    assert Backoff(0.5, 60.0, uniform=lambda low, high: low).next(-5.0) == 0.0


@given(st.integers(0, 5000), st.none() | st.floats(-1e9, 1e9))
def test_no_wait_is_longer_than_the_maximum(failures, after):
    """However long an outage lasts, a wait stays between nothing and the maximum."""
    backoff = Backoff(0.5, 60.0)
    backoff.failures = failures
    assert 0.0 <= backoff.next(after) <= 60.0

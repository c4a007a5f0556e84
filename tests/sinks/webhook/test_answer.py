"""What a receiver's answer means."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from kevmond.errors import GoneError, PermanentError, RetryableError
from kevmond.sinks.webhook.answer import Answer, judge, printable, retry_after

NOW = 1_795_507_771.0
"""Tue, 24 Nov 2026 08:09:31 GMT."""


def headers(value):
    """Return headers with a Retry-After."""
    return CIMultiDict({"Retry-After": value})


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120.0),
        ("0", 0.0),
        (" 5 ", 5.0),
        ("120.1", 120.1),
        ("120.", 120.0),
        ("Tue, 24 Nov 2026 08:10:31 GMT", 60.0),
        ("Tuesday, 24-Nov-26 08:10:31 GMT", 60.0),
        ("Tue Nov 24 08:10:31 2026", 60.0),
        ("Tue, 24 Nov 2026 08:00:00 GMT", 0.0),
    ],
)
def test_retry_after_in_seconds_or_as_a_date(value, seconds):
    """Seconds, and a date in each of the three forms of HTTP; one that has passed is now."""
    assert retry_after(headers(value), NOW) == seconds


@pytest.mark.parametrize("value", ["", "soon", "-5", "1e9", "99999999999", "Tue, 99 Nov 2026"])
def test_retry_after_that_makes_no_sense_is_as_none(value):
    """What is neither is passed over."""
    assert retry_after(headers(value), NOW) is None


@given(st.text(max_size=60))
def test_retry_after_never_fails(value):
    """Whatever a receiver writes there, there is a wait or none."""
    found = retry_after({"retry-after": value}, NOW)
    assert found is None or found >= 0


@given(st.integers(100, 999), st.integers(1, 9), st.binary(max_size=99))
def test_every_answer_means_something(status, count, body):
    """2xx is taken; 410 ends it; one record too large is given up; all else is tried again."""
    answer = Answer(status, CIMultiDict({"Location": "x", "Retry-After": "7"}), body, 0.1)
    if 200 <= status < 300:
        judge(answer, "https://h", count, NOW)
        return
    expected = {410: GoneError, 413: PermanentError if count == 1 else RetryableError}
    with pytest.raises(expected.get(status, RetryableError)) as caught:
        judge(answer, "https://h", count, NOW)
    assert type(caught.value) is expected.get(status, RetryableError)
    assert str(caught.value).isprintable()
    assert str(status) in str(caught.value)


@pytest.mark.parametrize(
    ("location", "says"),
    [
        ("https://hooks.example/T0/SECRET?tok=SECRET", "(to https://hooks.example); redirects"),
        ("https://u:SECRET@hooks.example:8443/", "(to https://hooks.example:8443); redirects"),
        ("//hooks.example/SECRET", "(to hooks.example); redirects"),
        ("/T0/SECRET", "(to another path there); redirects"),
        ("https://[SECRET/", "301 Moved Permanently; redirects"),
        ("", "301 Moved Permanently; redirects"),
    ],
)
def test_redirect_does_not_tell_the_path(location, says):
    """Where a redirect goes is told without path, query and password, in words and story."""
    body = f'<a href="{location}">here</a>'.encode()
    answer = Answer(301, CIMultiDict({"Location": location}), body, 0.1)
    with pytest.raises(RetryableError) as caught:
        judge(answer, "https://h", 1, NOW)
    assert says in str(caught.value)
    assert "SECRET" not in f"{caught.value} {caught.value.excerpt}"


@given(st.one_of(st.binary(max_size=400), st.text(max_size=400)), st.integers(4, 60))
def test_what_is_shown_is_short_and_harmless(said, most):
    """Nothing that a receiver says moves a cursor or fills a screen."""
    shown = printable(said, most)
    assert len(shown) <= most
    assert shown.isprintable()

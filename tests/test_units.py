"""Durations and sizes as people write them."""

import time

import pytest
from pydantic import TypeAdapter, ValidationError

from kevmond.errors import ConfigError
from kevmond.units import Duration, Size, moment


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("250ms", 0.25), ("10s", 10), ("1.5m", 90), ("2h", 7200), ("7d", 604800), (3, 3), (0.5, 0.5)],
)
def test_duration_reads_text_and_numbers(text, seconds):
    """A duration is a number of seconds or a number with a unit."""
    assert TypeAdapter(Duration).validate_python(text) == seconds


@pytest.mark.parametrize(
    ("text", "count"),
    [("64KiB", 65536), ("10 MiB", 10485760), ("1GB", 10**9), ("1.5kB", 1500), (7, 7), ("9B", 9)],
)
def test_size_reads_text_and_numbers(text, count):
    """A size is a number of bytes or a number with a unit."""
    assert TypeAdapter(Size).validate_python(text) == count


def test_unknown_unit_is_told_with_the_known_ones():
    """A wrong unit is answered with those that are understood."""
    with pytest.raises(ValidationError, match=r"not a duration: '5 days'.*ms, s, m, h, d, w"):
        TypeAdapter(Duration).validate_python("5 days")
    with pytest.raises(ValidationError, match=r"not a size: '5 kb'.*KiB"):
        TypeAdapter(Size).validate_python("5 kb")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 910.0), ("1970-01-01T00:01:00Z", 60.0), ("1970-01-01T01:00:00+01:00", 0.0)],
)
def test_moment_is_a_time_or_how_long_ago(text, seconds):
    """Both forms give nanoseconds since the epoch."""
    assert moment(text, 1000 * 10**9) == int(seconds * 1e9)


def test_time_without_zone_is_local(monkeypatch):
    """People write the time on their clock."""
    monkeypatch.setenv("TZ", "UTC-2")
    time.tzset()
    try:
        assert moment("1970-01-01T02:00:01", 0) == 10**9
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("text", ["", "yesterday", "5 days", "9" * 400 + "s", "2026-13-01", "-5s"])
def test_no_time_is_told_with_the_forms_that_are_understood(text):
    """A mistake is answered with what to write."""
    with pytest.raises(ConfigError, match=r"not a time: .*how long ago: 90s"):
        moment(text, 0)

"""Durations and sizes as people write them."""

import pytest
from pydantic import TypeAdapter, ValidationError

from kevmond.units import Duration, Size


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

"""What the end of a file tells: whole lines, torn ones, and other people's."""

import gzip
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kevmond.sinks.files import Files
from kevmond.sinks.tail import (
    first_time,
    is_whole_gzip,
    last_sequence_gzip,
    read_tail,
    sequence_of,
)
from kevmond.sinks.testing import records

LINES = [record.line + b"\n" for record in records(1, 3)]
WHOLE = b"".join(LINES)


def tail_of(tmp_path, data):
    """Return the tail of a file with these bytes."""
    path = tmp_path / "x"
    path.write_bytes(data)
    fd = os.open(path, os.O_RDONLY)
    try:
        return read_tail(Files(), fd, len(data))
    finally:
        os.close(fd)


def reader(data):
    """Return a function that reads `data` piece by piece."""
    rest = memoryview(data)

    def read(length):
        nonlocal rest
        block, rest = bytes(rest[:length]), rest[length:]
        return block

    return read


def test_empty_file_has_no_end(tmp_path):
    """An empty file is whole and holds nothing."""
    assert tail_of(tmp_path, b"") == (0, None, False)


def test_whole_file_ends_with_its_last_event(tmp_path):
    """A file of whole lines is whole to its end."""
    assert tail_of(tmp_path, WHOLE) == (len(WHOLE), 3, False)


@pytest.mark.parametrize("cut", [1, 2, 100, len(LINES[2]) - 1])
def test_torn_line_lies_behind_the_whole_ones(tmp_path, cut):
    """A line without its newline does not count, even if only the newline is missing."""
    assert tail_of(tmp_path, WHOLE[:-cut]) == (len(WHOLE) - len(LINES[2]), 2, False)


def test_first_line_may_be_torn(tmp_path):
    """A file that holds the beginning of one event and nothing else is kevmond's, and empty."""
    assert tail_of(tmp_path, WHOLE[:5]) == (0, None, False)
    assert tail_of(tmp_path, WHOLE[:300]) == (0, None, False)


def test_zeros_after_a_power_failure_are_cut(tmp_path):
    """Zero bytes that a file system left behind the data do not count, newline or not."""
    assert tail_of(tmp_path, WHOLE + bytes(5000)) == (len(WHOLE), 3, False)
    assert tail_of(tmp_path, WHOLE + bytes(5000) + b"}\n") == (len(WHOLE), 3, False)
    assert tail_of(tmp_path, bytes(5000)) == (0, None, False)


def test_foreign_file_is_told_apart(tmp_path):
    """A file without a single event is not kevmond's."""
    assert tail_of(tmp_path, b"root:x:0:0\n").foreign
    assert tail_of(tmp_path, b"no newline").foreign
    assert tail_of(tmp_path, b'{"seq":"1"}\n[1]\n').foreign


def test_remark_of_somebody_else_is_left_alone(tmp_path):
    """A line that somebody appended stays, and the last event is found before it."""
    data = WHOLE + b"# looked at this\n"
    assert tail_of(tmp_path, data) == (len(data), 3, False)


def test_last_event_is_found_over_many_blocks(tmp_path):
    """A torn line longer than several reads does not hide the events before it."""
    assert tail_of(tmp_path, WHOLE + b"x" * 300_000) == (len(WHOLE), 3, False)


@given(st.integers(0, len(WHOLE)))
def test_every_cut_leaves_whole_lines(tmp_path_factory, length):
    """Wherever a file is cut, what counts is the whole lines before the cut."""
    found = tail_of(tmp_path_factory.getbasetemp(), WHOLE[:length])
    count = WHOLE[:length].count(b"\n")
    assert found == (len(b"".join(LINES[:count])), count or None, False)


def test_first_time_is_that_of_the_first_line(tmp_path):
    """The age of a file is read from its first event."""
    path = tmp_path / "x"
    path.write_bytes(WHOLE)
    fd = os.open(path, os.O_RDONLY)
    try:
        assert first_time(Files(), fd) == records(1, 1)[0].event.time
    finally:
        os.close(fd)


def test_sequence_of_no_event_is_none():
    """Lines that are no events have no position."""
    assert [sequence_of(line) for line in (b"", b"{}", b'{"seq":true}', b"\xff")] == [None] * 4


def test_last_event_of_a_compressed_file():
    """The last event of a gzip stream is found, and of a cut one what can still be read."""
    packed = gzip.compress(WHOLE * 2000)
    assert last_sequence_gzip(reader(packed)) == 3
    assert last_sequence_gzip(reader(packed[: len(packed) // 2])) in {None, 1, 2, 3}
    assert last_sequence_gzip(reader(b"no gzip")) is None


def test_whole_gzip_is_told_from_a_torn_one():
    """Only a stream that ends with its check sum is whole."""
    packed = gzip.compress(WHOLE)
    assert is_whole_gzip(reader(packed))
    assert not is_whole_gzip(reader(packed[:-1]))
    assert not is_whole_gzip(reader(packed[:-8] + bytes(8)))
    assert not is_whole_gzip(reader(b""))

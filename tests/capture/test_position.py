"""How far the kernel's events were taken, from run to run."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kevmond.capture.position import Position

U32 = st.integers(0, 0xFFFFFFFF)


@given(st.builds(Position, st.text(), U32, st.integers(-5, 1 << 40), st.integers(0, 1 << 63)))
def test_position_is_read_back(position):
    """What is stored is what was remembered."""
    assert Position.read(position.text()) == position


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "nonsense",
        "7",
        "[1]",
        "{}",
        '"1234"',
        '["b", "x", 0, 0]',
        "[null, 1, 0, 0]",
        '["b", 1.5, 0, 0]',
        '["b", 1e999, 0, 0]',
        '["b", 1, 0, 0, 0]',
        '{"a": 1, "2": 2, "3": 3, "4": 4}',
        "[" * 100_000,
    ],
    ids=lambda text: repr(text)[:20],
)
def test_unreadable_position_is_none(text):
    """A position nobody can read is as good as none, and no reason not to start."""
    assert Position.read(text) is None


@given(st.text() | st.recursive(st.none() | st.floats() | st.text(), st.lists).map(str))
def test_no_text_makes_reading_fail(text):
    """Whatever the state holds, reading it raises nothing."""
    assert Position.read(text) is None or isinstance(Position.read(text), Position)


def test_id_is_kept_a_u32():
    """An id that no kernel can have given is cut to the width of the counter."""
    assert Position.read('["b", 4294967301, 0, 0]').last_id == 5


@pytest.mark.parametrize(
    ("last", "now", "unsaid", "missed"),
    [
        (10, 10, 0, 0),
        (10, 17, 0, 7),
        (10, 17, 3, 10),
        (0xFFFFFFFE, 1, 0, 3),
        (10, 9, 0, 0),
        (10, 9, 2, 2),
        (10, 17, -1, 6),
        (10, 10, -1, 0),
    ],
    ids=[
        "nothing posted",
        "posted since",
        "and what the run before had not said",
        "across the wrap",
        "two posters set it back",
        "set back, and not said",
        "one came that was said to be lost",
        "never fewer than none",
    ],
)
def test_missed_is_told_by_the_ids_of_one_boot(last, now, unsaid, missed):
    """Ids posted since, and what no record of the run before tells, are what was missed."""
    assert Position("boot", last, unsaid, 0).missed("boot", now) == missed


def test_missed_over_a_boot_cannot_be_known():
    """Ids of another boot say nothing."""
    assert Position("boot", 10, 0, 0).missed("other", 17) is None

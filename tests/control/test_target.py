"""Which control is meant."""

import pytest

from kevmond.control.target import ControlTarget
from kevmond.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("org.example.a", ControlTarget("org.example.a")),
        ("12:0", ControlTarget("", 12, 0)),
        ("0x4d4b:7", ControlTarget("", 0x4D4B, 7)),
        ("4294967295:4294967295", ControlTarget("", 0xFFFFFFFF, 0xFFFFFFFF)),
        ("12", ControlTarget("12")),
        ("a:1", ControlTarget("a:1")),
        ("n" * 95, ControlTarget("n" * 95)),
    ],
)
def test_a_name_or_id_and_unit(text, target):
    """Two numbers with a colon are id and unit, anything else is a name."""
    assert ControlTarget.parse(text) == target


@pytest.mark.parametrize("text", ["org.example.a", "12:0"])
def test_text_comes_back(text):
    """A target's text is what it was read from."""
    assert str(ControlTarget.parse(text)) == text


@pytest.mark.parametrize("text", ["", "n" * 96, "é" * 48, "a\0b", "4294967296:0"])
def test_what_no_control_can_be(text):
    """Names that the kernel could not hold and numbers that are no u32 are refused."""
    with pytest.raises(ConfigError, match="not a control"):
        ControlTarget.parse(text)

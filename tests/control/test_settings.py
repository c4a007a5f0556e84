"""What can be set for a channel."""

import pytest
from pydantic import ValidationError

from kevmond.control.settings import ControlSettings
from kevmond.control.target import ControlTarget
from kevmond.errors import ConfigError


def test_the_section_names_the_control():
    """Without a control the section's own name is it; with one, that."""
    assert ControlSettings().target("org.example.a") == ControlTarget("org.example.a")
    assert ControlSettings(control="7:1").target("foo") == ControlTarget("", 7, 1)


def test_units_are_for_people():
    """Durations and sizes are written with their units."""
    settings = ControlSettings(receive_space="1MiB", poll="5m", retry_initial="50ms")
    assert (settings.receive_space, settings.poll, settings.retry_initial) == (1 << 20, 300, 0.05)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"control": "n" * 96}, "not a control"),
        ({"subscribe": ["clients"]}, 'needs protocol = "sample"'),
        ({"protocol": "sample", "type": "stream"}, "one of messages"),
        ({"retry_initial": 60}, "larger than retry_maximum"),
        ({"unknown": 1}, "Extra inputs"),
        ({"protocol": "sample", "subscribe": ["all"]}, "Input should be"),
        ({"receive_space": 0}, "greater than"),
    ],
)
def test_what_cannot_be(settings, text):
    """Settings that contradict themselves are refused with what to do."""
    with pytest.raises(ValidationError, match=text):
        ControlSettings(**settings)


def test_a_section_that_can_be_no_control():
    """A section's name that no control can have is refused where it is used as one."""
    with pytest.raises(ConfigError, match=r"^control\.a.*: not a control"):
        ControlSettings().target("a" * 96)

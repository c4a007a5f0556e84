"""What can be set for a channel."""

import pytest
from pydantic import ValidationError

from kevmond.control.settings import ControlSettings
from kevmond.control.target import ControlTarget
from kevmond.errors import ConfigError

FOO = "org.mklinux.nke.foo"


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
        ({"protocol": "raw", "subscribe": ["clients"]}, 'needs protocol = "sample"'),
        ({"control": "org.a", "subscribe": ["clients"]}, 'needs protocol = "sample"'),
        ({"control": FOO, "type": "stream"}, "one of messages"),
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


def test_a_value_where_a_table_belongs():
    """`foo = 3` in [control] is refused with how a channel is written."""
    with pytest.raises(ValidationError, match=r"write a table: \[control\.NAME\]"):
        ControlSettings.model_validate(3)


def test_the_protocol_goes_by_the_name():
    """Unless it is told, it is the sample's for the sample's own name, and else none."""
    auto = ControlSettings(subscribe=["clients"])
    assert auto.target(FOO) == ControlTarget(FOO)
    assert auto.speaks_sample(FOO)
    assert not auto.speaks_sample("7:1")
    with pytest.raises(ConfigError, match=r"^control\.foo: subscribe: needs protocol"):
        auto.target("foo")
    assert ControlSettings(control=FOO, subscribe=["clients"]).target("foo").name == FOO
    assert not ControlSettings(protocol="raw").speaks_sample(FOO)
    assert ControlSettings(protocol="sample").speaks_sample("org.example")


def test_a_section_that_can_be_no_control():
    """A section's name that no control can have is refused where it is used as one."""
    with pytest.raises(ConfigError, match=r"^control\.a.*: not a control"):
        ControlSettings().target("a" * 96)

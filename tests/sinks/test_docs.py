"""docs/sinks.md: it has every setting, and its examples are right."""

import re
import tomllib
from pathlib import Path

import pytest

from kevmond.events.event import Event
from kevmond.sinks import registry
from kevmond.sinks.base import SinkSettings
from kevmond.sinks.exec import FIELDS

TEXT = (Path(__file__).parents[2] / "docs" / "sinks.md").read_text()
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", TEXT, re.DOTALL | re.MULTILINE))


def settings_told(section):
    """Return the settings that the tables of a section have."""
    rows = re.findall(r"^\| (`[^|]+?) \|", section, re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`([a-z_]+)`", row)}


def test_every_sink_has_a_section():
    """A sink that is registered is described."""
    assert set(registry.OWN) <= set(SECTIONS)
    for name in registry.OWN:
        assert f"| [`{name}`](#{name}) |" in TEXT


def test_what_all_sinks_have_is_told():
    """The common settings stand in one table."""
    assert settings_told(SECTIONS["Settings of every sink"]) == set(SinkSettings.model_fields)


@pytest.mark.parametrize("name", sorted(registry.OWN))
def test_every_setting_is_told(name):
    """Each sink's table has its own settings, all of them and no other."""
    model = registry.load(name).Settings
    own = set(model.model_fields) - set(SinkSettings.model_fields)
    assert settings_told(SECTIONS[name]) == own


@pytest.mark.parametrize(
    "example", re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL), ids=lambda text: text[:20].strip()
)
def test_examples_are_right(example):
    """Every table of the examples is understood."""
    for table in tomllib.loads(example)["sinks"].values():
        registry.load(table["type"]).Settings.model_validate(
            table, context={"state_dir": Path("/var/lib/kevmond")}
        )


def test_every_variable_of_exec_is_told():
    """The environment that a program gets is listed, field by field."""
    told = set(re.findall(r"KEVMOND_[A-Z_]+", SECTIONS["exec"]))
    assert {f"KEVMOND_{field.upper()}" for field in FIELDS} <= told
    known = {field.alias or name for name, field in Event.model_fields.items()}
    assert known - set(FIELDS) == {"payload", "raw", "extra"}

"""Sinks by name: kevmond's own and plug-ins, good and bad."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from kevmond.errors import ConfigError
from kevmond.sinks import registry
from kevmond.sinks.base import SinkSettings
from kevmond.sinks.jsonl import JsonlSink
from kevmond.sinks.runner import SinkRunner
from kevmond.sinks.testing import MemoryJournal, records

ROOT = Path(__file__).parents[2]

GOOD = """
from kevmond.sinks.base import SinkSettings

class Sink:
    Settings = SinkSettings
    def __init__(self, name, settings): ...
    async def open(self): ...
    async def write(self, batch): ...
    async def reopen(self): ...
    async def aclose(self): ...
"""


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Return a function that installs a package with sinks and a module."""
    monkeypatch.syspath_prepend(tmp_path)
    made = []

    def install(name, points, module):
        info = tmp_path / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        lines = [f"{kind} = {target}" for kind, target in points.items()]
        (info / "entry_points.txt").write_text("\n".join(["[kevmond.sinks]", *lines, ""]))
        (tmp_path / f"{name}.py").write_text(module)
        made.append(name)

    yield install
    for name in made:
        sys.modules.pop(name, None)


def test_own_sinks_are_the_entry_points():
    """What the registry knows by heart is what pyproject.toml declares."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["kevmond.sinks"] == registry.OWN


def test_own_sink_is_loaded():
    """A type's name gives its class."""
    assert registry.load("jsonl") is JsonlSink


def test_unknown_type_names_the_nearest_and_all():
    """A mistyped type is answered with the nearest and with all that are known."""
    with pytest.raises(ConfigError) as caught:
        registry.load("jsonll")
    assert str(caught.value) == (
        "unknown sink type 'jsonll'; did you mean jsonl? known: " + ", ".join(registry.names())
    )


def test_plugin_is_found_and_loaded_when_asked_for(install):
    """An installed package's sink is listed without being imported, and imported when loaded."""
    install("kevmond_good", {"good": "kevmond_good:Sink"}, GOOD)
    assert "good" in registry.names()
    assert "kevmond_good" not in sys.modules
    assert registry.load("good").Settings is SinkSettings


@pytest.mark.parametrize(
    ("module", "says"),
    [
        ("import no_such_library", "ModuleNotFoundError: No module named 'no_such_library'"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("x = 1", "AttributeError: module 'kevmond_bad' has no attribute 'Sink'"),
    ],
)
def test_plugin_that_cannot_be_imported_is_named(install, module, says):
    """A plug-in that fails to import is told with its name and its error."""
    install("kevmond_bad", {"bad": "kevmond_bad:Sink"}, module)
    with pytest.raises(registry.PluginError) as caught:
        registry.load("bad")
    assert str(caught.value) == f"sink type bad: kevmond_bad:Sink cannot be imported: {says}"


async def test_broken_plugin_stops_nobody(install):
    """In place of a broken plug-in a sink takes its settings and says why it fails."""
    install("kevmond_bad", {"bad": "kevmond_bad:Sink"}, "1 / 0")
    sink = registry.usable("bad")
    settings = sink.Settings.model_validate({"type": "bad", "url": "x", "batch_size": 5})
    assert settings.batch_size == 5
    assert not registry.shortcomings(sink)
    told = []
    journal = MemoryJournal(records(1, 3))
    runner = SinkRunner("b", sink("b", settings), settings, journal, announce=told.append)
    await runner.start()
    await runner.drain(60.0)
    assert (told[0].state, runner.health.counters.dropped) == ("failed", 0)
    assert "ZeroDivisionError" in told[0].detail
    assert registry.usable("jsonl") is JsonlSink


def test_unknown_type_has_no_stand_in():
    """A type that nobody declares is a mistake in the configuration, not a broken plug-in."""
    with pytest.raises(ConfigError, match="unknown sink type"):
        registry.usable("nothing")


def test_class_that_is_no_sink_is_told_what_is_missing(install):
    """A class that does not answer the Protocol is named with each of its shortcomings."""
    module = """
class Sink:
    def __init__(self, name): ...
    async def open(self): ...
    def write(self, batch): ...
    async def reopen(self, why): ...
"""
    install("kevmond_bad", {"bad": "kevmond_bad:Sink"}, module)
    with pytest.raises(registry.PluginError) as caught:
        registry.load("bad")
    text = str(caught.value)
    assert text.startswith("sink type bad: kevmond_bad:Sink is no sink: ")
    for part in (
        "its Settings is not a subclass of kevmond.sinks.base.SinkSettings",
        "its constructor does not take (name, settings)",
        "it has no `async def write`",
        "its reopen does not take (self)",
        "it has no `async def aclose`",
    ):
        assert part in text


def test_what_is_no_class_is_told(install):
    """An entry point that leads to something else than a class is told."""
    install("kevmond_bad", {"bad": "kevmond_bad:Sink"}, "Sink = 3")
    with pytest.raises(registry.PluginError, match="it is not a class"):
        registry.load("bad")


def test_type_declared_twice_is_refused(install):
    """Two packages that declare one type are both named."""
    install("kevmond_one", {"twin": "kevmond_one:Sink"}, GOOD)
    install("kevmond_two", {"twin": "kevmond_two:Sink"}, GOOD)
    with pytest.raises(registry.PluginError, match="kevmond_one:Sink, kevmond_two:Sink"):
        registry.load("twin")


def test_plugin_cannot_take_the_place_of_an_own_sink(install):
    """A package that declares "jsonl" does not change what jsonl is."""
    install("kevmond_bad", {"jsonl": "kevmond_bad:Sink"}, GOOD)
    assert registry.load("jsonl") is JsonlSink


def test_own_sinks_need_no_metadata(monkeypatch):
    """Loading kevmond's own sinks looks at no installed package."""

    def refuse(**how):
        raise AssertionError("metadata was read")

    monkeypatch.setattr("importlib.metadata.entry_points", refuse)
    assert registry.load("jsonl") is JsonlSink


@pytest.mark.parametrize("kind", ["jsonl", "log"])
def test_loading_one_imports_no_other(kind):
    """Only the sink that is asked for is imported, and never rich."""
    program = (
        "import sys; from kevmond.sinks import registry;"
        f"registry.load({kind!r});"
        "print(sorted({'kevmond.sinks.jsonl', 'kevmond.sinks.log', 'rich'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], timeout=60, capture_output=True, check=True, text=True
    )
    assert done.stdout == f"['kevmond.sinks.{kind}']\n"

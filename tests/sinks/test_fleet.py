"""All sinks of a daemon together."""

import asyncio

import pytest

from kevmond.sinks import registry
from kevmond.sinks.base import SinkSettings
from kevmond.sinks.fleet import Fleet
from kevmond.sinks.testing import MemoryJournal


class Journal(MemoryJournal):
    """Remembers which places it was told to keep."""

    kept = None

    def retain_only(self, names):
        self.kept = list(names)

    def forget(self, name):
        self.positions.pop(name, None)


class Quiet:
    """A sink that takes everything and tells how often it was opened and closed."""

    Settings = SinkSettings
    opened = closed = 0

    def __init__(self, name, settings):
        pass

    async def open(self):
        type(self).opened += 1

    async def write(self, batch):
        pass

    async def reopen(self):
        raise OSError(2, "No such file or directory")

    async def aclose(self):
        type(self).closed += 1


@pytest.fixture
def quiet(monkeypatch):
    """Make every type of sink the quiet one, with its counts at nought."""
    kind = type("Fresh", (Quiet,), {})
    monkeypatch.setattr(registry, "usable", lambda name: kind)
    return kind


@pytest.fixture
def fleet():
    """Make a fleet over a journal in memory."""
    journal = Journal()
    fleet = Fleet(journal, lambda payload: None)
    fleet.journal = journal
    return fleet


def sinks(**batch_sizes):
    """Make settings of sinks by name."""
    return {n: SinkSettings(type="quiet", batch_size=size) for n, size in batch_sizes.items()}


async def test_unchanged_sink_goes_on_undisturbed(fleet, quiet):
    """A reload that leaves a sink as it is neither closes nor opens it."""
    await fleet.apply(sinks(a=1, b=1), 1)
    assert await fleet.apply(sinks(a=1, b=2), 1) == ["sinks.b"]
    assert (quiet.opened, quiet.closed) == (3, 1)
    await fleet.drain(1)


async def test_place_of_a_gone_sink_is_forgotten(fleet, quiet):
    """Only configured sinks keep a place in the journal."""
    await fleet.apply(sinks(a=1, b=1), 1)
    await fleet.apply(sinks(b=1), 1)
    assert fleet.journal.kept == ["sink.b"]
    await fleet.drain(1)


async def test_disabled_sink_does_not_run(fleet, quiet):
    """`enabled = false` is as good as not being there."""
    await fleet.apply({"a": SinkSettings(type="quiet", enabled=False)}, 1)
    assert fleet.statistics() == []
    assert fleet.journal.kept == []


async def test_failed_reopen_is_told_by_sink(fleet, quiet):
    """SIGHUP reaches every sink, and what could not reopen is named."""
    await fleet.apply(sinks(a=1, b=1), 1)
    told = await fleet.reopen()
    assert [line.split(":")[0] for line in told] == ["sinks.a", "sinks.b"]
    await fleet.drain(1)


async def test_drain_closes_every_sink(fleet, quiet):
    """After a drain no sink runs any more."""
    await fleet.apply(sinks(a=1, b=1), 1)
    await fleet.drain(1)
    assert quiet.closed == 2
    assert fleet.statistics() == []


async def test_sink_that_cannot_be_made_stops_nothing(fleet, quiet, monkeypatch):
    """A constructor that fails leaves a sink that says why; the others run and can be changed."""

    class Unmakeable(Quiet):
        def __init__(self, name, settings):
            raise ValueError("no such thing")

    kinds = {"quiet": quiet, "odd": Unmakeable}
    monkeypatch.setattr(registry, "usable", lambda name: kinds[name])
    wanted = sinks(a=1) | {"b": SinkSettings(type="odd")}
    await fleet.apply(wanted, 1)
    states = {each.name: (each.state, each.last_error) for each in fleet.statistics()}
    assert states["a"][0] == "healthy"
    assert states["b"] == ("failed", "sink b: cannot be made: ValueError: no such thing")
    assert await fleet.apply(sinks(a=2), 1) == ["sinks.a", "sinks.b"]
    await fleet.drain(1)


async def test_sink_whose_drain_was_interrupted_can_still_be_drained(fleet, quiet):
    """A stop that comes while a sink is being changed finds that sink and closes it."""
    await fleet.apply(sinks(a=1), 1)
    runner = fleet._runners["a"]
    drain, entered = runner.drain, asyncio.Event()

    async def slow(deadline):
        entered.set()
        await asyncio.Event().wait()

    runner.drain = slow
    changing = asyncio.get_running_loop().create_task(fleet.apply(sinks(a=2), 1))
    await entered.wait()
    changing.cancel()
    await asyncio.wait({changing})
    runner.drain = drain
    await fleet.drain(1)
    assert quiet.closed == 1


async def test_guest_comes_and_goes_by_itself(fleet, quiet):
    """Adding and removing one disturbs no other, and a removed one's place is forgotten."""
    await fleet.apply(sinks(a=1), 1)
    await fleet.add("guest", SinkSettings(type="quiet"), 1)
    assert fleet.names() == ["a", "guest"]
    assert (fleet.is_configured("a"), fleet.is_configured("guest")) == (True, False)
    await fleet.remove("guest")
    assert (quiet.opened, quiet.closed, fleet.names()) == (2, 1, ["a"])
    assert list(fleet.journal.positions) == ["sink.a"]
    await fleet.drain(1)


async def test_reload_keeps_guests_and_their_places(fleet, quiet):
    """A configuration that does not name them leaves guests running and their cursors there."""
    fleet.invite({"guest": SinkSettings(type="quiet")})
    await fleet.apply(sinks(a=1), 1)
    runner = fleet.runner("guest")
    assert await fleet.apply(sinks(b=1), 1) == ["sinks.a", "sinks.b"]
    assert fleet.runner("guest") is runner
    assert sorted(fleet.journal.kept) == ["sink.b", "sink.guest"]
    await fleet.drain(1)


async def test_configured_sink_stands_in_for_a_guest_of_its_name(fleet, quiet):
    """The configuration's runs while it names it; then the guest is back at the same place."""
    mine, theirs = SinkSettings(type="quiet", batch_size=1), SinkSettings(type="quiet")
    await fleet.add("x", mine, 1)
    await fleet.apply({"x": theirs}, 1)
    assert fleet.settings("x") is theirs
    await fleet.remove("x")
    assert list(fleet.journal.positions) == ["sink.x"]
    await fleet.add("x", mine, 1)
    await fleet.apply({}, 1)
    assert fleet.settings("x") is mine
    await fleet.drain(1)


async def test_keeper_is_asked_before_a_sink_starts(fleet, quiet):
    """What was paused before starts paused, and is not opened."""

    class Keeper:
        told_of = ()

        def settle(self, runner):
            runner.pause()

        def told(self, name, state):
            self.told_of += ((name, state),)

    fleet.keeper = Keeper()
    await fleet.apply(sinks(a=1), 1)
    assert (fleet.runner("a").paused, quiet.opened) == (True, 0)
    assert fleet.keeper.told_of == (("a", "paused"),)
    await fleet.drain(1)


async def test_nudge_reaches_every_sink(fleet, quiet):
    """One call has all that wait try at once."""
    await fleet.apply(sinks(a=1, b=1), 1)
    nudged = []
    for name in fleet.names():
        fleet.runner(name).nudge = lambda name=name: nudged.append(name)
    fleet.nudge()
    assert nudged == ["a", "b"]
    await fleet.drain(1)

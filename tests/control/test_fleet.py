"""All channels of a daemon together."""

import asyncio

import pytest

from kevmond.control.fleet import ControlFleet
from kevmond.control.settings import ControlSettings
from kevmond.errors import ConfigError

QUICK = {"retry_initial": 0.005, "retry_maximum": 0.01, "poll": 3600}


class Running:
    """A fleet and what it said."""

    def __init__(self, kernel, log):
        self.said = []
        self.fleet = ControlFleet(kernel, self.said.append, log)

    async def apply(self, **sections):
        """Apply sections: name to settings, without dots in the names."""
        settings = {name: ControlSettings(**QUICK | more) for name, more in sections.items()}
        return await self.fleet.apply(settings)

    def types(self, channel):
        """Return what a channel told, in order."""
        return [one.TYPE.removeprefix("control.") for one in self.said if one.channel == channel]

    def states(self):
        """Return what each channel is doing."""
        return {one.name: one.state for one in self.fleet.statistics()}


@pytest.fixture
async def running(simulated, kit):
    """Give a fleet without channels; it is closed at the end."""
    running = Running(simulated, kit.Log())
    yield running
    await running.fleet.aclose(5)
    assert simulated.kctl.pcbs == set()
    assert simulated.pcbs == ()


@pytest.fixture
def doubles(simulated, kit):
    """Give three controls that speak the sample's protocol."""
    return [kit.SampleDouble(simulated, name=f"org.example.{n}") for n in "abc"]


def section(letter, **more):
    """Make the settings of a channel to one of them."""
    return {"control": f"org.example.{letter}", "protocol": "sample"} | more


async def test_several_channels(running, doubles, kit):
    """Channels run side by side, each with its own control, also one that is not there."""
    changed = await running.apply(
        a=section("a"), b=section("b"), again=section("a"), z=section("z")
    )
    assert changed == ["control.a", "control.again", "control.b", "control.z"]
    wanted = {"a": "connected", "b": "connected", "again": "connected", "z": "waiting"}
    await kit.until(lambda: running.states() == wanted)
    assert sorted(doubles[0].clients) == [1, 2]
    doubles[0].notice(5)
    await kit.until(lambda: "message" in running.types("a") and "message" in running.types("again"))
    assert "message" not in running.types("b")


async def test_no_channels_cost_nothing(running, simulated):
    """Without channels no socket is open, and applying nothing changes nothing."""
    assert await running.apply() == []
    assert await running.apply(a=section("a", enabled=False)) == []
    assert simulated.pcbs == ()


async def test_the_event_socket_comes_first(running, simulated, kit):
    """News are listened to before anything is looked for, so that nothing falls in between."""
    order = []
    events, controls = simulated.open_event_socket, simulated.open_control_socket
    simulated.open_event_socket = lambda space: (order.append("event"), events(space))[1]
    simulated.open_control_socket = lambda **more: (order.append("control"), controls(**more))[1]
    await running.apply(a=section("a"))
    await kit.until(lambda: running.states() == {"a": "waiting"} and "control" in order)
    assert order[0] == "event"


async def test_what_does_not_change_goes_on(running, doubles, kit):
    """Other settings restart the channels that they are of, and no others."""
    await running.apply(a=section("a"), b=section("b"), c=section("c"))
    await kit.until(lambda: set(running.states().values()) == {"connected"})
    client = doubles[0].clients[1]
    changed = await running.apply(a=section("a"), b=section("b", max_text=1), d=section("c"))
    assert changed == ["control.b", "control.c", "control.d"]
    await kit.until(lambda: running.states() == dict.fromkeys("abd", "connected"))
    assert doubles[0].clients[1] is client
    assert running.types("a") == ["connected"]
    assert running.types("b") == ["connected", "disconnected", "connected"]
    assert running.types("c") == ["connected", "disconnected"]
    reasons = {one.channel: one.reason for one in running.said if hasattr(one, "reason")}
    assert reasons == {"b": "changed", "c": "changed"}
    assert await running.apply(a=section("a", enabled=False)) == [
        "control.a",
        "control.b",
        "control.d",
    ]
    assert running.states() == {}
    assert [double.clients for double in doubles] == [{}, {}, {}]


async def test_a_section_that_can_be_no_control_changes_nothing(running, doubles, kit):
    """Settings with a section that can mean no control are refused as a whole."""
    await running.apply(a=section("a"))
    await kit.until(lambda: running.states() == {"a": "connected"})
    with pytest.raises(ConfigError):
        await running.fleet.apply({"n" * 96: ControlSettings()})
    assert running.states() == {"a": "connected"}


async def test_one_that_hangs_holds_nobody_up(hooked, kit):
    """A control that hangs delays neither the other channels nor the daemon's stop."""
    gate = kit.Gate()

    def connect(sock):
        if hooked.attempts[-1][0].control_id == 1:
            gate()

    hooked.on_connect = connect
    running = Running(hooked, kit.Log())
    await running.apply(stuck={"control": "1:0"}, a={"control": "2:0"}, b={"control": "3:0"})
    await gate.entered()
    wanted = {"stuck": "connecting", "a": "connected", "b": "connected"}
    await kit.until(lambda: running.states() == wanted)
    async with asyncio.timeout(kit.PATIENCE):
        await running.fleet.aclose(0.01)
    assert running.states() == {}
    gate.open()
    await kit.until(lambda: all(sock.closed for sock in hooked.sockets))


async def test_closed_twice(running, doubles, kit):
    """A closed fleet can be closed again, and begin again."""
    await running.apply(a=section("a"))
    await kit.until(lambda: running.states() == {"a": "connected"})
    await running.fleet.aclose(5)
    await running.fleet.aclose(5)
    await running.apply(a=section("a"))
    await kit.until(lambda: running.states() == {"a": "connected"})
    reason = next(one.reason for one in running.said if one.TYPE == "control.disconnected")
    assert reason == "stopped"

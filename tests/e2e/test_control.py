"""The shipped daemon, its Darwin code, and the sample kext's own C code, all at once."""

import asyncio
import datetime as dt
import json
import os
import runpy
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from kevmond.control.channel import ControlChannel
from kevmond.control.session import SampleSession
from kevmond.control.target import ControlTarget

until = runpy.run_path(str(Path(__file__).parent / "conftest.py"))["until"]
HOSTING = runpy.run_path(str(Path(__file__).parent.parent / "kext" / "hosting.py"))
NAME = "org.mklinux.nke.foo"
LARGEST = 16384 - 32
"""Bytes of the longest message of the sample protocol, without its header."""

CHANNEL = (
    f'control.foo={{control="{NAME}", protocol="sample", '
    'subscribe=["clients", "commands", "events"]}'
)


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    """Build the host and the sample kernel extension."""
    if sys.platform != "linux":
        pytest.skip("kernel extensions are hosted on Linux: a Mac has a kernel of its own")
    reason = HOSTING["unable"]("plain")
    if reason is not None:
        pytest.skip(reason)
    return HOSTING["Build"](tmp_path_factory.mktemp("host"), "plain")


@pytest.fixture
def darwin(kernel, kevshim_environment):
    """Environment of a program that takes the served kernel for a Mac's."""
    return kevshim_environment(kernel.path)


@pytest.fixture
def kext(build, kernel):
    """Load the sample kernel extension when called; the host is handed out."""
    hosts = []

    def load():
        host = build.start(kernel.path, build.sample())
        hosts.append(host)
        assert host.line() == "loaded", host.errors()
        return host

    yield load
    for host in hosts:
        host.kill()


def ctl(environment, *words):
    """Start `kevmond ctl` on the Darwin kernel, and hand out the process."""
    return subprocess.Popen(
        [sys.executable, "-m", "kevmond", "ctl", *words, "--kernel", "darwin"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **environment},
    )


def said(process):
    """Wait for a command to end well, and return what it printed."""
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    return output


def kext_events(running):
    """Return the kernel events that the sample kernel extension posts of its own accord."""
    return [e for e in running.events("vendor-") if (e["class"], e["subclass"]) == (1, 1)]


def moment(event):
    """Time of an event, in seconds."""
    return dt.datetime.fromisoformat(event["time"]).timestamp()


def test_a_kext_s_whole_life_is_in_the_journal(daemon, kext, darwin):
    """Commands, echoes, events, clients, a refused unload, a goodbye, an unload and a reload."""
    running = daemon(
        "--kernel", "darwin",
        "--set", CHANNEL,
        "--set", f'capture.vendors=["{NAME}"]',
        "--set", "capture.snapshot=false",
        environment=darwin,
    )  # fmt: skip
    running.wait_for("kevmond.start")

    host = kext()
    registered = running.wait_for("control.registered")[0]
    connected = running.wait_for("control.connected")[0]
    assert moment(connected) - moment(registered) < 1
    assert connected["payload"]["unit"] == 1
    assert connected["payload"]["version"] == "1.0.0"
    assert registered["payload"]["control_id"] == connected["payload"]["control_id"]

    def messages(count, **fields):
        def told():
            return [
                event["payload"]["fields"]
                for event in running.events("control.message")
                if event["payload"]["message"] == "notice"
                and fields.items() <= event["payload"]["fields"].items()
            ]

        running.wait_for("control.message", count=1)
        return until(lambda: len(told()) >= count and told(), f"{count} notices of {fields}")

    said(ctl(darwin, "set", NAME, "command1"))
    said(ctl(darwin, "set", NAME, "command2", "42"))
    assert [one["argument"] for one in messages(2, notice="command")] == [0, 42]
    commands = until(
        lambda: [e for e in kext_events(running) if e["code"] == 5], "the kernel events of commands"
    )
    assert [event["vendor_name"] for event in commands] == [NAME] * len(commands)

    for size in ("1", "512", str(LARGEST)):
        told = said(ctl(darwin, "echo", NAME, "--count", "20", "--size", size, "--interval", "0",
                        "--json"))  # fmt: skip
        summary = json.loads(told.splitlines()[-1])
        assert (summary["received"], summary["lost"], summary["reordered"]) == (20, 0, 0)

    clients = [
        ctl(darwin, "echo", NAME, "--count", "200", "--interval", "0", "--json") for _ in range(4)
    ]
    for client in clients:
        assert json.loads(said(client).splitlines()[-1])["received"] == 200

    assert host.say("unload").startswith("unload refused")
    assert running.wait_for("control.goodbye")[0]["payload"]["reason"] == "unloading"
    assert running.wait_for("control.disconnected")[0]["payload"]["reason"] == "goodbye"
    assert host.say("unload") == "unloaded"
    running.wait_for("control.deregistered")

    assert host.say("load") == "loaded"
    again = running.wait_for("control.connected", count=2)[1]
    assert moment(again) - moment(running.wait_for("control.registered", count=2)[1]) < 1

    assert running.stop() == 0
    assert running.events("control.disconnected")[1]["payload"]["reason"] == "stopped"
    assert running.events("control.error") == running.events("control.loss") == []
    lines, code = host.quit()
    assert code == 0, (lines, host.errors())


async def test_an_emitted_event_comes_back_through_the_event_socket(daemon, kext, kernel, darwin):
    """What a client has the kernel extension post is seen by the daemon as a kernel event."""
    running = daemon(
        "--kernel", "darwin", "--set", CHANNEL, "--set", "capture.snapshot=false",
        environment=darwin,
    )  # fmt: skip
    running.wait_for("kevmond.start")
    kext()
    running.wait_for("control.connected")
    channel = await ControlChannel.connect(kernel, ControlTarget.parse(NAME))
    session = await SampleSession.open(channel)
    await session.emit_event(7, 8, 9, b"\1\2\3")
    await channel.aclose()

    def found():
        return [e for e in running.events("vendor-") if (e["class"], e["subclass"]) == (7, 8)]

    (event,) = await asyncio.to_thread(until, found, "the event that was emitted")
    assert (event["code"], event["extra"]) == (9, "010203")
    assert running.stop() == 0


def test_ten_thousand_echoes_come_back_in_order(kext, darwin):
    """Of 10,000 echoes of 512 bytes none is lost and none comes out of turn."""
    kext()
    told = said(
        ctl(darwin, "echo", NAME, "--count", "10000", "--size", "512", "--interval", "0", "--json")
    )
    summary = json.loads(told.splitlines()[-1])
    assert (summary["received"], summary["lost"], summary["reordered"]) == (10_000, 0, 0)


def test_channels_follow_the_configuration(daemon, tmp_path):
    """SIGHUP opens a channel that is new in the file and closes one that is gone from it."""
    config = tmp_path / "kevmond.toml"
    sinks = '[sinks.jsonl]\ntype = "jsonl"\npath = "events.jsonl"\n'
    config.write_text(sinks)
    running = daemon("--kernel", "simulated", "--config", str(config))
    running.wait_for("kevmond.start")
    config.write_text(sinks + '[control.statistics]\ncontrol = "com.apple.network.statistics"\n')
    running.send(signal.SIGHUP)
    assert running.wait_for("control.connected")[0]["payload"]["channel"] == "statistics"
    assert running.wait_for("kevmond.config")[0]["payload"]["changes"] == ["control.statistics"]
    config.write_text(sinks)
    running.send(signal.SIGHUP)
    assert running.wait_for("control.disconnected")[0]["payload"]["reason"] == "changed"
    assert running.stop() == 0

"""Killed at random, with receivers that fail in every way: posted = delivered + counted.

`make chaos` runs the long one: CHAOS_EVENTS events and CHAOS_KILLS deaths, from CHAOS_SEED.
"""

import contextlib
import json
import os
import random
import runpy
import sys
import tempfile
import time
from pathlib import Path

import pytest

from kevmond.journal import Journal, JournalSettings

HERE = Path(__file__).parent
DRIVER = runpy.run_path(str(HERE / "driver.py"))
RECEIVER = DRIVER["RECEIVER"]
ACCOUNT = runpy.run_path(str(HERE / "account.py"))

SECRETS = ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_plJ3nmyCDGBKInavdOK15jsl1sa1LzGm")
LINKS_ON = "type=network.dl.link-on"
PATIENCE = 1.0
"""Seconds that the daemon waits for an answer."""

ENDPOINTS = {
    "single": {"fault_rate": 0.04, "phase_rate": 0.004, "secrets": SECRETS[:1]},
    "batch": {"fault_rate": 0.2, "phase_rate": 0.05, "secrets": SECRETS, "tls": True},
    "clouds": {"fault_rate": 0.1, "phase_rate": 0.01},
    "strict": {"fault_rate": 0.1, "phase_rate": 0.02},
}
"""How the endpoints misbehave."""

TABLES = {
    "single": {},
    "batch": {"batch_size": 50, "linger": 0.02, "gzip": True},
    "clouds": {
        "format": "cloudevents-batch",
        "batch_size": 10,
        "filter": [LINKS_ON],
        "handshake": True,
    },
    # Gives up soon: what it does not take in time becomes a dead letter.
    "strict": {"batch_size": 5, "give_up_after": 0.15},
}
"""How the sinks to them are set."""


def wants(name):
    """Return the filter of an endpoint; kevmond's own records pass every filter."""
    if name == "clouds":
        return lambda event: event["type"] == "network.dl.link-on" or event["kernel_id"] is None
    return lambda event: True


def sinks(oracle, folder):
    """Return the tables of all sinks."""
    tables = {
        "file": {
            "type": "jsonl",
            "path": "events.jsonl",
            "max_bytes": 200_000,
            "total_bytes": 0,
            "keep": 100_000,
        }
    }
    for name, endpoint in oracle.endpoints.items():
        table = {
            "type": "webhook",
            "url": endpoint.url,
            "allow_http": True,
            "allow_private": True,
            "timeout": PATIENCE,
            "schedule": [0.02, 0.05, 0.1],
            **TABLES[name],
        }
        for number, secret in enumerate(endpoint.secrets):
            (folder / f"{name}.{number}").write_text(secret)
        if endpoint.secrets:
            table["secret"] = [
                f"file:{folder / f'{name}.{number}'}" for number in range(len(endpoint.secrets))
            ]
        if endpoint.tls:
            table["ca_file"] = str(RECEIVER["AUTHORITY"])
        tables[name] = table
    return tables


@pytest.fixture
def living():
    """Give `DRIVER["living"]` with this page's endpoints and sinks; its sockets' paths are short.

    `calm`: the endpoints do no harm.
    """

    @contextlib.contextmanager
    def start(seed, names=tuple(ENDPOINTS), *, calm=False):
        calmed = {"fault_rate": 0.0, "phase_rate": 0.0} if calm else {}
        with tempfile.TemporaryDirectory(prefix="kevmond-", dir="/tmp") as folder:
            place = Path(folder)
            with DRIVER["living"](
                place,
                lambda: [
                    RECEIVER["Endpoint"](
                        name, seed, patience=PATIENCE / 2, **{**ENDPOINTS[name], **calmed}
                    )
                    for name in names
                ],
                lambda oracle: sinks(oracle, place),
                capture={"receive_space": "16KiB"},
                daemon={"drain_deadline": 0.5},
            ) as parts:
                yield parts

    return start


async def letters(state):
    """Return the ids in the dead letters, by the name of the sink."""
    journal = Journal.open(JournalSettings(path=state / "journal.sqlite"))
    found = {}
    after = 0
    while page := await journal.letters(after=after, limit=1000):
        for letter in page:
            found.setdefault(letter.consumer.removeprefix("sink."), []).append(letter.event_id)
        after = page[-1].number
    await journal.aclose(10)
    return found


async def check(life, oracle, mark):
    """Check all that must hold, and tell what happened."""
    events = ACCOUNT["read_lines"](life.state)
    figures = ACCOUNT["check_lines"](events, life.kernel.issued)
    last = next(event["seq"] for event in events if event["kernel_id"] == mark)
    events = [event for event in events if event["seq"] <= last]
    buried = await letters(life.state)
    for name, endpoint in oracle.endpoints.items():
        repeated = ACCOUNT["check_endpoint"](
            endpoint,
            events,
            wants=wants(name),
            letters=buried.get(name, ()),
            clean_stops=life.clean_stops,
        )
        figures[name] = {
            "requests": endpoint.requests,
            "repeated events": repeated,
            "dead letters": len(buried.get(name, ())),
            **endpoint.faults,
        }
    return figures


def tell(text):
    """Say it at once: what has happened is of use when something hangs."""
    sys.stdout.write(text)
    sys.stdout.flush()


async def storm(living, seed, events, kills):
    """Post so many events in so many lives, and check."""
    tell(f"\nCHAOS_SEED={seed} ({events} events, {kills} kills)\n")
    with living(seed) as (_, oracle, life):
        storm = DRIVER["Storm"](seed, life, oracle)
        storm.begin()
        for number in range(kills):
            storm.round(events // kills)
            tell(f"\rkill {number + 1}: {len(life.kernel.issued)} events")
        mark = storm.finish()
        figures = await check(life, oracle, mark)
    return {**figures, **storm.happened}


async def test_short(living):
    """Some hundred events and a few kills: each event is delivered or counted, in order."""
    figures = await storm(living, os.environ.get("CHAOS_SEED", "1"), 400, 3)
    assert figures["delivered"] > 0


async def test_gone(living):
    """An endpoint that answers 410 is left in peace, over a death too, until somebody resumes it.

    The others are told, and get everything meanwhile.
    """
    link_on = DRIVER["LINK_ON"]
    with living("410", ("single", "batch"), calm=True) as (kernel, oracle, life):
        leaver, other = oracle.endpoints["single"], oracle.endpoints["batch"]
        leaver.gone_after = 5
        life.start()
        life.reads()
        for _ in range(2):
            kernel.post(link_on, 20)
            life.until(lambda: disabled(life), "the other sinks to be told")
            last = kernel.post(link_on, 20)
            life.until(lambda last=last: other.taken(last), "the other endpoint to have it")
            assert len(leaver.deliveries) == 6
            life.kill()
            life.start()
            life.reads()
        leaver.gone_after = None
        life.serves()
        code, said = life.webhook("resume", "single")
        assert code == 0, said
        mark = DRIVER["Storm"]("410", life, oracle).finish()
        await check(life, oracle, mark)


def disabled(life):
    """Return what the JSON lines tell of sinks that were disabled."""
    lines = (life.state / DRIVER["OWN"]["path"]).read_bytes().split(b"\n")[:-1]
    return [
        event
        for event in map(json.loads, lines)
        if event["type"] == "kevmond.sink"
        and event["payload"]["state"] == "disabled"
        and event["payload"]["sink"] == "single"
        and event["severity"] == "error"
    ]


@pytest.mark.skipif("CHAOS_EVENTS" not in os.environ, reason="long: make chaos")
async def test_long(living, capsys):
    """Many thousand events and hundreds of kills."""
    seed = os.environ.get("CHAOS_SEED") or str(random.SystemRandom().randrange(10**6))
    events, kills = int(os.environ["CHAOS_EVENTS"]), int(os.environ["CHAOS_KILLS"])
    with capsys.disabled():
        began = time.monotonic()
        figures = await storm(living, seed, events, kills)
        tell(f"\n{time.monotonic() - began:.0f} s\n")
        for name, figure in figures.items():
            tell(f"  {name:<18} {figure}\n")

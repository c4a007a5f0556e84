"""`kevmond status`, against the daemon's own parts."""

import asyncio
import json
import runpy
import time
from pathlib import Path

import click
import pytest

from kevmond import __version__
from kevmond.api.listener import SOCKET
from kevmond.api.server import ApiServer
from kevmond.api.services import Services
from kevmond.capture.reader import Capture
from kevmond.capture.settings import CaptureSettings
from kevmond.cli.status_screen import screen
from kevmond.journal import Journal, JournalSettings
from kevmond.kernel.simulated.model import SimulatedKernel
from kevmond.sinks.fleet import Fleet
from kevmond.sinks.jsonl import JsonlSettings
from kevmond.sinks.subscriptions import Subscriptions
from kevmond.sinks.webhook.settings import WebhookSettings

PARTS = runpy.run_path(str(Path(__file__).parent / "parts.py"))
Parts, Log, PATIENCE = PARTS["Parts"], PARTS["Log"], PARTS["PATIENCE"]
DEAD_END = "http://127.0.0.1:9/hook"
"""Where nobody listens."""


class Daemon(Parts):
    """What of the daemon status looks at."""

    async def start(self):
        self.kernel = SimulatedKernel(host="mac")
        self.journal = Journal.open(JournalSettings(path=self.folder / "journal.sqlite"))
        self.fleet = Fleet(self.journal, lambda payload: None, dead_letters=self.journal)
        self.webhooks = Subscriptions(
            self.journal, self.fleet, state_dir=self.folder, say=lambda payload: None, log=Log()
        )
        self.webhooks.load()
        self.capture = Capture(self.kernel, self.journal, CaptureSettings(snapshot=False))
        services = Services(
            subscriptions=self.webhooks,
            journal=self.journal,
            fleet=self.fleet,
            capture=self.capture,
            kernel=self.kernel.name,
            started_ns=time.time_ns() - 100_000 * 10**9,
            config=lambda: {"file": "/etc/kevmond/kevmond.toml", "settings": {}},
            reload=None,
        )
        self.server = ApiServer(self.folder / SOCKET, services, log=Log())
        sinks = {
            "file": JsonlSettings(path=self.folder / "events.jsonl"),
            "hook": WebhookSettings(url=DEAD_END, allow_http=True, allow_private=True),
        }
        await self.fleet.apply(sinks, PATIENCE)
        await self.capture.start()
        await self.webhooks.start()
        await self.server.start()

    async def stop(self):
        await self.server.aclose()
        await self.webhooks.aclose()
        await self.capture.stop()
        await self.fleet.drain(0.2)
        await self.journal.aclose(PATIENCE)

    def has_taken(self, count):
        done = self.capture.statistics().delivered >= count
        return done and not self.fleet.runner("file").lag

    def post(self, *messages):
        """Post kernel events and wait until the file has them."""

        async def post():
            for message in messages:
                self.kernel.post(*message)
            async with asyncio.timeout(PATIENCE):
                while not self.has_taken(len(messages)):  # noqa: ASYNC110 - nobody tells
                    await asyncio.sleep(0.005)

        self.call(post())


@pytest.fixture
def daemon():
    """Start the daemon's parts in a folder with a short path."""
    with Daemon.running() as daemon:
        yield daemon


@pytest.fixture
def status(kevmond, daemon):
    """Call `kevmond status ARGS...` for that daemon."""
    return lambda *args: kevmond("status", *args, "--state-dir", daemon.folder)


@pytest.fixture
def paused(daemon):
    """Pause the webhook, whose receiver is not there."""
    daemon.call(daemon.webhooks.pause("hook"))


def section(out, title):
    """Return the lines of a group of the screen."""
    lines = out.splitlines()
    begin = lines.index(title) + 1
    end = next((at for at in range(begin, len(lines)) if not lines[at]), len(lines))
    return "\n".join(lines[begin:end])


def shown(facts):
    """Return the screen without its colours."""
    return click.unstyle("\n".join(screen(facts)))


LINK_ON = (1, 1, 2, 13, b"\x02\0\0\0\0\0\0\0en".ljust(24, b"\0"))


def test_all_is_well(status, daemon, paused):
    """A daemon without a problem exits 0 and tells its figures by groups."""
    daemon.post(LINK_ON, LINK_ON, (1, 1, 2, 99))
    result = status()
    assert result.code == 0, result.err
    assert result.out.splitlines()[0] == "kevmond is ok: 2 warnings"
    assert f"version        {__version__}, process" in section(result.out, "daemon")
    assert "up             1 d 3 h, since " in section(result.out, "daemon")
    assert "MiB" in section(result.out, "daemon")
    assert "host           mac" in section(result.out, "kernel")
    assert "buffer         7.1 MiB of 8.0 MiB asked for" in section(result.out, "kernel")
    assert "filter         open: every event" in section(result.out, "kernel")
    events = section(result.out, "events")
    assert "read           3, 1 of unknown types" in events
    assert "most often     network.dl.link-on 2, network.dl.99 1" in events
    assert "file           /etc/kevmond/kevmond.toml" in section(result.out, "configuration")


def test_consumers(status, daemon, paused):
    """Each consumer has a line with its state and what waits, and its error if it rests."""
    daemon.post(LINK_ON)
    lines = section(status().out, "consumers").splitlines()
    assert lines[0].split() == [
        "NAME", "TYPE", "STATE", "WAITING", "DELIVERED", "FILTERED", "LOST", "DEAD",
    ]  # fmt: skip
    rows = {line.split()[0]: line.split() for line in lines[1:]}
    assert rows["file"][1:4] == ["jsonl", "healthy", "0"]
    assert rows["hook"][1:3] == ["webhook", "paused"]
    assert int(rows["hook"][3]) > 0


def test_problems_come_first(status, daemon):
    """A disabled webhook makes it exit 1; the way out is told with it."""
    daemon.call(daemon.webhooks.disable("hook", "moved\x1b[2J away"))
    result = status()
    assert result.code == 1
    lines = result.out.splitlines()
    assert lines[0] == "kevmond is failing: 1 problem"
    assert lines[2] == "problems"
    assert lines[3].startswith(r"  hook is disabled: moved\x1b[2J away; ")
    assert lines[4] == "    -> when its receiver is well: `kevmond webhook resume hook`"


def test_json(status, daemon, paused):
    """Programs get all of it on one line, with the same exit code."""
    result = status("--json")
    facts = json.loads(result.out)
    assert (result.code, facts["health"], facts["problems"]) == (0, "ok", [])
    assert {one["name"] for one in facts["consumers"]} == {"file", "hook"}
    daemon.call(daemon.webhooks.disable("hook"))
    result = status("--json")
    assert (result.code, json.loads(result.out)["health"]) == (1, "failing")


def test_no_daemon(kevmond, in_tmp):
    """Where no daemon runs it exits as EX_UNAVAILABLE and says how to start one."""
    result = kevmond("status", "--state-dir", ".")
    assert (result.code, result.out) == (69, "")
    assert "no daemon runs here" in result.err


class TestScreen:
    """Lines that only an ailing daemon has."""

    @pytest.fixture
    def facts(self, daemon, status, paused):
        """Take the facts of a real daemon."""
        return json.loads(status("--json").out)

    def test_socket_that_failed(self, facts):
        """Errors, reopenings and a narrower filter are told."""
        wanted = {"vendor": 1, "class": 1, "subclass": 0, "open": False}
        facts["kernel"].update(connected=False, errors=2, reopened=1, filter=wanted)
        kernel = section(shown(facts), "kernel")
        assert "socket         not open, reopened 1 time, 2 errors" in kernel
        assert "filter         vendor 1, class 1, subclass 0 (0 is any)" in kernel

    def test_losses(self, facts):
        """What was lost, is awaited, came late or was missed between two runs has its place."""
        facts["events"].update(lost=7, late=2, awaited=3, missed_before_start=5)
        events = section(shown(facts), "events")
        assert "lost           7 (2 more came late after all)" in events
        assert "awaited        3" in events
        assert "before that    5 events posted while no kevmond ran" in events

    def test_journal_in_trouble(self, facts):
        """A disk that refuses, and what waits for it."""
        facts["journal"].update(refusal="SQLITE_FULL", pending=4, dead_letters=2)
        journal = section(shown(facts), "journal")
        assert "refused        SQLITE_FULL" in journal
        assert "not written    4 records so far" in journal
        assert "dead letters   2, 0 B" in journal

    def test_next_attempt(self, facts):
        """An error is shown below its consumer, with when it is tried again."""
        facts["consumers"][1].update(
            state="retrying", last_error="503", next_attempt="2999-01-01T00:00:00.000000Z"
        )
        consumers = section(shown(facts), "consumers")
        assert "      503; next attempt in " in consumers

    def test_nothing_at_all(self, facts):
        """A daemon without consumers, and a system that tells little, can be shown."""
        facts["consumers"] = []
        for key in ("rss_bytes", "threads", "open_files"):
            facts["daemon"][key] = None
        facts["api"] = {}
        out = shown(facts)
        assert section(out, "consumers") == "  none"
        assert "memory" not in out
        assert "API" not in out.splitlines()

    def test_ports_of_the_api(self, facts):
        """Ports that are open are told, and how many callers were refused."""
        facts["api"].update(page_port=8631, metrics_port=9631, refused={"too slow": 2, "x": 1})
        api = section(shown(facts), "API")
        assert "live page      127.0.0.1:8631" in api
        assert "metrics        127.0.0.1:9631" in api
        assert "refused        3; the daemon's log says why" in api

"""An API server over subscriptions that only write down what they are asked."""

import asyncio
import contextlib
import dataclasses
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from kevmond.api.client import ApiClient
from kevmond.api.listener import SOCKET
from kevmond.api.moment import Moment
from kevmond.api.server import ApiServer
from kevmond.api.services import Services
from kevmond.capture.ledger import Totals
from kevmond.capture.statistics import CaptureStatistics
from kevmond.capture.tally import Tally
from kevmond.journal.settings import JournalSettings
from kevmond.journal.statistics import Counters as JournalCounters
from kevmond.journal.statistics import JournalStatistics
from kevmond.kernel.base import KernelFilter
from kevmond.sinks.health import Counters, SinkStatistics, State
from kevmond.sinks.testing import CONTEXT


class Log:
    """Remembers what was said."""

    def __init__(self):
        self.lines = []
        self.levels = []

    def __getattr__(self, level):
        if level not in {"debug", "warning", "error"}:
            raise AttributeError(level)

        def say(text, **facts):
            self.levels.append(level)
            self.lines.append((text, facts))

        return say


class Subscriptions:
    """Answers every call with its name and arguments, or raises what it was told to."""

    def __init__(self):
        self.calls = []
        self.error = None
        self.gate = None

    def listing(self):
        return [{"name": "wh-1"}]

    def show(self, name):
        return self._note("show", name)

    def __getattr__(self, what):
        async def method(*args, **kwargs):
            if self.gate is not None:
                await self.gate.wait()
            return self._note(what, *args, **kwargs)

        return method

    def _note(self, what, *args, **kwargs):
        if self.error is not None:
            raise self.error
        self.calls.append((what, args, kwargs))
        return [] if what == "failures" else {"what": what}


async def _until(holds):
    async with asyncio.timeout(30):
        while not holds():  # noqa: ASYNC110 - connections tell nobody that they end
            await asyncio.sleep(0.01)


async def _closed(writer):
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def _exchange(place, data):
    if isinstance(place, int):
        reader, writer = await asyncio.open_connection("127.0.0.1", place)
    else:
        reader, writer = await asyncio.open_unix_connection(str(place))
    writer.write(data)
    try:
        async with asyncio.timeout(30):
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        await _closed(writer)


def services(**parts):
    """Make services of which only the given parts are there."""
    parts = {"reloaded": lambda: None, **parts}
    return Services(**{name: parts.get(name) for name in Services.__dataclass_fields__})


@pytest.fixture
def until():
    """Wait for what the server does by itself."""
    return _until


@pytest.fixture
def closed():
    """Close a connection, whatever the server made of it."""
    return _closed


@pytest.fixture
def exchange():
    """Send bytes to a path or a port, and return all that comes until the connection ends."""
    return _exchange


@pytest.fixture
def folder():
    """Make a folder with a short path: a Unix socket's path may have about 100 characters."""
    with tempfile.TemporaryDirectory(prefix="kev") as path:
        yield Path(path)


@pytest.fixture
def subscriptions():
    """Stand in for the daemon's subscriptions."""
    return Subscriptions()


@pytest.fixture
def log():
    """Stand in for the daemon's log."""
    return Log()


@pytest.fixture
async def server(folder, subscriptions, log):
    """Serve the API."""
    server = ApiServer(folder / SOCKET, services(subscriptions=subscriptions), log=log)
    await server.start()
    yield server
    await server.aclose()


@pytest.fixture
def ask(folder, server):
    """Ask as the command line does, which blocks, in a thread."""

    async def ask(*args, **kwargs):
        client = ApiClient(folder / SOCKET, timeout=10)
        return await asyncio.to_thread(client.ask, *args, **kwargs)

    return ask


NOW = 1_800_000_000_000_000_000
"""Wall clock of `figures`."""


def _sink(name="files", state="healthy", *, kind="jsonl", seconds=0, lag=0, **more):
    """Make the statistics of a sink that has been in its state for so many seconds."""
    names = {each.name for each in dataclasses.fields(Counters)}
    counters = {key: more.pop(key) for key in names & more.keys()}
    defaults = {"last_error": None, "position": 100 - lag, "since_ns": NOW - seconds * 10**9}
    return SinkStatistics(
        name=name,
        type=kind,
        state=State(state),
        counters=Counters(**counters),
        lag=lag,
        **defaults | more,
    )


def _moment(*sinks, capture=(), totals=(), journal=(), counters=(), raws=(), **more):
    """Make the moment of a daemon that is well, but for what is given."""
    tally = Tally()
    tally.count(raws)
    found = CaptureStatistics(
        **{
            "totals": Totals(**dict(totals)),
            "errors": 0,
            "reopened": 0,
            "connected": True,
            "receive_space": 7_456_540,
            "kernel_filter": KernelFilter(),
            "tally": tally,
            "missed_before_start": None,
            **dict(capture),
        }
    )
    kept = JournalStatistics(
        **{
            "next_seq": 101,
            "oldest_seq": 1,
            "disk_bytes": 4096,
            "memory_records": 0,
            "memory_bytes": 0,
            "pending": 0,
            "refusal": None,
            "counters": JournalCounters(**dict(counters)),
            "cursors": (),
            **dict(journal),
        }
    )
    defaults = {
        "now_ns": NOW,
        "started_ns": NOW - 90 * 10**9,
        "kernel": "simulated",
        "asked_space": 8 << 20,
        "context": CONTEXT,
        "journal_settings": JournalSettings(path=Path("/state/journal.sqlite"), max_bytes=1 << 20),
        "letters": {},
    }
    return Moment(
        **defaults | more,
        capture=found,
        understood=tally.understood(),
        journal=kept,
        sinks=sinks,
    )


@pytest.fixture
def figures():
    """Make figures of a daemon, without one: `moment(*sinks, ...)` and `sink(name, state, ...)`."""
    return SimpleNamespace(moment=_moment, sink=_sink, NOW=NOW)

"""An API server over subscriptions that only write down what they are asked."""

import asyncio
import tempfile
from pathlib import Path

import pytest

from kevmond.api.client import ApiClient
from kevmond.api.listener import SOCKET
from kevmond.api.server import ApiServer
from kevmond.api.services import Services


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


def services(**parts):
    """Make services of which only the given parts are there."""
    return Services(**{name: parts.get(name) for name in Services.__dataclass_fields__})


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

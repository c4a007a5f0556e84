"""The command line, called in this process as its entry point calls it."""

import runpy
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest

from kevmond.api.listener import SOCKET
from kevmond.api.server import ApiServer
from kevmond.api.services import Services
from kevmond.cli import main
from kevmond.events.own import own_record
from kevmond.journal import Journal, JournalSettings
from kevmond.sinks.fleet import Fleet
from kevmond.sinks.testing import CONTEXT, START_NS, link_message, record

PARTS = runpy.run_path(str(Path(__file__).parent / "parts.py"))
Parts, Log, PATIENCE = PARTS["Parts"], PARTS["Log"], PARTS["PATIENCE"]


@dataclass
class Result:
    code: int
    out: str
    err: str

    @property
    def lines(self):
        return self.out.splitlines()


@pytest.fixture
def kevmond(capsys):
    """Call `kevmond ARGS...`; its exit code and what it printed."""

    def call(*args):
        with pytest.raises(SystemExit) as stop:
            main([str(arg) for arg in args])
        printed = capsys.readouterr()
        return Result(stop.value.code, printed.out, printed.err)

    return call


@pytest.fixture
def in_tmp(tmp_path, monkeypatch):
    """Work in a folder of its own, for short relative names."""
    monkeypatch.chdir(tmp_path)


class Past(Parts):
    """A journal behind the API; commands ask it."""

    async def start(self):
        self.journal = Journal.open(JournalSettings(path=self.folder / "journal.sqlite"))
        self.journal.set_context(CONTEXT)
        self.fleet = Fleet(self.journal, lambda payload: None, dead_letters=self.journal)
        parts = {
            **dict.fromkeys(Services.__dataclass_fields__),
            "journal": self.journal,
            "fleet": self.fleet,
            "capture": SimpleNamespace(context=CONTEXT),
            "config": lambda: {"file": None, "settings": {"sinks": {}}},
            "reloaded": lambda: None,
        }
        self.server = ApiServer(self.folder / SOCKET, Services(**parts), log=Log())
        await self.server.start()

    async def stop(self):
        await self.server.aclose()
        await self.fleet.drain(0.2)
        await self.journal.aclose(PATIENCE)

    def sinks(self, settings):
        """Run sinks."""
        self.call(self.fleet.apply(settings, PATIENCE))

    def put(self, count=1, *, raw=None, second=None, **message):
        """Append link events, on the disk when this returns; return the records."""

        async def put():
            begin = self.journal.next_seq
            found = [
                record(seq, raw=raw or link_message(seq, **message), second=second)
                for seq in range(begin, begin + count)
            ]
            self.journal.append(found)
            await self.journal.lasting()
            return found

        return self.call(put())

    def say(self, payload):
        """Append a record of kevmond's own; return it."""

        async def say():
            seq = self.journal.next_seq
            said = own_record(CONTEXT, payload, seq=seq, wall_ns=START_NS + seq * 1_000_000)
            self.journal.append([said])
            await self.journal.lasting()
            return said

        return self.call(say())


@pytest.fixture
def past():
    """Serve an empty journal in a folder with a short path."""
    with Past.running() as past:
        yield past


@pytest.fixture
def ask(kevmond, past):
    """Call a command that asks that journal's daemon."""
    return lambda name, *args: kevmond(name, "--state-dir", past.folder, *args)


@pytest.fixture
def local_time(monkeypatch):
    """Make local time two hours ahead of UTC."""
    import time

    monkeypatch.setenv("TZ", "XYZ-2")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()

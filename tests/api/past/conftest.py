"""An API server over a real journal, and a reader of its streams."""

import asyncio
import contextlib
import json
from types import SimpleNamespace
from urllib.parse import urlencode

import pytest

from kevmond.api.listener import SOCKET
from kevmond.api.server import ApiServer
from kevmond.api.services import Services
from kevmond.events import own
from kevmond.events.own import own_record
from kevmond.journal.journal import Journal
from kevmond.journal.settings import JournalSettings
from kevmond.sinks.testing import CONTEXT, START_NS, link_message, record

PATIENCE = 30


class Frames:
    """Reads the events of a stream as they come."""

    def __init__(self, reader, writer):
        self.reader = reader
        self.writer = writer
        self.cursor = None

    async def head(self):
        """Return the status and the headers of the answer."""
        async with asyncio.timeout(PATIENCE):
            head = await self.reader.readuntil(b"\r\n\r\n")
        return head.decode().lower()

    async def next(self, skip=("beat",)):
        """Return name and data of the next event; None at the end."""
        async with asyncio.timeout(PATIENCE):
            while True:
                found = await self._frame()
                if found is None or found[0] not in skip:
                    return found

    async def until(self, name):
        """Return name and data of each event up to the first of a name."""
        found = []
        while not found or found[-1][0] != name:
            found.append(await self.next())
        return found

    async def seqs(self, last):
        """Return the positions of events up to the one at `last`; nothing else may come."""
        found = []
        while not found or found[-1] < last:
            name, data = await self.next()
            assert name == "event", (name, data)
            assert self.cursor == data["seq"]
            found.append(data["seq"])
        return found

    async def _frame(self):
        facts = {}
        while line := await self._line():
            if line == b"\n":
                break
            key, _, value = line.decode().rstrip("\n").partition(": ")
            facts[key] = value
        if not facts:
            return None
        if "" in facts:
            return facts[""], None
        if "id" in facts:
            self.cursor = int(facts["id"])
        return facts["event"], json.loads(facts["data"])

    async def _line(self):
        """Return a line, out of whichever chunks it came in (RFC 9112, section 7.1)."""
        while b"\n" not in self.rest:
            size = int(await self.reader.readline() or b"0", 16)
            self.rest += await self.reader.readexactly(size)
            await self.reader.readline()
            if not size:
                break
        line, mark, self.rest = self.rest.partition(b"\n")
        return line + mark

    rest = b""


class Daemon:
    """As much of a daemon as the past needs, behind its API."""

    def __init__(self, path, folder, log):
        self.path = path
        self.place = folder / SOCKET
        self.log = log
        self.config = {"file": None, "settings": {"sinks": {}}}
        self.fleet = SimpleNamespace(names=list, runner={}.get)
        self.open = []

    async def start(self, **settings):
        """Open the journal and serve."""
        self.journal = Journal.open(JournalSettings(path=self.path, **settings))
        self.journal.set_context(CONTEXT)
        parts = {
            "journal": self.journal,
            "fleet": self.fleet,
            "capture": SimpleNamespace(context=CONTEXT),
            "config": lambda: self.config,
        }
        names = Services.__dataclass_fields__
        parts = {"reloaded": lambda: None, **parts}
        services = Services(**{name: parts.get(name) for name in names})
        self.server = ApiServer(self.place, services, log=self.log)
        await self.server.start()

    async def stop(self):
        """Stop serving, and close."""
        await self.server.aclose()
        await self.journal.aclose(10)

    @property
    def streams(self):
        """The streams that are open."""
        return self.server._maker()._streams

    async def put(self, count=1, *, code=12, unit=0):
        """Append link events, and wait until they are seen; return the position of the last."""
        self.append(count, code=code, unit=unit)
        await self.journal.lasting()
        return self.journal.next_seq - 1

    def append(self, count=1, *, code=12, unit=0):
        """Append link events."""
        begin = self.journal.next_seq
        self.journal.append(
            [
                record(seq, raw=link_message(seq, code=code, unit=unit))
                for seq in range(begin, begin + count)
            ]
        )

    async def say(self, payload):
        """Append a record of kevmond's own."""
        seq = self.journal.next_seq
        wall_ns = START_NS + seq * 1_000_000
        self.journal.append([own_record(CONTEXT, payload, seq=seq, wall_ns=wall_ns)])
        await self.journal.lasting()

    async def lose(self):
        """Say that something was lost."""
        await self.say(own.Loss(lost=1, total=1, source="id-gap"))

    async def get(self, path, *pairs, status=200, method="GET", **query):
        """Ask, and return the answer's JSON."""
        words = urlencode([*pairs, *query.items()])
        reader, writer = await asyncio.open_unix_connection(str(self.place), limit=1 << 24)
        target = f"/v1/{path}?{words}" if words else f"/v1/{path}"
        writer.write(f"{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        async with asyncio.timeout(PATIENCE):
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        await writer.wait_closed()
        assert int(head.split()[1]) == status, body
        return json.loads(body) if body else None

    async def follow(self, *pairs, cursor=None, **query):
        """Open a stream."""
        reader, writer = await asyncio.open_unix_connection(str(self.place), limit=1 << 24)
        words = urlencode([*pairs, *query.items()])
        header = "" if cursor is None else f"Last-Event-ID: {cursor}\r\n"
        writer.write(f"GET /v1/events/stream?{words} HTTP/1.1\r\nHost: x\r\n{header}\r\n".encode())
        frames = Frames(reader, writer)
        self.open.append(frames)
        return frames

    async def joined(self, *pairs, **more):
        """Open a stream and read on until it has caught up; return it and what came before."""
        frames = await self.follow(*pairs, **more)
        assert "200 ok" in await frames.head()
        return frames, await frames.until("caught-up")

    async def hang_up(self, frames):
        """Close a stream from outside."""
        self.open.remove(frames)
        frames.writer.close()
        with contextlib.suppress(OSError):
            await frames.writer.wait_closed()


@pytest.fixture
async def daemon(tmp_path, folder, log):
    """Serve an empty journal."""
    daemon = Daemon(tmp_path / "journal.sqlite", folder, log)
    await daemon.start()
    yield daemon
    for frames in list(daemon.open):
        await daemon.hang_up(frames)
    await daemon.stop()

"""/v1/events/stream: what a reader gets, where it goes on, and what it cannot do to others."""

import asyncio
import json
import runpy
import socket
from pathlib import Path
from types import SimpleNamespace

import pytest

from kevmond import __version__
from kevmond.api import stream as module
from kevmond.api import streams
from kevmond.api.sse import Batches
from kevmond.api.stream import BLOCK, Stream, _gap
from kevmond.api.streams import Streams
from kevmond.history.condition import Condition
from kevmond.journal.cursor import Cursor
from kevmond.sinks.testing import CONTEXT, record, records

KIT = runpy.run_path(str(Path(__file__).parent / "conftest.py"))
MANY = BLOCK * 3


@pytest.fixture
def quick(monkeypatch):
    """Have everything happen soon."""
    monkeypatch.setattr(streams, "TICK", 0.01)
    monkeypatch.setattr(module, "BEATS", 0.05)
    monkeypatch.setattr(module, "PLACES", 0.02)
    monkeypatch.setattr(module, "PACE", 0.001)


# ---------------------------------------------------------------------- what is sent


async def test_stream_begins_with_hello_and_catches_up(daemon):
    """The first word tells who speaks and where the stream begins; what is there comes first."""
    await daemon.put(3)
    frames = await daemon.follow(after=1)
    head = await frames.head()
    assert "content-type: text/event-stream; charset=utf-8" in head
    assert "cache-control: no-store" in head
    hello = {
        "version": __version__,
        "host": CONTEXT.host,
        "boot_id": CONTEXT.boot_id,
        "oldest": 1,
        "newest": 3,
        "after": 1,
    }
    assert await frames.next() == ("hello", hello)
    assert frames.cursor == 1
    wanted = json.loads(record(2).line)
    assert await frames.next() == ("event", wanted)
    assert frames.cursor == 2
    assert (await frames.next())[1]["seq"] == 3
    assert await frames.next() == ("caught-up", {"newest": 3})
    await daemon.put()
    assert await frames.seqs(4) == [4]


async def test_stream_begins_with_what_comes_unless_asked_otherwise(daemon):
    """Without a cursor or a time there is no past."""
    await daemon.put(3)
    frames, before = await daemon.joined()
    assert [name for name, _ in before] == ["hello", "caught-up"]
    assert frames.cursor == before[0][1]["after"] == 3
    await daemon.put(2)
    assert await frames.seqs(5) == [4, 5]


async def test_stream_of_an_empty_journal_has_caught_up(daemon):
    """Nothing is there, and what comes is told."""
    frames, before = await daemon.joined(after=0)
    assert before[1:] == [("caught-up", {"newest": 0})]
    await daemon.put()
    assert await frames.seqs(1) == [1]


@pytest.mark.parametrize("words", [{"since": "2026-11-24T08:09:31.423456Z"}, {"after": 299}])
async def test_past_of_any_length_is_told_from_a_time_or_a_position(daemon, words):
    """Blocks of the past come in order, whole, and then what is new."""
    await daemon.put(MANY)
    frames, before = await daemon.joined(**words)
    assert [data["seq"] for name, data in before if name == "event"] == list(range(300, MANY + 1))
    await daemon.put()
    assert await frames.seqs(MANY + 1) == [MANY + 1]


async def test_past_is_told_without_a_pause(daemon, monkeypatch):
    """Only who has nearly caught up is written to at the common times, however blocks are cut."""
    monkeypatch.setattr(module, "PACE", 3600.0)
    await daemon.stop()
    await daemon.start(window_records=0)
    for _ in range(10):
        await daemon.put(BLOCK // 3 * 2)
    frames = await daemon.follow(after=0)
    await frames.head()
    assert (await frames.next())[0] == "hello"
    last = daemon.journal.next_seq - 1 - BLOCK
    assert await frames.seqs(last) == list(range(1, last + 1))


async def test_reader_goes_on_exactly_where_it_ended(daemon):
    """However often a reader comes back with its cursor, each event is told once, in order."""
    await daemon.put(50)
    found, cursor = [], 0
    for length in (7, 1, 300, 20):
        frames = await daemon.follow(cursor=cursor, after=40)  # the header counts
        await frames.head()
        assert (await frames.next())[0] == "hello"
        for _ in range(length):
            name, data = await frames.next()
            if name == "event":
                found.append(data["seq"])
            if data.get("seq") == daemon.journal.next_seq - 1:
                break
        cursor = frames.cursor
        await daemon.hang_up(frames)
        await daemon.put(100)
    assert found == list(range(1, len(found) + 1))
    assert len(found) > 200


async def test_reader_goes_on_after_a_restart_of_the_daemon(daemon):
    """Positions are those of the journal, whichever run wrote them."""
    frames, _ = await daemon.joined()
    await daemon.put(5)
    assert (await frames.seqs(5))[-1] == frames.cursor
    await daemon.stop()
    assert await frames.next() == ("bye", {"reason": "stopping"})
    await daemon.start()
    await daemon.put(5)
    _, before = await daemon.joined(cursor=5)
    assert [data["seq"] for name, data in before if name == "event"] == [6, 7, 8, 9, 10]


async def test_filter_lets_through_what_it_says_and_losses(daemon, quick):
    """A rule holds events back, and never what kevmond says of itself; shorthands do both."""
    frames, _ = await daemon.joined(("filter", "code=link-on"), ("filter", "interface=en1"))
    exact, _ = await daemon.joined(interface="en0")
    await daemon.put(code=13)  # 1: link-on en0
    await daemon.put()  # 2: link-off en0
    await daemon.put(unit=1)  # 3: link-off en1
    await daemon.lose()  # 4
    await daemon.put(code=13)  # 5
    for reader, wanted in ((frames, [1, 3, 4, 5]), (exact, [1, 2, 5])):
        found = []
        while len(found) < len(wanted):
            name, data = await reader.next(skip=("beat", "position"))
            found.append((name, data["seq"]))
        assert found == [("event", seq) for seq in wanted]


async def test_filtering_reader_learns_how_far_it_is(daemon, quick):
    """Its cursor moves on though nothing comes for it, so that it never asks for that again."""
    frames, _ = await daemon.joined(filter="class=system")
    await daemon.put(5)
    assert await frames.next() == ("position", {"seq": 5})
    assert frames.cursor == 5
    await daemon.put(MANY)
    while (found := await frames.next())[1]["seq"] < 5 + MANY:
        assert found[0] == "position"
    assert frames.cursor == 5 + MANY


async def test_silence_has_signs_of_life(daemon, quick):
    """A comment shows that both ends are there; it moves no cursor."""
    frames, _ = await daemon.joined()
    for _ in range(3):
        assert await frames.next(skip=()) == ("beat", None)
    assert frames.cursor == 0


# ---------------------------------------------------------------------- what is gone


async def test_gap_that_retention_made_is_told(daemon):
    """Whoever comes back too late is told how many events it missed, and goes on behind them."""
    await daemon.stop()
    await daemon.start(max_bytes=1 << 20, window_records=0)
    while daemon.journal.statistics().oldest_seq == 1:
        await daemon.put(4000)
    oldest = daemon.journal.statistics().oldest_seq
    frames = await daemon.follow(cursor=10)
    await frames.head()
    name, hello = await frames.next()
    assert (name, hello["after"], hello["oldest"]) == ("hello", 10, oldest)
    name, missed = await frames.next()
    assert name == "missed"
    assert (missed["missed"], missed["first"], missed["last"]) == (oldest - 11, 11, oldest - 1)
    assert "journal.max_age" in missed["reason"]
    assert frames.cursor == oldest - 1
    assert (await frames.next())[1]["seq"] == oldest
    assert [each["missed"] for each in daemon.streams.facts()] == [oldest - 11]


async def test_cursor_of_another_journal_is_told(daemon):
    """A position that was never given out means that the journal is another one."""
    await daemon.put(3)
    frames = await daemon.follow(cursor=77)
    await frames.head()
    assert (await frames.next())[1]["after"] == 0
    name, missed = await frames.next()
    assert (name, missed["missed"], missed["first"]) == ("missed", None, None)
    assert "began anew" in missed["reason"]
    assert await frames.seqs(3) == [1, 2, 3]


class Written(list):
    """What a stream wrote, as names and data."""

    async def write(self, data):
        for part in data.decode().split("\n\n")[:-1]:
            lines = dict(line.partition(": ")[::2] for line in part.split("\n"))
            facts = json.loads(lines.get("data", "null"))
            self.append((lines.get("event"), int(lines.get("id", -1)), facts))


class Transport:
    """A transport whose end takes bytes when a test says so."""

    def __init__(self):
        self.waiting = 0
        self.aborted = False

    def is_closing(self):
        return self.aborted

    def get_write_buffer_size(self):
        return self.waiting

    def abort(self):
        self.aborted = True


@pytest.fixture
async def alone(daemon, log):
    """Make a stream without HTTP, whose writes and whose end a test holds in its hands."""
    journal = daemon.journal
    registry = Streams(SimpleNamespace(journal=journal), asyncio.Event(), log)
    written, transport = Written(), Transport()
    made = SimpleNamespace(written=written, transport=transport, registry=registry)

    def make(write=written.write, condition=None):
        made.stream = Stream(
            registry,
            journal,
            condition or Condition(),
            transport=transport,
            write=write,
            peer="test",
        )
        return made

    yield make
    for stream in registry:
        stream.end("over")


async def test_what_goes_away_under_a_reader_is_told_in_its_place(daemon, alone, until):
    """A place that was given up while its reader blocked tells what left the journal meanwhile."""
    made = alone()
    gate = asyncio.Event()

    async def write(data):
        await made.written.write(data)
        await gate.wait()

    stream = alone(write).stream
    await daemon.put(5)
    task = asyncio.ensure_future(stream.run({}, 0))
    await until(lambda: made.written)
    gate.set()
    await until(lambda: stream.position == 5)
    gate.clear()
    await daemon.put(5)
    await until(lambda: len(made.written) > 10)
    stream.look(asyncio.get_running_loop().time() + module.REST)
    assert stream._cursor is None
    daemon.journal.advance(1000)
    await daemon.put(5)
    daemon.journal._view.disk_first = 1003  # as if retention had been there
    gate.set()
    await until(lambda: stream.position == 1005)
    stream.end("over")
    await task
    missed = [(seq, facts) for name, seq, facts in made.written if name == "missed"]
    assert missed == [
        (1002, {"missed": 992, "first": 11, "last": 1002, "reason": module.RETENTION})
    ]
    told = [seq for name, seq, _ in made.written if name == "event"]
    assert told == [*range(1, 11), 1003, 1004, 1005]


async def test_reader_may_block_while_it_is_told_of_a_gap(daemon, alone, until):
    """The place that is given up meanwhile is taken again, and nothing is told twice."""
    made = alone()
    gate = asyncio.Event()

    async def write(data):
        await made.written.write(data)
        if b"event: missed" in data:
            await gate.wait()

    stream = alone(write).stream
    await daemon.put(9)
    daemon.journal._view.disk_first = 5  # as if retention had been there
    task = asyncio.ensure_future(stream.run({}, 1))
    await until(lambda: len(made.written) == 2)
    stream.look(asyncio.get_running_loop().time() + module.REST)
    assert stream._cursor is None
    gate.set()
    await until(lambda: stream.position == 9)
    stream.end("over")
    await task
    assert [(name, seq) for name, seq, _ in made.written if seq >= 0] == [
        ("hello", 1),
        ("missed", 4),
        *(("event", seq) for seq in range(5, 10)),
    ]


async def test_what_a_place_passes_over_is_told(daemon, alone, until, monkeypatch):
    """Records that went out of reach in the middle of a read are told before what follows."""
    await daemon.put(10)
    found = [None, [record(12), record(13)], [record(14), record(17)], []]
    read = Cursor.read

    async def lossy(self, limit):
        batch = found.pop(0) if found else None
        if batch is None:
            return await read(self, limit)
        self.missed += 2
        self.next_seq = batch[-1].seq + 1 if batch else 20
        return batch

    monkeypatch.setattr(Cursor, "read", lossy)
    made = alone()
    task = asyncio.ensure_future(made.stream.run({}, 8))
    await until(lambda: made.stream.missed == 6)
    made.stream.end("over")
    await task
    told = [
        (name, facts["first"], facts["last"]) if name == "missed" else seq
        for name, seq, facts in made.written
        if name in {"missed", "event"}
    ]
    # Before the second batch, in the middle of the third, and where nothing has followed yet.
    missed = [("missed", 11, 11), ("missed", 15, 16), ("missed", 18, 19)]
    assert told == [9, 10, missed[0], 12, 13, missed[1], 14, 17, missed[2]]


@pytest.mark.parametrize(
    ("read_to", "seqs", "wanted"),
    [(3, [6, 7], (3, 6)), (3, [4, 7], (4, 7)), (0, [3, 4, 9], (0, 9)), (3, [4, 5], (3, 4))],
)
def test_gap_is_found_among_what_was_read(read_to, seqs, wanted):
    """From the first position that is not there to the last one."""
    assert _gap(read_to, [record(seq) for seq in seqs]) == wanted


# ---------------------------------------------------------------------- ends


async def test_stream_takes_leave_when_the_daemon_stops(daemon):
    """Every reader is told, and its connection ends; nobody waits for that."""
    readers = [(await daemon.joined())[0] for _ in range(5)]
    async with asyncio.timeout(10):
        await daemon.server.aclose()
    for frames in readers:
        assert await frames.next() == ("bye", {"reason": "stopping"})
        assert await frames.next() is None


async def test_stream_that_comes_while_the_daemon_stops_is_told(daemon, alone, until):
    """It has a hello and a bye."""
    made = alone()
    made.registry.add(SimpleNamespace(name="other", end=lambda reason: None))
    made.registry._closing.set()
    await until(made.registry._leave.done)
    await made.stream.run({}, None)
    assert [name for name, *_ in made.written] == ["hello", "caught-up", "bye"]


async def test_closed_journal_ends_the_stream(daemon, alone, until):
    """The reader is told why."""
    made = alone()
    task = asyncio.ensure_future(made.stream.run({}, None))
    await until(lambda: made.stream._scope)
    await daemon.journal.aclose(10)
    await task
    name, _, facts = made.written[-1]
    assert name == "bye"
    assert "is closed" in facts["reason"]


async def test_reader_that_hangs_up_is_forgotten(daemon, quick, until):
    """Its place, its timer and its task are gone soon."""
    frames, _ = await daemon.joined()
    assert len(daemon.streams) == 1
    await daemon.hang_up(frames)
    await until(lambda: not len(daemon.streams))
    assert daemon.streams._timer is daemon.streams._leave is None
    assert not daemon.journal.statistics().cursors


async def test_busy_reader_has_a_moment_at_the_end(daemon, alone, until, monkeypatch):
    """A write under way is not cut off at once, and not waited for."""
    monkeypatch.setattr(module, "LEAVE", 0.02)
    gate = asyncio.Event()

    async def write(_data):
        await gate.wait()

    made = alone(write)
    made.transport.abort = gate.set
    task = asyncio.ensure_future(made.stream.run({}, None))
    await until(lambda: made.stream._blocked)
    made.stream.end("stopping")
    assert not gate.is_set()
    async with asyncio.timeout(10):
        await task


async def test_stream_that_fails_is_cut_off_and_said(daemon, log, monkeypatch):
    """A mistake of ours ends the one stream, and cannot become a second answer."""

    async def fail(_self, _hello, _after):
        raise RuntimeError("broken")

    monkeypatch.setattr(Stream, "run", fail)
    frames = await daemon.follow()
    async with asyncio.timeout(30):
        await frames.reader.read()
    assert ("a stream failed", {"error": "RuntimeError: broken"}) in log.lines


async def test_streams_are_so_many_and_no_more(daemon, monkeypatch):
    """Whoever comes too late is told."""
    monkeypatch.setattr("kevmond.api.event_routes.MOST_STREAMS", 1)
    await daemon.joined()
    told = await daemon.get("events/stream", status=503)
    assert told["error"] == "1 streams are open"


# ---------------------------------------------------------------------- those who do not read


async def test_reader_that_never_reads_holds_up_nobody(daemon, until, monkeypatch):
    """Others get everything at once; for it, nothing is kept, and at last it is cut off."""
    monkeypatch.setattr(streams, "TICK", 0.01)
    monkeypatch.setattr(module, "REST", 0.02)
    path = str(daemon.place)
    stuck = socket.socket(socket.AF_UNIX)
    stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    await asyncio.to_thread(stuck.connect, path)
    stuck.sendall(b"GET /v1/events/stream HTTP/1.1\r\nHost: x\r\n\r\n")
    await until(lambda: len(daemon.streams) == 1)
    (held,) = daemon.streams
    frames, _ = await daemon.joined()
    last = 0
    while held._blocked is None or held._cursor is not None:
        last = await daemon.put(BLOCK)
        await frames.seqs(last)
    assert held.position < last
    last = await daemon.put(MANY * 4)
    assert len(await frames.seqs(last)) == MANY * 4
    assert held._transport.get_write_buffer_size() < 1 << 20
    figures = daemon.journal.statistics()
    assert [each.name for each in figures.cursors] == ["api.stream-2"]
    assert figures.memory_records <= BLOCK * 2
    monkeypatch.setattr(module, "STUCK", 0.05)
    await until(lambda: len(daemon.streams) == 1)
    stuck.close()
    ((_text, facts),) = [line for line in daemon.log.lines if "takes nothing" in line[0]]
    assert (facts["stream"], facts["peer"][:4]) == ("stream-1", "pid ")
    await daemon.put()
    assert await frames.seqs(last + 1) == [last + 1]


async def test_reader_is_cut_off_only_where_it_takes_nothing(alone):
    """A slow reader stays, and so does one that has nothing to take."""
    made = alone()
    stream, transport, now = made.stream, made.transport, made.stream._moved
    stream._written = 10_000
    for waiting in (9_000, 9_000, 5_000, 5_100, 0, 0, 3_000):
        stream._written += 200 if waiting == 5_100 else 0
        transport.waiting = waiting
        now += module.STUCK * 0.6
        stream.look(now)
    assert not transport.aborted
    stream._written += 3_000
    transport.waiting = 6_000
    stream.look(now + module.STUCK)
    assert transport.aborted


# ---------------------------------------------------------------------- what streams share


def test_readers_of_the_same_share_the_bytes():
    """A batch is filtered and made once, for all who ask for the same."""
    batches, found = Batches(), records(1, 10)
    one = batches.of(found, Condition(["code=link-off"]))
    assert batches.of(found, Condition(["code=link-off"])) is one
    assert batches.of(found[1:], Condition(["code=link-off"])) is not one
    assert batches.of(found, Condition(["code=link-on"])).data == b""
    assert one.data.count(b"\n\n") == 10
    for first in range(10):
        batches.of(found[first:], Condition())
    assert len(batches._made) <= 4


async def test_streams_tell_of_themselves(daemon, quick, until):
    """Who follows, what it asked for, and how far it is: consumers like all others."""
    await daemon.joined(after=0, filter="code=link-on", interface="en0")
    await daemon.put(3, code=13)
    await daemon.put(2)
    await until(lambda: [each["position"] for each in daemon.streams.facts()] == [5])
    (facts,) = daemon.streams.facts()
    assert facts.pop("peer").startswith("pid ")
    assert facts.pop("since") > "2026"
    assert facts == {
        "name": "stream-1",
        "filter": "code=link-on; interface=en0",
        "position": 5,
        "lag": 0,
        "sent": 3,
        "missed": 0,
    }


async def test_fifty_readers_get_everything(daemon):
    """Each of many readers has every event once, in order, whatever the pace."""
    readers = [(await daemon.joined())[0] for _ in range(50)]
    total = 0
    for count in (1, 300, 7, 700, 1):
        daemon.append(count)
        total += count
        await asyncio.sleep(0)
    await daemon.journal.lasting()
    found = await asyncio.gather(*(frames.seqs(total) for frames in readers))
    assert found == [list(range(1, total + 1))] * 50

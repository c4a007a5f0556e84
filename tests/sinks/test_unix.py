"""The unix sink: receivers that listen, readers that connect, and what happens to slow ones."""

import asyncio
import contextlib
import json
import os
import re
import socket
import stat
import sys
import tempfile
from pathlib import Path

import pytest
from pydantic import ValidationError
from structlog.testing import capture_logs

from kevmond.errors import PermanentError, RetryableError
from kevmond.sinks.runner import SinkRunner
from kevmond.sinks.testing import MemoryJournal, odd_records, records
from kevmond.sinks.unix import UnixSettings, UnixSink

PATIENCE = 30
"""Seconds that a test waits for what must come."""


@pytest.fixture
def path():
    """Return a path for a socket, short as macOS wants it."""
    with tempfile.TemporaryDirectory(prefix="kevmond-", dir="/tmp") as folder:
        yield Path(folder) / "s"


@pytest.fixture
async def sink(path):
    """Return a function that makes and opens a sink; all are closed afterwards."""
    async with contextlib.AsyncExitStack() as stack:

        async def make(role, **settings):
            one = UnixSink("out", UnixSettings(path=path, role=role, **settings))
            stack.push_async_callback(one.aclose)
            await one.open()
            return one

        yield make


def lines(batch):
    """Return what a reader of the batch gets."""
    return b"".join(record.line + b"\n" for record in batch)


async def write_all(sink, batch):
    """Write until all is taken or one attempt fails; return how many were taken, and the error."""
    done = 0
    try:
        while done < len(batch):
            done += await sink.write(batch[done:])
    except RetryableError as error:
        return done, error
    return done, None


# ---------------------------------------------------------------------- role connect


class Receiver:
    """A receiver that listens, and reads when it is told to."""

    def __init__(self, path, kind=socket.SOCK_STREAM):
        self.path = path
        self.listener = socket.socket(socket.AF_UNIX, kind)
        self.listener.bind(str(path))
        if kind == socket.SOCK_STREAM:
            self.listener.listen()
        self.listener.setblocking(False)
        self.connection = None

    async def accept(self):
        if self.connection is not None:
            self.connection.close()
        self.connection, _ = await asyncio.wait_for(
            asyncio.get_running_loop().sock_accept(self.listener), PATIENCE
        )
        return self.connection

    async def read(self, size):
        """Return exactly so many bytes."""
        loop, found = asyncio.get_running_loop(), b""
        while len(found) < size:
            more = await asyncio.wait_for(
                loop.sock_recv(self.connection, size - len(found)), PATIENCE
            )
            assert more, f"it ended after {found!r}"
            found += more
        return found

    async def say(self, data):
        await asyncio.get_running_loop().sock_sendall(self.connection, data)

    def close(self):
        if self.connection is not None:
            self.connection.close()
        self.listener.close()
        self.path.unlink(missing_ok=True)


@pytest.fixture
def receiver(path):
    """Return a receiver of a stream."""
    one = Receiver(path)
    yield one
    one.close()


async def test_a_receiver_gets_lines(sink, receiver):
    """Every event is its stable JSON and a newline, in order."""
    one = await sink("connect")
    await receiver.accept()
    for batch in (records(1, 3), odd_records(10)):
        assert await one.write(batch) == len(batch)
        assert await receiver.read(len(lines(batch))) == lines(batch)


async def test_a_receiver_that_is_not_there_is_waited_for(sink, path):
    """Nobody listening is an error that says so, and the sink opens once somebody does."""
    with pytest.raises(RetryableError, match=r"/s: ENOENT .*; is the receiver listening there\?"):
        await sink("connect")
    first = Receiver(path)
    first.listener.close()
    with pytest.raises(RetryableError, match="ECONNREFUSED"):
        await sink("connect")
    path.unlink()
    second = Receiver(path)
    await sink("connect")
    second.close()


async def test_the_wrong_kind_of_socket_is_named(sink, receiver):
    """A datagram to a stream's socket says which setting is wrong."""
    with pytest.raises(RetryableError, match=r"EPROTOTYPE .*; it is no datagram socket"):
        await sink("connect", socket="datagram")


async def test_a_receiver_that_came_back_is_found_at_once(sink, path):
    """A connection that broke between two batches costs no attempt."""
    first = Receiver(path)
    one = await sink("connect")
    await first.accept()
    await one.write(records(1, 1))
    first.close()
    second = Receiver(path)
    assert await one.write(records(2, 2)) == 1
    await second.accept()
    assert await second.read(len(lines(records(2, 2)))) == lines(records(2, 2))
    second.close()
    with pytest.raises(RetryableError):
        await one.write(records(3, 3))


async def test_a_slow_receiver_gets_every_line_once(sink, receiver):
    """A write that a receiver is too slow for tells how far it came and goes on in mid-line."""
    one = await sink("connect", write_timeout="200ms")
    await receiver.accept()
    batch = records(1, 2000)
    taken, error = await write_all(one, batch)
    assert 0 < taken < len(batch)
    assert str(error).endswith("the receiver has taken nothing for 0.1 s")
    reading = asyncio.ensure_future(receiver.read(len(lines(batch))))
    while taken < len(batch):
        with contextlib.suppress(RetryableError):
            taken += await one.write(batch[taken:])
    assert await reading == lines(batch)


async def test_a_cancelled_write_tears_no_line(sink, receiver):
    """The same batch offered again goes on where the cancelled write stopped."""
    one = await sink("connect", write_timeout="1h")
    await receiver.accept()
    batch = records(1, 2000)
    write = asyncio.ensure_future(one.write(batch))
    first = await receiver.read(1000)
    write.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await write
    again = asyncio.ensure_future(one.write(batch))
    rest = await receiver.read(len(lines(batch)) - 1000)
    assert await again == len(batch)
    assert first + rest == lines(batch)


async def test_a_new_connection_begins_with_a_whole_line(sink, path):
    """What was under way when the receiver died is sent again from the batch's first event."""
    first = Receiver(path)
    one = await sink("connect", write_timeout="200ms")
    await first.accept()
    batch = records(1, 2000)
    taken, _ = await write_all(one, batch)
    first.close()
    second = Receiver(path)
    again = asyncio.ensure_future(one.write(batch[taken : taken + 10]))
    await second.accept()
    expected = lines(batch[taken : taken + 10])
    assert await second.read(len(expected)) == expected
    assert await again == 10
    second.close()


async def test_acknowledged_events_only_count_as_delivered(sink, receiver):
    """With acknowledge a write returns what the receiver says it is done with."""
    one = await sink("connect", acknowledge=True, write_timeout="200ms")
    await receiver.accept()
    batch = records(5, 8)
    with pytest.raises(RetryableError, match="has acknowledged nothing"):
        await one.write(batch)
    assert await receiver.read(len(lines(batch))) == lines(batch)
    await receiver.say(b"5\n6\n7")
    assert await one.write(batch) == 2
    await receiver.say(b"\n8\n")
    assert await one.write(batch[2:]) == 2  # nothing was sent a second time
    with pytest.raises(BlockingIOError):
        receiver.connection.recv(1)


async def test_what_a_dying_receiver_did_not_acknowledge_comes_again(sink, path):
    """Events that were sent and not acknowledged go to the next connection."""
    first = Receiver(path)
    one = await sink("connect", acknowledge=True)
    await first.accept()
    batch = records(1, 4)
    write = asyncio.ensure_future(one.write(batch))
    await first.read(len(lines(batch)))
    await first.say(b"1\n")
    first.close()
    assert await write == 1
    second = Receiver(path)
    write = asyncio.ensure_future(one.write(batch[1:]))
    await second.accept()
    assert await second.read(len(lines(batch[1:]))) == lines(batch[1:])
    await second.say(b"4\n")
    assert await write == 3
    second.close()


@pytest.mark.parametrize("said", [b"ok\n", b"1\n{}\n", b"-1\n", b"7" * 100, b"9" * 5000 + b"\n"])
async def test_an_answer_that_is_no_position_is_told(sink, receiver, said):
    """A receiver that says something else is quoted, told what to say, and connected to anew."""
    one = await sink("connect", acknowledge=True)
    await receiver.accept()
    write = asyncio.ensure_future(one.write(records(1, 2)))
    await receiver.say(said)
    with pytest.raises(RetryableError, match="it is to write the seq"):
        await write
    write = asyncio.ensure_future(one.write(records(1, 2)))
    await receiver.accept()
    await receiver.read(len(lines(records(1, 2))))
    await receiver.say(b"2\n")
    assert await write == 2


async def test_a_position_that_was_not_sent_acknowledges_nothing_to_come(sink, receiver):
    """A number too high stands for what was sent, not for events of the future."""
    one = await sink("connect", acknowledge=True, write_timeout="200ms")
    await receiver.accept()
    write = asyncio.ensure_future(one.write(records(1, 1)))
    await receiver.read(len(lines(records(1, 1))))
    await receiver.say(b"999999\n")
    assert await write == 1
    with pytest.raises(RetryableError, match="acknowledged nothing"):
        await one.write(records(2, 2))


async def test_what_a_receiver_says_is_no_matter_without_acknowledge(sink, receiver):
    """Talk is thrown away, and a receiver that closes its sending side still receives."""
    one = await sink("connect")
    connection = await receiver.accept()
    await receiver.say(b"x" * 100_000)
    connection.shutdown(socket.SHUT_WR)
    for seq in range(1, 20):
        assert await one.write(records(seq, seq)) == 1
        await receiver.read(len(lines(records(seq, seq))))


async def test_datagrams(sink, path):
    """Each event is a datagram of its own, without a newline."""
    receiver = Receiver(path, socket.SOCK_DGRAM)
    one = await sink("connect", socket="datagram")
    receiver.connection = receiver.listener
    batch = records(1, 3)
    write = asyncio.ensure_future(one.write(batch))
    for record in batch:
        got = await asyncio.get_running_loop().sock_recv(receiver.listener, 1 << 16)
        assert got == record.line
    assert await write == 3
    receiver.close()


async def test_a_receiver_of_datagrams_that_is_full_is_waited_for(sink, path):
    """What does not fit is not lost: the write tells how far it came, and goes on."""
    receiver = Receiver(path, socket.SOCK_DGRAM)
    receiver.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    one = await sink("connect", socket="datagram", write_timeout="200ms")
    batch = records(1, 2000)
    taken, error = await write_all(one, batch)
    assert 0 < taken < len(batch)
    assert "has taken nothing" in str(error)

    async def read_all():
        return [
            await asyncio.get_running_loop().sock_recv(receiver.listener, 1 << 16) for _ in batch
        ]

    reading = asyncio.ensure_future(read_all())
    while taken < len(batch):
        with contextlib.suppress(RetryableError):
            taken += await one.write(batch[taken:])
    assert await asyncio.wait_for(reading, PATIENCE) == [record.line for record in batch]
    receiver.close()


async def test_a_datagram_that_is_too_long_is_sent_without_its_raw_bytes(sink, path, monkeypatch):
    """Where even that is too long, this one event is given up, and the next is sent."""
    receiver = Receiver(path, socket.SOCK_DGRAM)
    one = await sink("connect", socket="datagram")
    one._way._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)  # the least there is
    longest = one._way._socket.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
    long, normal = records(1, 2)
    long._line = b"x" * (longest + 4096)
    assert await one.write([long]) == 1
    got = json.loads(receiver.listener.recv(1 << 16))
    assert (got["seq"], got["raw"]) == (1, None)
    long._event = long.event.model_copy(update={"host": "h" * (longest + 4096)})
    assert await one.write([normal, long]) == 1
    with pytest.raises(PermanentError, match="event 1 is longer than a datagram") as caught:
        await one.write([long, normal])
    assert caught.value.count == 1
    receiver.close()


async def test_reopen_connects_anew(sink, receiver):
    """After SIGHUP the next event goes over a new connection."""
    one = await sink("connect")
    await receiver.accept()
    await one.reopen()
    await one.write(records(1, 1))
    await receiver.accept()
    assert await receiver.read(len(lines(records(1, 1)))) == lines(records(1, 1))


# ---------------------------------------------------------------------- role listen


@pytest.fixture
async def connect(path):
    """Return a function that connects a reader: a stream reader, and its writer."""
    made = []

    async def make():
        reader, writer = await asyncio.open_unix_connection(str(path))
        made.append(writer)
        return reader, writer

    yield make
    for writer in made:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def until(condition):
    """Wait until the loop has made a condition true."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - the sink has no event for a test
            await asyncio.sleep(0.001)


async def test_every_reader_gets_every_line_from_when_it_connected(sink, connect):
    """Events before a reader's time are not kept for it; all readers get the same after."""
    one = await sink("listen")
    await one.write(records(1, 2))
    first, _ = await connect()
    await until(lambda: len(one._way._readers) == 1)
    await one.write(records(3, 4))
    second, _ = await connect()
    await until(lambda: len(one._way._readers) == 2)
    odd = odd_records(5)
    await one.write(odd)
    expected = lines(records(3, 4) + odd)
    assert await first.readexactly(len(expected)) == expected
    assert await second.readexactly(len(lines(odd))) == lines(odd)


async def test_the_socket_is_private(sink, path):
    """Only the daemon's user may connect, whatever the umask, from the first moment on."""
    old = os.umask(0)
    try:
        await sink("listen")
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_ISSOCK(path.stat().st_mode)
    assert [each.name for each in path.parent.iterdir()] == ["s"]


async def test_permissions_can_be_given(sink, path):
    """A group may be let in."""
    await sink("listen", mode="0660")
    assert stat.S_IMODE(path.stat().st_mode) == 0o660


async def test_what_a_killed_daemon_left_is_replaced(sink, path, connect):
    """A socket that nobody listens on, and a half-made one, are no obstacle."""
    for left in (path, path.with_name(".s.new")):
        with socket.socket(socket.AF_UNIX) as stale:
            stale.bind(str(left))
    one = await sink("listen")
    reader, _ = await connect()
    await until(lambda: one._way._readers)
    await one.write(records(1, 1))
    assert await reader.readline() == lines(records(1, 1))


async def test_a_socket_in_use_is_left_alone(sink, receiver, path):
    """Another program's socket is not taken away from it."""
    with pytest.raises(RetryableError, match="another program listens there"):
        await sink("listen")
    assert path.exists()


async def test_a_file_is_left_alone(sink, path):
    """What is no socket is somebody's data."""
    path.write_text("mine")
    with pytest.raises(RetryableError, match="something that is no socket is there"):
        await sink("listen")
    assert path.read_text() == "mine"


async def test_the_folder_is_made_private(path):
    """A missing folder is made for the daemon's user alone."""
    one = UnixSink("out", UnixSettings(path=path.parent / "new" / "s"))
    await one.open()
    assert stat.S_IMODE((path.parent / "new").stat().st_mode) == 0o700
    await one.aclose()


async def test_the_socket_goes_with_the_sink(sink, path):
    """Closing takes the file away, unless it is another one by then."""
    one = await sink("listen")
    await one.aclose()
    assert not path.exists()
    two = await sink("listen")
    path.unlink()
    path.write_text("mine")
    await two.aclose()
    assert path.read_text() == "mine"


async def test_reopen_listens_anew_where_the_file_is_gone(sink, path, connect):
    """After SIGHUP new readers find the socket again, and old ones stay."""
    one = await sink("listen")
    old, _ = await connect()
    await until(lambda: len(one._way._readers) == 1)
    path.unlink()
    await one.reopen()
    new, _ = await connect()
    await until(lambda: len(one._way._readers) == 2)
    await one.write(records(1, 1))
    assert await old.readline() == await new.readline() == lines(records(1, 1))


async def test_a_slow_reader_is_cut_off_and_told(sink, path, connect):
    """It reads whole lines to the last, then why it was cut off; others get everything."""
    one = await sink("listen", reader_buffer=1 << 17, patience="50ms")
    slow = socket.socket(socket.AF_UNIX)
    slow.connect(str(path))
    quick, _ = await connect()
    await until(lambda: len(one._way._readers) == 2)
    batch = records(1, 3000)
    reading = asyncio.ensure_future(quick.readexactly(len(lines(batch))))
    with capture_logs() as logged:
        for begin in range(0, len(batch), 100):
            await one.write(batch[begin : begin + 100])
    assert await asyncio.wait_for(reading, PATIENCE) == lines(batch)
    with slow, slow.makefile("rb") as file:
        slow.settimeout(PATIENCE)
        got = []
        while len(got) < 5000:
            line = await asyncio.to_thread(file.readline)
            if not line:
                break
            got.append(json.loads(line))
    *events, notice = got
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert notice["kevmond"] == "cut off"
    assert notice["after"] == len(events)
    assert "too slow" in notice["why"]
    [entry] = logged
    assert (entry["event"], entry["lost"]) == ("unix", notice["lost"])
    assert one._way.lost == notice["lost"] > 0


async def test_memory_for_a_reader_is_bounded(sink, path):
    """However much is written, no more than the buffer and a piece wait for one reader."""
    one = await sink("listen", reader_buffer=1 << 17, patience="1ms")
    with socket.socket(socket.AF_UNIX) as slow:
        slow.connect(str(path))
        await until(lambda: one._way._readers)
        [reader] = one._way._readers
        most = 0
        for begin in range(1, 3000, 100):
            await one.write(records(begin, begin + 99))
            most = max(most, reader.waiting)
        assert most <= (1 << 17) + (1 << 16) + 8192
        assert reader.waiting < 8192


async def test_a_reader_that_keeps_up_is_never_cut_off(sink, connect):
    """A backlog far larger than the buffer reaches a reader that goes on reading."""
    one = await sink("listen", reader_buffer=1 << 17, patience="10s")
    reader, _ = await connect()
    await until(lambda: one._way._readers)
    batch = records(1, 5000)
    reading = asyncio.ensure_future(reader.readexactly(len(lines(batch))))
    await asyncio.wait_for(one.write(batch), PATIENCE)
    assert await asyncio.wait_for(reading, PATIENCE) == lines(batch)
    assert one._way.lost == 0


async def test_a_reader_that_goes_is_forgotten(sink, connect):
    """Its descriptor is freed when it closes, without any event."""
    one = await sink("listen")
    _, writer = await connect()
    await until(lambda: len(one._way._readers) == 1)
    writer.close()
    await until(lambda: not one._way._readers)
    await one.write(records(1, 1))


async def test_what_waited_for_a_reader_that_went_is_counted(sink, path):
    """Lines that it can never read are logged with their number."""
    one = await sink("listen", reader_buffer="4MiB")
    gone = socket.socket(socket.AF_UNIX)
    gone.connect(str(path))
    await until(lambda: one._way._readers)
    await one.write(records(1, 2000))
    with capture_logs() as logged:
        gone.close()
        await until(lambda: not one._way._readers)
    [entry] = logged
    assert entry["why"] == "the reader went away before it took them"
    assert entry["lost"] == one._way.lost == 2000 - entry["after"]


async def test_a_reader_may_end_what_it_says(sink, path):
    """One that shuts down its sending side, as `nc -U` does without input, still receives."""
    one = await sink("listen")
    with socket.socket(socket.AF_UNIX) as reader:
        reader.connect(str(path))
        reader.shutdown(socket.SHUT_WR)
        await until(lambda: one._way._readers)
        await until(lambda: True)
        await one.write(records(1, 1))
        reader.setblocking(False)
        got = await asyncio.get_running_loop().sock_recv(reader, 1 << 16)
        assert got == lines(records(1, 1))


async def test_what_a_reader_says_is_thrown_away(sink, connect):
    """Talk costs no memory and does no harm."""
    one = await sink("listen")
    reader, writer = await connect()
    writer.write(b"hello\n" * 100_000)
    await asyncio.wait_for(writer.drain(), PATIENCE)
    await until(lambda: one._way._readers)
    await one.write(records(1, 1))
    assert await reader.readline() == lines(records(1, 1))


async def test_too_many_readers_are_told_so(sink, connect):
    """One more than allowed is sent away; there is room again when one goes."""
    one = await sink("listen", max_readers=1)
    _, writer = await connect()
    await until(lambda: one._way._readers)
    refused, _ = await connect()
    notice = json.loads(await asyncio.wait_for(refused.readline(), PATIENCE))
    assert notice == {
        "kevmond": "refused",
        "why": "1 readers are connected already, which is max_readers",
    }
    assert await refused.read() == b""
    writer.close()
    await until(lambda: not one._way._readers)
    await connect()
    await until(lambda: one._way._readers)


async def test_closing_lets_readers_finish(sink, path):
    """What waits is still delivered to a reader that takes it; the sink waits for no other."""
    one = await sink("listen", reader_buffer="4MiB")
    slow, dead = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
    slow.connect(str(path))
    dead.connect(str(path))
    await until(lambda: len(one._way._readers) == 2)
    batch = records(1, 2000)
    await one.write(batch)
    assert any(reader.waiting for reader in one._way._readers)
    slow.setblocking(False)

    async def read():
        loop, got = asyncio.get_running_loop(), b""
        while more := await loop.sock_recv(slow, 1 << 20):
            got += more
        return got

    reading = asyncio.ensure_future(read())
    with capture_logs() as logged:
        await asyncio.wait_for(one.aclose(), PATIENCE)
    assert await asyncio.wait_for(reading, PATIENCE) == lines(batch)
    [entry] = logged
    assert entry["why"] == "the daemon stopped before the reader took them"
    assert entry["after"] + entry["lost"] == 2000
    slow.close()
    dead.close()


async def test_no_descriptors_left_is_survived(sink, path, monkeypatch):
    """When accepting fails it is tried again later, without a busy loop."""
    one = await sink("listen")
    monkeypatch.setattr("kevmond.sinks.unix_readers._NO_FILES", 0.01)
    listener = one._way._listener
    calls = []

    class Full:
        def fileno(self):
            return listener.fileno()

        def close(self):
            listener.close()

        def accept(self):
            calls.append(1)
            if len(calls) < 3:
                raise OSError(24, "Too many open files")
            return listener.accept()

    one._way._listener = Full()
    with capture_logs() as logged, socket.socket(socket.AF_UNIX) as reader:
        reader.connect(str(path))
        await until(lambda: one._way._readers)
    assert len(calls) == 4
    assert [entry["what"] for entry in logged] == ["cannot accept readers"] * 2


async def test_a_cancelled_write_repeats_nothing(sink, path):
    """Readers that have a line do not get it again when the batch is offered again."""
    one = await sink("listen", reader_buffer=1 << 17, patience="30s")
    with socket.socket(socket.AF_UNIX) as reader:
        reader.connect(str(path))
        reader.setblocking(False)
        await until(lambda: one._way._readers)
        batch = records(1, 2000)
        write = asyncio.ensure_future(one.write(batch))
        await until(lambda: any(each.waiting > 1 << 17 for each in one._way._readers))
        write.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await write
        again = asyncio.ensure_future(one.write(batch))
        loop, got = asyncio.get_running_loop(), b""
        while len(got) < len(lines(batch)):
            got += await asyncio.wait_for(loop.sock_recv(reader, 1 << 20), PATIENCE)
        await again
        assert got == lines(batch)


async def test_in_the_runner_a_receiver_that_dies_misses_nothing(path):
    """A receiver that acknowledges and comes back has every event, in order, whatever it missed."""
    settings = UnixSettings(
        path=path,
        role="connect",
        acknowledge=True,
        start="oldest",
        batch_size=7,
        retry_initial=0.001,
        retry_maximum=0.01,
    )
    journal = MemoryJournal(records(1, 100))
    runner = SinkRunner(
        "out", UnixSink("out", settings), settings, journal, announce=lambda _payload: None
    )
    seen = []
    starting = asyncio.ensure_future(runner.start())
    while not seen or seen[-1] < 100:
        receiver = Receiver(path)
        connection = await receiver.accept()
        connection.settimeout(PATIENCE)
        with connection.makefile("rb") as file:
            for _ in range(20):
                event = json.loads(await asyncio.to_thread(file.readline))
                seen.append(event["seq"])
                connection.send(b"%d\n" % event["seq"])
                if event["seq"] == 100:
                    break
        receiver.close()
    await starting
    await runner.drain(PATIENCE)
    assert seen == list(range(1, 101))  # what it acknowledged does not even come twice
    assert runner.position == 100


async def test_the_receiver_of_the_documentation(path, tmp_path):
    """The example of docs/sinks.md receives and acknowledges, as it stands there."""
    text = (Path(__file__).parents[2] / "docs" / "sinks.md").read_text()
    [source] = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    program = await asyncio.create_subprocess_exec(
        sys.executable,
        "-uc",
        source.replace("/var/run/agent/events.sock", str(path)),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        settings = UnixSettings(path=path, role="connect", acknowledge=True)
        one = UnixSink("out", settings)
        async with asyncio.timeout(PATIENCE):
            while not one._way._socket:
                with contextlib.suppress(RetryableError):
                    await one.open()
                await asyncio.sleep(0.01)
            done = 0
            while done < 3:
                done += await one.write(records(1, 3)[done:])
            got = [await program.stdout.readline() for _ in range(3)]
        assert got == [b"network.dl.link-off en0\n"] * 3
        await one.aclose()
    finally:
        program.kill()
        await program.communicate()


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"path": "/" + "x" * 98}, "too long for a socket; at most 98 bytes"),
        ({"path": "/" + "x" * 103, "role": "connect"}, "at most 103 bytes"),
        ({"role": "listen", "acknowledge": True}, 'need role = "connect"'),
        ({"role": "listen", "socket": "datagram"}, 'need role = "connect"'),
        (
            {"role": "connect", "socket": "datagram", "acknowledge": True},
            'acknowledge needs socket = "stream"',
        ),
        ({"mode": "rw"}, "pattern"),
        ({"reader_buffer": "1KiB"}, "greater than or equal"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, told):
    """What does not fit together is an error of the configuration."""
    with pytest.raises(ValidationError, match=told):
        UnixSettings(**settings)


def test_a_relative_path_is_below_the_state_folder():
    """As with every file of the daemon."""
    settings = UnixSettings.model_validate({}, context={"state_dir": Path("/var/lib/kevmond")})
    assert settings.path == Path("/var/lib/kevmond/events.sock")

"""The log sink: lines to a stream, and what becomes of streams."""

import asyncio
import contextlib
import errno
import json
import os
import pty
import subprocess
import sys

import pytest
import structlog

from kevmond.errors import PermanentError, RetryableError
from kevmond.sinks.log import EventLogger, Lines, LogSink, event_logger
from kevmond.sinks.testing import odd_records, record, records


@pytest.fixture
async def sink():
    """Return a function that makes and opens a sink on a descriptor; all are closed afterwards."""
    async with contextlib.AsyncExitStack() as stack:

        async def make(fd, **settings):
            made = LogSink("log", LogSink.Settings(**settings), fd=fd)
            stack.push_async_callback(made.aclose)
            await made.open()
            return made

        yield make


@pytest.fixture
def pipe():
    """Return the two ends of a pipe."""
    ends = os.pipe()
    yield ends
    for end in ends:
        with contextlib.suppress(OSError):
            os.close(end)


@pytest.fixture
def terminal():
    """Return the two ends of a pseudo terminal."""
    ends = pty.openpty()
    yield ends
    for end in ends:
        os.close(end)


async def test_console_lines_go_out_in_one_write(sink, pipe):
    """A batch becomes as many lines, ended by newlines."""
    await (await sink(pipe[1])).write(records(1, 3))
    text = os.read(pipe[0], 1 << 16).decode()
    assert text.count("\n") == 3
    assert text.endswith("\n")
    assert "network.dl.link-off" in text
    assert "\x1b" not in text


async def test_json_is_the_events_own(sink, pipe):
    """In JSON a line is exactly the event's stable JSON, encoded no second time."""
    batch = [*records(1, 2), *odd_records(3)]
    await (await sink(pipe[1], format="json")).write(batch)
    assert os.read(pipe[0], 1 << 16) == b"".join(one.line + b"\n" for one in batch)


async def test_stderr_and_stdout(capfd):
    """Without a descriptor the process's own streams are used."""
    for output in ("stderr", "stdout"):
        made = LogSink("log", LogSink.Settings(output=output, format="json"))
        await made.open()
        await made.write(records(1, 1))
        await made.aclose()
    out, err = capfd.readouterr()
    assert json.loads(out) == json.loads(err) == json.loads(record(1).line)


async def test_colour_on_a_terminal(sink, terminal, monkeypatch):
    """On a terminal lines are coloured and times are short."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    await (await sink(terminal[1])).write(records(1, 1))
    line = os.read(terminal[0], 4096).decode()
    assert "\x1b[32mnotice" in line
    assert "2026" not in line


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
async def test_no_colour_when_the_environment_says_so(sink, terminal, monkeypatch, name, value):
    """NO_COLOR and a dumb terminal are honoured."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv(name, value)
    await (await sink(terminal[1])).write(records(1, 1))
    assert b"\x1b" not in os.read(terminal[0], 4096)


@pytest.mark.parametrize(("colour", "coloured"), [("always", True), ("never", False)])
async def test_colour_is_a_setting(sink, pipe, terminal, colour, coloured):
    """The setting wins over what the stream is."""
    for writing, reading in ((pipe[1], pipe[0]), (terminal[1], terminal[0])):
        await (await sink(writing, colour=colour)).write(records(1, 1))
        assert (b"\x1b" in os.read(reading, 4096)) is coloured


async def test_reader_that_went_away_is_permanent(sink, pipe):
    """A broken pipe gives the batch up and says so; the daemon lives on."""
    made = await sink(pipe[1])
    os.close(pipe[0])
    for seq in (1, 2):
        with pytest.raises(PermanentError, match=r"stderr: EPIPE .*nobody reads it any more"):
            await made.write(records(seq, seq))


async def test_stream_closed_at_the_start_is_permanent(monkeypatch):
    """A daemon started without stderr does not write into whatever has its number."""
    monkeypatch.setattr(sys, "__stderr__", None)
    with pytest.raises(PermanentError, match="stderr is closed"):
        await LogSink("log", LogSink.Settings()).open()


def test_daemon_without_stderr_survives():
    """With descriptor 2 closed by the shell the sink fails at opening, and nothing crashes."""
    program = """
import asyncio
from kevmond.errors import PermanentError
from kevmond.sinks.log import LogSink

async def main():
    sink = LogSink("log", LogSink.Settings())
    try:
        await sink.open()
    except PermanentError as error:
        print(error)
    await sink.aclose()

asyncio.run(main())
"""
    done = subprocess.run(
        ["sh", "-c", 'exec "$0" -c "$1" 2>&-', sys.executable, program],
        timeout=60,
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    assert done.stdout == "stderr is closed; give the log sink another output\n"


async def test_full_disk_behind_a_redirection_is_retried_in_the_middle_of_a_line(sink, monkeypatch):
    """What was written before an error is not written again when the batch is offered again."""
    out = bytearray()
    errors = [OSError(errno.ENOSPC, "No space left on device")]

    def write(fd, data):
        if out and errors:
            raise errors.pop()
        taken = bytes(data)[:100]
        out.extend(taken)
        return len(taken)

    made = await sink(1, format="json")
    monkeypatch.setattr(os, "write", write)
    batch = records(1, 3)
    with pytest.raises(RetryableError, match="stderr: ENOSPC"):
        await made.write(batch)
    await made.write(batch)
    monkeypatch.undo()
    assert bytes(out) == b"".join(one.line + b"\n" for one in batch)


async def test_stream_that_does_not_block_is_waited_for(sink, pipe):
    """A descriptor that somebody made non-blocking loses nothing when its reader is slow."""
    os.set_blocking(pipe[1], False)
    made = await sink(pipe[1], format="json")
    batch = records(1, 300)
    wanted = b"".join(one.line + b"\n" for one in batch)
    writing = asyncio.ensure_future(made.write(batch))

    def read():
        found = b""
        while len(found) < len(wanted):
            found += os.read(pipe[0], 1 << 16)
        return found

    assert await asyncio.to_thread(read) == wanted
    await writing


async def test_stopped_terminal_holds_up_nobody(sink, pipe):
    """While nobody reads the pipe the loop goes on, and a cancelled write does not stay in it."""
    made = await sink(pipe[1], format="json")
    writing = asyncio.ensure_future(made.write(records(1, 500)))
    for _ in range(100):
        await asyncio.sleep(0)
    assert not writing.done()
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    os.close(pipe[0])


def test_events_are_structlog_entries():
    """Each event is one entry of a structlog logger, at the event's severity."""
    seen = []

    def look(logger, method, entry):
        seen.append((method, entry["event"], entry["record"].seq))
        raise structlog.DropEvent

    logger = structlog.wrap_logger(Lines(), processors=[look], wrapper_class=EventLogger)
    logger.event(record(7))
    assert seen == [("notice", "network.dl.link-off", 7)]


def test_final_processor_renders():
    """What the final processor returns is what the batch is made of."""
    lines = Lines()
    logger = event_logger(lines, lambda one: one.line)
    batch = odd_records(1)
    for one in batch:
        logger.event(one)
    assert lines.collected == [one.line for one in batch]

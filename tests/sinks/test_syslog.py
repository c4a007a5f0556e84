"""Messages to syslog: their form, and a daemon that comes and goes."""

import asyncio
import contextlib
import errno
import json
import os
import re
import socket
import sys
import tempfile
from pathlib import Path

import pytest

from kevmond.errors import RetryableError
from kevmond.events import own
from kevmond.events.event import Severity
from kevmond.sinks.log import LogSink
from kevmond.sinks.syslog import default_path
from kevmond.sinks.testing import CONTEXT, START_NS, record, records


class Daemon:
    """A syslog daemon that can be stopped and started."""

    def __init__(self, path):
        self.path = path
        self.start()

    def start(self):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(self.path))
        self.socket.settimeout(30)

    def stop(self):
        self.socket.close()
        self.path.unlink()

    def receive(self):
        return self.socket.recv(1 << 17)


@pytest.fixture
def daemon():
    """Return a daemon that listens; its socket's path is short, as macOS takes 103 bytes."""
    with tempfile.TemporaryDirectory(prefix="kevmond-", dir="/tmp") as folder:
        made = Daemon(Path(folder) / "log")
        yield made
        made.socket.close()


@pytest.fixture
async def sink(daemon):
    """Return a function that makes and opens a sink to the daemon; all are closed afterwards."""
    async with contextlib.AsyncExitStack() as stack:

        async def make(**settings):
            settings = {"output": "syslog", "syslog_path": daemon.path, **settings}
            made = LogSink("log", LogSink.Settings(**settings))
            stack.push_async_callback(made.aclose)
            await made.open()
            return made

        yield make


async def test_rfc3164_message(sink, daemon, monkeypatch):
    """The old form: priority, local time, tag and pid, then the readable line."""
    await (await sink()).write(records(0, 0))
    message = daemon.receive().decode()
    assert re.fullmatch(
        rf"<29>Nov 2[345] \d\d:\d\d:31 kevmond\[{os.getpid()}\]: "
        r"notice   network\.dl\.link-off         en0",
        message,
    )


async def test_rfc5424_message(sink, daemon):
    """The new form: version, UTC time with fraction, host, tag, pid, type; then the JSON."""
    await (await sink(syslog_format="rfc5424", format="json")).write(records(0, 0))
    header, brace, rest = daemon.receive().decode().partition("{")
    time = "2026-11-24T08:09:31.123456Z"
    assert header == f"<29>1 {time} mac.example kevmond {os.getpid()} network.dl.link-off - "
    assert json.loads(brace + rest) == json.loads(record(0).line)


@pytest.mark.parametrize(
    ("severity", "level"),
    list(zip(Severity, (7, 6, 5, 4, 3, 2), strict=True)),
)
async def test_priority_is_facility_and_severity(sink, daemon, severity, level):
    """The number in front is facility * 8 + level (RFC 5424, section 6.2.1)."""
    payload = own.Loss(lost=1, total=1, source="tail")
    one = own.own_record(CONTEXT, payload, seq=1, wall_ns=START_NS, severity=severity)
    await (await sink(syslog_facility="local3")).write([one])
    assert daemon.receive().startswith(b"<%d>" % (19 * 8 + level))


async def test_daemon_that_was_started_anew_is_found_again(sink, daemon):
    """After a restart of the daemon the next message arrives without a failed batch."""
    made = await sink()
    await made.write(records(1, 1))
    daemon.receive()
    daemon.stop()
    daemon.start()
    await made.write(records(2, 2))
    assert b"link-off" in daemon.receive()


async def test_daemon_that_is_down_is_told_and_the_rest_comes_later(sink, daemon):
    """While nobody listens the batch is refused, with the socket's path; then it goes on."""
    made = await sink(format="json")
    await made.write(records(1, 1))
    daemon.receive()
    daemon.stop()
    for _ in range(2):
        with pytest.raises(RetryableError, match=rf"{daemon.path}: ENOENT .*syslog_path"):
            await made.write(records(2, 3))
    daemon.start()
    await made.write(records(2, 3))
    found = [json.loads(daemon.receive().partition(b": ")[2])["seq"] for _ in range(2)]
    assert found == [2, 3]


async def test_batch_offered_again_goes_on_where_it_stopped(sink, daemon):
    """Messages of a batch that went out are not sent again with it."""
    made = await sink(format="json")
    await made.write(records(1, 2))
    await made.write(records(1, 3))
    found = [json.loads(daemon.receive().partition(b": ")[2])["seq"] for _ in range(3)]
    assert found == [1, 2, 3]


async def test_nobody_listens_at_the_start(tmp_path):
    """Opening says which socket nobody listens at."""
    settings = LogSink.Settings(output="syslog", syslog_path=tmp_path / "none")
    with pytest.raises(RetryableError, match=r"/none: ENOENT"):
        await LogSink("log", settings).open()


@pytest.mark.parametrize("limit", [2048, 700, 200])
async def test_message_too_long_for_the_system_is_sent_shorter(sink, daemon, monkeypatch, limit):
    """Where the system takes only short datagrams the raw bytes are left out, or all is cut."""
    made = await sink(format="json")
    send = socket.socket.send

    def limited(self, data):
        if len(data) > limit:
            raise OSError(errno.EMSGSIZE, "Message too long")
        return send(self, data)

    class Limited(socket.socket):
        send = limited

    monkeypatch.setattr(socket, "socket", Limited)
    await made.reopen()
    message = bytes.fromhex("e0000000e9030000070000000700000004000000080000") + bytes(201)
    await made.write([record(1, raw=message), record(2)])
    first = daemon.receive()
    assert len(first) <= limit
    if limit == 2048:
        assert json.loads(first.partition(b": ")[2])["raw"]
    elif limit == 700:
        short = json.loads(first.partition(b": ")[2])
        assert (short["raw"], short["extra"], short["seq"]) == (None, None, 1)
    assert daemon.receive()


async def test_reader_that_is_stuck_is_told(sink, monkeypatch):
    """A daemon that takes nothing more does not hold the sink for ever."""
    monkeypatch.setattr("kevmond.sinks.syslog._TIMEOUT", 0.01)
    made = await sink()
    with pytest.raises(RetryableError, match=r"syslog has taken nothing for 0\.01 s"):
        await asyncio.wait_for(made.write(records(1, 2000)), 30)


def test_default_socket_is_the_systems():
    """Syslog sockets are at different places on macOS and Linux."""
    wanted = "/var/run/syslog" if sys.platform == "darwin" else "/dev/log"
    assert str(default_path()) == wanted

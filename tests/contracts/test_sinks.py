"""Every registered sink keeps the contract; a new one is in this test by being registered."""

import socket
import tempfile
import threading
from pathlib import Path

import pytest

from kevmond.sinks import contract, registry


@pytest.fixture
def syslog():
    """Return the path of a syslog daemon that throws away what it reads."""
    with (
        tempfile.TemporaryDirectory(prefix="kevmond-", dir="/tmp") as folder,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as daemon,
    ):
        path = Path(folder) / "log"
        daemon.bind(str(path))
        reading = threading.Thread(target=_read_until_empty, args=(daemon,))
        reading.start()
        yield path
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
            last.sendto(b"", str(path))
        reading.join()


def _read_until_empty(daemon):
    while daemon.recv(1 << 16):
        pass


MADE = {
    "jsonl": lambda request: {
        "path": request.getfixturevalue("tmp_path") / "events.jsonl",
        "max_bytes": 4096,
        "total_bytes": 1 << 20,
        "keep": 100,
    },
    "log": lambda request: {"output": "stderr", "format": "console"},
    "log to syslog": lambda request: {
        "output": "syslog",
        "format": "json",
        "syslog_path": request.getfixturevalue("syslog"),
    },
}


def test_every_sink_is_here():
    """A sink that is registered but has no settings to be tested with fails here."""
    assert {name.split()[0] for name in MADE} == set(registry.OWN)


@pytest.mark.parametrize("check", contract.CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", sorted(MADE))
async def test_contract(name, check, request, capfd):
    """The sink does what the check says."""
    sink = registry.load(name.split()[0])
    settings = sink.Settings(**MADE[name](request))
    await check(lambda: sink("test", settings))

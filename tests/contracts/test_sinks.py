"""Every registered sink keeps the contract; a new one is in this test by being registered."""

import socket
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
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


class Taking(BaseHTTPRequestHandler):
    """Takes every request."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *args):
        pass


@pytest.fixture
def receiver():
    """Return settings for a receiver of webhooks that takes everything."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Taking) as server:
        serving = threading.Thread(target=server.serve_forever, args=(0.05,))
        serving.start()
        yield {
            "url": f"http://127.0.0.1:{server.server_port}/",
            "allow_http": True,
            "allow_private": True,
        }
        server.shutdown()
        serving.join()


@pytest.fixture
def short():
    """Return a short path for a socket: macOS takes 103 bytes."""
    with tempfile.TemporaryDirectory(prefix="kevmond-", dir="/tmp") as folder:
        yield Path(folder) / "s"


@pytest.fixture
def stream(short):
    """Return the path of a stream socket whose receiver throws away what it reads."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(short))
        listener.listen()
        receiving = threading.Thread(target=_receive, args=(listener,))
        receiving.start()
        yield short
        with socket.socket(socket.AF_UNIX) as last:
            last.connect(str(short))
            last.send(b"the end")
        receiving.join()


def _receive(listener):
    """Serve one connection after the other, as the sink makes them."""
    over = False
    while not over:
        connection, _ = listener.accept()
        with connection:
            while said := connection.recv(1 << 16):
                over = over or said == b"the end"


MADE = {
    "exec": lambda request: {"command": ("cat",), "concurrency": 2},
    "exec per batch": lambda request: {"command": ("cat",), "per": "batch"},
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
    "unix": lambda request: {"path": request.getfixturevalue("short")},
    "unix to a stream": lambda request: {
        "path": request.getfixturevalue("stream"),
        "role": "connect",
    },
    "unix to datagrams": lambda request: {
        "path": request.getfixturevalue("syslog"),
        "role": "connect",
        "socket": "datagram",
    },
    "webhook": lambda request: request.getfixturevalue("receiver"),
    "webhook in batches": lambda request: {
        **request.getfixturevalue("receiver"),
        "format": "cloudevents-batch",
        "batch_size": 50,
        "gzip": True,
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

"""The API of a running daemon: its listeners over reloads, and events whatever happens to it."""

import contextlib
import http.client
import json
import signal
import socket
import time

import pytest

from kevmond.api.client import ApiClient, ApiUnreachable
from kevmond.api.listener import SOCKET

LINK_ON = (1, 1, 2, 13, b"\x02\0\0\0\0\0\0\0en".ljust(24, b"\0"))
BASE = """\
[kernel]
source = "simulated:{kernel}"
[capture]
snapshot = false
[sinks.jsonl]
type = "jsonl"
path = "events.jsonl"
"""


def free_port():
    """Return a port that nobody has at the moment."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        return found.getsockname()[1]


def asker(path):
    """Return what asks a daemon, once that listens: its first event is on the disk before."""
    client = ApiClient(path, timeout=30)

    def ask(*args, **kwargs):
        end = time.monotonic() + 30
        while True:
            try:
                return client.ask(*args, **kwargs)
            except ApiUnreachable:
                assert time.monotonic() < end, path
                time.sleep(0.01)

    return ask


def get(port, path, token=None):
    """Return status and body of an answer at a port of loopback."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    with contextlib.closing(connection):
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read()


@pytest.fixture
def running(place, daemon, kernel, tmp_path):
    """Run a daemon with a configuration file; it can be rewritten, and the daemon asked."""
    path = tmp_path / "kevmond.toml"

    def start(more=""):
        path.write_text(BASE.format(kernel=kernel.path) + more)
        started = daemon("-c", str(path), state=place)
        started.wait_for("kevmond.start")
        started.ask = asker(place / SOCKET)
        started.rewrite = lambda more: path.write_text(BASE.format(kernel=kernel.path) + more)
        return started

    return start


def test_page_and_metrics_come_and_go_with_reloads(running):
    """What is listened at is what the configuration says, as of the last reload."""
    started = running()
    page, metrics = free_port(), free_port()
    started.rewrite(f"[api.http]\nenabled = true\nport = {page}\n[api.metrics]\nport = {metrics}\n")
    report = started.ask("POST", "reload")
    assert (report["state"], report["applied"]) == ("applied", ["api.http", "api.metrics"])
    assert (report["needs_restart"], report["problems"]) == ([], [])
    token = started.ask("POST", "page")["url"].partition("#token=")[2]
    assert get(page, "/v1/")[0] == 401
    assert json.loads(get(page, "/v1/", token)[1])["pid"] == started.process.pid
    status, text = get(metrics, "/metrics")
    assert (status, b"\nkevmond_" in text) == (200, True)
    started.rewrite("")
    assert started.ask("POST", "reload")["applied"] == ["api.http", "api.metrics"]
    for port in (page, metrics):
        with pytest.raises(ConnectionRefusedError):
            get(port, "/metrics")


def test_port_that_is_taken_is_a_problem_of_the_reload(running):
    """The report names the setting; the daemon goes on, and the next reload tries again."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        started = running(f"[api.http]\nenabled = true\nport = {port}\n")
        (problem,) = started.ask("POST", "reload")["problems"]
        assert problem.startswith(f"api.http.port: another program listens at port {port}")
    assert started.ask("POST", "reload")["problems"] == []
    assert get(port, "/")[0] == 200


def test_daemon_without_an_api_captures_all_the_same(running, kernel, place):
    """Its socket's place is taken by somebody's file: that is said, and nothing is missed."""
    place.mkdir(mode=0o700)
    (place / SOCKET).write_text("precious")
    started = running()
    kernel.post(*LINK_ON)
    started.wait_for("network.dl.link-on")
    assert started.stop() == 0
    assert "is there and is no socket; move it away" in started.errors.read_text()
    assert (place / SOCKET).read_text() == "precious"


def test_abuse_of_the_api_is_no_trouble_of_the_events(running, kernel, place):
    """Hundreds of callers with garbage, half requests and no will to read cost no event."""
    started = running()
    port = int(started.ask("POST", "page")["url"].split(":")[2].partition("/")[0])
    crowd = []
    for number in range(200):
        kernel.post(*LINK_ON)
        one = socket.socket(socket.AF_UNIX)
        one.connect(str(place / SOCKET))
        two = socket.create_connection(("127.0.0.1", port))
        crowd += [one, two]
        with contextlib.suppress(OSError):
            one.send(
                [b"\x16\x03\x01\r\n\r\n", b"GET /v1/ HT", b"", b"GET /" + b"x" * 9000][number % 4]
            )
            two.send(b"GET /v1/webhooks HTTP/1.1\r\nHost: evil.example\r\n\r\n")
    assert len(started.wait_for("network.dl.link-on", 200)) == 200
    for each in crowd:
        each.close()
    assert started.ask("GET")["name"] == "kevmond"
    assert started.stop() == 0
    assert len(started.errors.read_text().splitlines()) < 20


def test_killed_daemon_s_socket_is_taken_over(running, place):
    """After kill -9 the next run is asked at the same place."""
    first = running()
    assert first.ask("GET")["pid"] == first.process.pid
    first.stop(signal.SIGKILL)
    assert (place / SOCKET).exists()
    second = running()
    second.wait_for("kevmond.start", 2)
    assert second.ask("GET")["pid"] == second.process.pid

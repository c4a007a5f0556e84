"""The API's server: who is let in, what is loaded when, and what each route asks for."""

import asyncio
import contextlib
import json
import os
import subprocess
import sys

import pytest

from kevmond.api import answers
from kevmond.api import server as module
from kevmond.api.client import ApiRefusal, ApiUnreachable
from kevmond.api.peer import Peer
from kevmond.errors import ConfigError
from kevmond.sinks.replay import Wanted
from kevmond.sinks.webhookbook import ConflictError, UnknownWebhookError

IDLE = """
import asyncio, sys, uvloop
from pathlib import Path
from kevmond.api.server import ApiServer
async def main():
    server = ApiServer(Path(sys.argv[1]), None, log=None)
    await server.start()
    print("aiohttp" in sys.modules, server.loaded)
    await server.aclose()
uvloop.run(main())
"""


async def until(holds):
    """Wait for what the server does by itself."""
    async with asyncio.timeout(30):
        while not holds():  # noqa: ASYNC110 - connections tell nobody that they end
            await asyncio.sleep(0.01)


async def closed(writer):
    """Close a connection, whatever the server made of it."""
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


def test_nobody_asking_costs_no_import_of_http(folder):
    """A daemon that is not asked anything never loads aiohttp."""
    found = subprocess.run(
        [sys.executable, "-c", IDLE, str(folder / "s")], capture_output=True, text=True, check=True
    )
    assert found.stdout.split() == ["False", "False"]


async def test_first_caller_loads_http_and_is_answered(ask, server):
    """Whoever connects first is served like all others."""
    assert not server.loaded
    told = await ask("GET")
    assert (told["name"], told["pid"]) == ("kevmond", os.getpid())
    assert server.loaded


async def test_callers_at_once_are_all_answered(ask):
    """Callers that come while HTTP is being loaded wait for it."""
    found = await asyncio.gather(*(ask("GET", "webhooks") for _ in range(8)))
    assert found == [{"webhooks": [{"name": "wh-1"}]}] * 8


async def test_another_user_is_refused_and_said_once(ask, server, log, monkeypatch):
    """The connection is closed unread; the log names the user the first time only."""
    monkeypatch.setattr(module, "peer_of", lambda connection: Peer(4242, 99))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    for _ in range(2):
        with pytest.raises(ApiUnreachable, match="belong to another user"):
            await ask("GET")
    assert [facts for _, facts in log.lines] == [{"uid": 4242, "pid": 99}]
    assert not server.loaded


async def test_more_callers_than_allowed_are_turned_away(ask, folder, server, log, monkeypatch):
    """Connections are bounded, which is said once; those that are there are not disturbed."""
    monkeypatch.setattr(module, "MOST", 1)
    reader, writer = await asyncio.open_unix_connection(str(folder / "kevmond.sock"))
    question = b"GET /v1/ HTTP/1.1\r\nHost: x\r\n\r\n"
    for _ in range(2):
        writer.write(question)
        assert b"200 OK" in await reader.readuntil(b"}")
        with pytest.raises(ApiUnreachable, match="has too many callers"):
            await ask("GET")
    assert [facts for _, facts in log.lines] == [{"most": 1}]
    writer.close()
    await writer.wait_closed()
    await until(lambda: not server._runner.server.connections)
    assert (await ask("GET"))["name"] == "kevmond"


@pytest.mark.parametrize("begun", [b"", b"GET /v1/ HT"])
async def test_caller_without_a_request_is_closed(ask, folder, server, monkeypatch, begun):
    """A connection that asks nothing does not keep its place; one that did is not cut off."""
    monkeypatch.setattr(module, "READ", 0.05)
    monkeypatch.setattr(module, "KEEP_ALIVE", 0.05)
    reader, writer = await asyncio.open_unix_connection(str(folder / "kevmond.sock"))
    writer.write(begun)
    async with asyncio.timeout(30):
        assert await reader.read() == b""
    await closed(writer)
    reader, writer = await asyncio.open_unix_connection(str(folder / "kevmond.sock"))
    writer.write(b"GET /v1/ HTTP/1.1\r\nHost: x\r\n\r\nGET /v1/ HT")
    async with asyncio.timeout(30):
        answer = await reader.read()
    assert answer.count(b"200 OK") == 1
    await closed(writer)
    await until(lambda: not server._silent)


async def test_slow_body_is_refused(folder, server, subscriptions, monkeypatch):
    """A request that does not come to its end is answered, and its connection closed."""
    monkeypatch.setattr(answers, "READ", 0.05)
    monkeypatch.setattr(module, "LINGER", 0.05)
    reader, writer = await asyncio.open_unix_connection(str(folder / "kevmond.sock"))
    writer.write(b"POST /v1/webhooks HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{")
    async with asyncio.timeout(30):
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    assert b" 408 " in head
    assert "within" in json.loads(body)["hint"]
    await closed(writer)


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01 this is no HTTP\r\n\r\n",
        b"GET /v1/ HTTP/1.1\r\nno header\r\n\r\n",
        b"POST /v1/webhooks HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
async def test_malformed_request_is_no_trouble_of_the_daemon_s(folder, server, log, capfd, garbage):
    """It is answered with a 4xx; the log has at most a line at debug, stderr nothing."""
    reader, writer = await asyncio.open_unix_connection(str(folder / "kevmond.sock"))
    writer.write(garbage)
    async with asyncio.timeout(30):
        answer = await reader.read()
    assert answer.startswith(b"HTTP/1."), answer
    assert b" 4" in answer.splitlines()[0]
    assert log.levels in ([], ["debug"])
    assert not any("\n" in facts["error"] for _, facts in log.lines)
    assert capfd.readouterr().err == ""
    await closed(writer)


async def test_caller_that_hangs_up_is_no_bug(folder, server, log):
    """Half a body and no more is a line at debug."""
    _, writer = await asyncio.open_unix_connection(str(folder / "kevmond.sock"))
    writer.write(b"POST /v1/webhooks HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{")
    await until(lambda: server.loaded and server._runner.server.requests_count)
    await closed(writer)
    await until(lambda: log.lines)
    assert log.lines == [("a caller of the API hung up", {"path": "/v1/webhooks"})]
    assert log.levels == ["debug"]


async def test_failing_accept_is_said_and_tried_again(ask, server, log, monkeypatch):
    """Without a free descriptor the loop does not spin, and callers are served later."""
    monkeypatch.setattr(module, "PAUSE", 0.01)
    real = server._listener.socket

    class Full:
        def fileno(self):
            return real.fileno()

        def accept(self):
            server._listener.socket = real
            raise OSError(24, "Too many open files")

    server._listener.socket = Full()
    assert (await ask("GET"))["name"] == "kevmond"
    assert log.lines == [("the API cannot accept", {"error": "EMFILE", "again_in": 0.01})]


async def test_close_ends_what_hangs(ask, server, subscriptions, monkeypatch):
    """A request that does not end holds the daemon's stop up for a second at most."""
    monkeypatch.setattr(module, "FINISH", 0.05)
    subscriptions.gate = asyncio.Event()
    hanging = asyncio.ensure_future(ask("POST", "webhooks", "a", "test"))
    await until(lambda: server.loaded and server._runner.server.connections)
    async with asyncio.timeout(10):
        await server.aclose()
    with pytest.raises(ApiUnreachable):
        await hanging


ROUTES = [
    (("GET", "webhooks", "a"), {}, ("show", ("a",), {})),
    (("DELETE", "webhooks", "a"), {}, ("remove", ("a",), {"force": False})),
    (("DELETE", "webhooks", "a"), {"query": {"force": 1}}, ("remove", ("a",), {"force": True})),
    (("POST", "webhooks", "a", "test"), {}, ("test", ("a",), {})),
    (("POST", "webhooks", "a", "pause"), {}, ("pause", ("a",), {})),
    (("POST", "webhooks", "a", "resume"), {}, ("resume", ("a",), {})),
    (("POST", "webhooks", "a", "disable"), {}, ("disable", ("a", None), {})),
    (
        ("POST", "webhooks", "a", "disable"),
        {"body": {"reason": "why"}},
        ("disable", ("a", "why"), {}),
    ),
    (
        ("POST", "webhooks", "a", "rotate-secret"),
        {"body": {"overlap": "2h"}},
        ("rotate_secret", ("a",), {"secret": None, "overlap": 7200.0}),
    ),
    (
        ("POST", "webhooks"),
        {"body": {"settings": {"url": "https://x.example/"}, "generate": True}},
        (
            "add",
            ({"url": "https://x.example/"},),
            {"name": None, "secret": None, "generate": True},
        ),
    ),
    (
        ("GET", "webhooks", "a b/c", "failures"),
        {"query": {"after": 3, "limit": 5000}},
        ("failures", ("a b/c",), {"after": 3, "limit": 1000}),
    ),
    (
        ("POST", "webhooks", "a", "replay"),
        {"body": {"event_id": "17"}},
        ("replay", ("a", Wanted(event_id="17")), {}),
    ),
    (
        ("POST", "webhooks", "a", "replay"),
        {"body": {"failed": True}},
        ("replay", ("a", Wanted(failed=True)), {}),
    ),
    (
        ("POST", "webhooks", "a", "replay"),
        {"body": {"since": "1970-01-01T00:00:01Z"}},
        ("replay", ("a", Wanted(since_ns=1_000_000_000)), {}),
    ),
]


@pytest.mark.parametrize(("request_", "rest", "call"), ROUTES)
async def test_route_asks_for_what_it_says(ask, subscriptions, request_, rest, call):
    """Every route turns into one call, with its body and query checked."""
    await ask(*request_, **rest)
    assert subscriptions.calls == [call]


WRONG = [
    (("POST", "webhooks"), {"body": {}}, "settings: Field required"),
    (("POST", "webhooks"), {"body": {"settings": {}, "nam": "x"}}, "nam: Extra inputs"),
    (("POST", "webhooks", "a", "replay"), {"body": {}}, "say what to replay"),
    (
        ("POST", "webhooks", "a", "replay"),
        {"body": {"event_id": "1", "failed": True}},
        "say what to replay",
    ),
    (("POST", "webhooks", "a", "replay"), {"body": {"since": "noon"}}, "not a time: 'noon'"),
    (
        ("POST", "webhooks", "a", "replay"),
        {"body": {"since": "1h", "until": "2h"}},
        "since is later than until",
    ),
    (("POST", "webhooks", "a", "rotate-secret"), {"body": {"overlap": "x"}}, "overlap: not a dur"),
    (("GET", "webhooks", "a", "failures"), {"query": {"after": "x"}}, "after: not a number"),
]


@pytest.mark.parametrize(("request_", "rest", "text"), WRONG)
async def test_wrong_request_is_explained(ask, subscriptions, request_, rest, text):
    """What cannot be understood reaches no subscription, and says what is wrong."""
    with pytest.raises(ApiRefusal, match=text) as refusal:
        await ask(*request_, **rest)
    assert refusal.value.status == 422
    assert subscriptions.calls == []


@pytest.mark.parametrize(
    ("error", "status", "hint"),
    [
        (UnknownWebhookError("no", "did you mean b?"), 404, "did you mean b?"),
        (ConflictError("no", "first resume it"), 409, "first resume it"),
        (ConfigError("no"), 422, ""),
        (ZeroDivisionError("no"), 500, "a bug: please report it"),
    ],
)
async def test_refusal_has_its_status_and_its_hint(ask, subscriptions, error, status, hint):
    """Errors travel as JSON with what to do."""
    subscriptions.error = error
    with pytest.raises(ApiRefusal) as refusal:
        await ask("GET", "webhooks", "a")
    assert (refusal.value.status, refusal.value.hint) == (status, hint)


async def test_unknown_route_names_the_daemon_s_version(ask):
    """A command line of another version learns what it talks to."""
    with pytest.raises(ApiRefusal, match="this daemon is kevmond ") as refusal:
        await ask("GET", "nonsense")
    assert refusal.value.status == 404


async def test_long_body_is_refused(ask):
    """Nobody fills the daemon's memory by one request."""
    with pytest.raises(ApiRefusal) as refusal:
        await ask("POST", "webhooks", body={"settings": {"url": "x" * 300_000}})
    assert (refusal.value.status, "256 KiB" in refusal.value.hint) == (413, True)


async def test_wrong_method_names_the_right_ones(ask):
    """A path that is there takes something else, which is said."""
    with pytest.raises(ApiRefusal) as refusal:
        await ask("PUT", "webhooks")
    assert (refusal.value.status, "GET, HEAD, POST" in refusal.value.hint) == (405, True)


async def test_answers_are_json_for_any_http_client(folder, server):
    """The socket speaks plain HTTP/1.1."""
    reader, writer = await asyncio.open_unix_connection(str(folder / "kevmond.sock"))
    writer.write(b"GET /v1/webhooks HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    answer = await reader.read()
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK")
    assert json.loads(body) == {"webhooks": [{"name": "wh-1"}]}
    writer.close()
    await writer.wait_closed()

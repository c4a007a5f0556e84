"""The API's server: who is let in, what is loaded when, and how it ends."""

import asyncio
import json
import os
import socket
import subprocess
import sys
from types import SimpleNamespace

import pytest
from aiohttp import web

from kevmond.api import answers, routes, serving, site
from kevmond.api import server as module
from kevmond.api.answers import CLOSING
from kevmond.api.client import ApiRefusal, ApiUnreachable
from kevmond.api.listener import SOCKET
from kevmond.api.peer import Peer
from kevmond.api.server import ApiServer
from kevmond.api.settings import ApiSettings

LAST = b"GET /v1/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

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


async def test_caller_that_hangs_up_is_no_bug(folder, server, log, until, closed):
    """Half a body and no more is nothing to say: nobody is there to be told."""
    _, writer = await asyncio.open_unix_connection(str(folder / "kevmond.sock"))
    writer.write(b"POST /v1/webhooks HTTP/1.1\r\nHost: kevmond\r\nContent-Length: 9\r\n\r\n{")
    await until(lambda: server.loaded and server._local._runner.server.requests_count)
    await closed(writer)
    await until(lambda: not answers._under_way and not server.facts()["callers"])
    assert log.lines == []


async def test_what_changes_something_goes_on_when_its_caller_hangs_up(
    folder, server, subscriptions, until, closed
):
    """A change is made whole; nobody asks for it twice because it was half there."""
    subscriptions.gate = asyncio.Event()
    _, writer = await asyncio.open_unix_connection(str(folder / "kevmond.sock"))
    writer.write(b"POST /v1/webhooks/a/pause HTTP/1.1\r\nHost: kevmond\r\n\r\n")
    await until(lambda: answers._under_way)
    await closed(writer)
    await until(lambda: not server.facts()["callers"])
    assert subscriptions.calls == []
    subscriptions.gate.set()
    await until(lambda: not answers._under_way)
    assert subscriptions.calls == [("pause", ("a",), {})]


async def test_looking_ends_when_its_caller_hangs_up(folder, server, subscriptions, until, closed):
    """Callers that hang up and come again pile nothing up."""
    entered, ended = asyncio.Event(), asyncio.Event()

    async def failures(*_args, **_options):
        entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    subscriptions.failures = failures
    _, writer = await asyncio.open_unix_connection(str(folder / "kevmond.sock"))
    writer.write(b"GET /v1/webhooks/a/failures HTTP/1.1\r\nHost: kevmond\r\n\r\n")
    await asyncio.wait_for(entered.wait(), 30)
    await closed(writer)
    await asyncio.wait_for(ended.wait(), 30)


async def test_endless_number_is_a_mistake_of_the_caller(ask, server):
    """It is refused as no number, and is no bug of ours."""
    with pytest.raises(ApiRefusal, match="after: not a number") as caught:
        await ask("GET", "webhooks", "a", "failures", query={"after": "9" * 5000})
    assert caught.value.status == 422


async def test_failing_accept_is_said_and_tried_again(ask, server, log, monkeypatch):
    """Without a free descriptor the loop does not spin, and callers are served later."""
    monkeypatch.setattr(site, "PAUSE", 0.01)
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


async def test_close_ends_what_hangs(ask, until, server, subscriptions, monkeypatch):
    """A request that does not end holds the daemon's stop up for a second at most."""
    monkeypatch.setattr(serving, "FINISH", 0.05)
    subscriptions.gate = asyncio.Event()
    hanging = asyncio.ensure_future(ask("POST", "webhooks", "a", "test"))
    await until(lambda: server.loaded and server._local._runner.server.connections)
    async with asyncio.timeout(10):
        await server.aclose()
    with pytest.raises(ApiUnreachable):
        await hanging


async def test_unknown_route_names_the_daemon_s_version(ask):
    """A command line of another version learns what it talks to."""
    with pytest.raises(ApiRefusal, match="this daemon is kevmond ") as refusal:
        await ask("GET", "nonsense")
    assert refusal.value.status == 404


async def test_wrong_method_names_the_right_ones(ask):
    """A path that is there takes something else, which is said."""
    with pytest.raises(ApiRefusal) as refusal:
        await ask("PUT", "webhooks")
    assert (refusal.value.status, "GET, HEAD, POST" in refusal.value.hint) == (405, True)


async def test_wrong_method_has_the_header_for_it(folder, server, exchange):
    """A 405 has to say which methods are allowed (RFC 9110, section 15.5.6)."""
    answer = await exchange(folder / SOCKET, LAST.replace(b"GET", b"PUT"))
    assert b"\r\nAllow: GET, HEAD\r\n" in answer


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


@pytest.fixture
async def handed_over(folder, log):
    """Make a server of a socket that somebody else listens at, and return it with that."""
    with socket.socket(socket.AF_UNIX) as theirs:
        theirs.bind(str(folder / SOCKET))
        theirs.listen()
        server = ApiServer(folder / SOCKET, None, log=log, sockets=[os.dup(theirs.fileno())])
        await server.start()
        yield server, theirs
        await server.aclose()


async def test_socket_that_was_handed_over_is_served(handed_over, folder, exchange, log):
    """Callers at launchd's socket are answered, and no other is made."""
    assert b"kevmond" in await exchange(folder / SOCKET, LAST)
    assert log.lines == []


async def test_caller_from_before_the_start_is_answered(handed_over, folder, exchange):
    """What was connected to while nobody served it is no different."""
    server, theirs = handed_over
    await server.aclose()
    waiting = asyncio.ensure_future(exchange(folder / SOCKET, LAST))
    again = ApiServer(folder / SOCKET, None, log=None, sockets=[os.dup(theirs.fileno())])
    await again.start()
    assert b"kevmond" in await waiting
    await again.aclose()
    assert (folder / SOCKET).exists()


async def test_socket_at_another_path_is_served_beside_our_own(folder, exchange, log):
    """Who looks into the state folder finds the daemon, wherever launchd has its socket."""
    with socket.socket(socket.AF_UNIX) as theirs:
        theirs.bind(str(folder / "other"))
        theirs.listen()
        server = ApiServer(folder / SOCKET, None, log=log, sockets=[os.dup(theirs.fileno())])
        await server.start()
        for name in ("other", SOCKET):
            assert b"kevmond" in await exchange(folder / name, LAST)
        await server.aclose()
    assert [each.name for each in folder.iterdir()] == ["other"]


async def test_what_is_no_socket_is_said_and_ours_is_served(folder, exchange, log):
    """A wrong descriptor is no reason not to be reachable."""
    server = ApiServer(folder / SOCKET, None, log=log, sockets=[os.dup(0)])
    await server.start()
    assert [text for text, _ in log.lines] == ["the API's socket is not taken over"]
    assert b"kevmond" in await exchange(folder / SOCKET, LAST)
    await server.aclose()


async def test_place_that_is_taken_is_said_and_tried_again_at_a_reload(
    ask, server, folder, exchange, log
):
    """A second daemon at one socket goes on without, until the first has gone."""
    second = ApiServer(folder / SOCKET, None, log=log)
    await second.start()
    ((text, facts),) = log.lines
    assert text == "the API is not served as it should be"
    assert "another daemon answers there" in facts["error"]
    assert second.facts()["socket"] is None
    assert (await ask("GET"))["name"] == "kevmond"
    await server.aclose()
    assert await second.apply(ApiSettings()) == []
    assert (await ask("GET"))["name"] == "kevmond"
    await second.aclose()


async def test_socket_of_a_dead_daemon_is_served_again(folder, exchange, log):
    """What a killed run left behind is no obstacle for the next."""
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(folder / SOCKET))
        dead.listen()
    server = ApiServer(folder / SOCKET, None, log=log)
    await server.start()
    assert b"kevmond" in await exchange(folder / SOCKET, LAST)
    await server.aclose()
    assert log.lines == []


async def test_streams_learn_of_the_end_before_anybody_waits(folder, log, closed, monkeypatch):
    """An answer without an end watches for the server's, and has its last word."""

    async def stream(request):
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"hello\n")
        await request.app[CLOSING].wait()
        await response.write(b"bye\n")
        return response

    family = SimpleNamespace(routes=lambda: [web.get("/v1/stream", stream)])
    monkeypatch.setattr(routes, "FAMILIES", (family,))
    monkeypatch.setattr(serving, "FINISH", 30.0)
    server = ApiServer(folder / SOCKET, None, log=log)
    await server.start()
    callers = [await asyncio.open_unix_connection(str(folder / SOCKET)) for _ in range(50)]
    for reader, writer in callers:
        writer.write(b"GET /v1/stream HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"hello\n")
    async with asyncio.timeout(20):
        await server.aclose()
        for reader, writer in callers:
            assert b"bye\n" in await reader.read()
            await closed(writer)


async def test_application_that_cannot_be_loaded_is_said_once(
    ask, server, folder, log, monkeypatch
):
    """A broken installation closes callers, and nothing else happens; a later one is answered."""
    real = server._maker

    def broken():
        raise ImportError("no module named aiohttp")

    monkeypatch.setattr(server, "_maker", broken)
    for _ in range(2):
        with pytest.raises(ApiUnreachable):
            await ask("GET")
    error = "ImportError: no module named aiohttp"
    assert log.lines == [("the API cannot be loaded", {"error": error})]
    monkeypatch.setattr(server, "_maker", real)
    assert (await ask("GET"))["name"] == "kevmond"


async def test_facts_tell_where_it_listens_and_who_calls(ask, server, folder):
    """The status has figures of the API itself."""
    await ask("GET")
    facts = server.facts()
    assert facts.pop("requests") == 1
    assert facts.pop("callers") in {0, 1}
    assert facts == {
        "socket": str(folder / SOCKET),
        "group": None,
        "page_port": None,
        "metrics_port": None,
        "most_callers": 128,
        "refused": {},
        "problems": [],
    }


async def test_answer_that_fails_midway_does_not_look_whole(folder, log, exchange, monkeypatch):
    """The connection ends without the end of the answer, and the daemon's log says why."""

    async def half(request):
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"half")
        raise ZeroDivisionError("no")

    family = SimpleNamespace(routes=lambda: [web.get("/v1/", half)])
    monkeypatch.setattr(routes, "FAMILIES", ())
    monkeypatch.setattr(routes, "routes", family.routes)
    server = ApiServer(folder / SOCKET, None, log=log)
    await server.start()
    answer = await exchange(folder / SOCKET, LAST)
    assert b"half" in answer
    assert b"error" not in answer
    assert not answer.endswith(b"0\r\n\r\n")
    assert log.levels[0] == "error"
    assert set(log.levels[1:]) <= {"debug"}
    await server.aclose()

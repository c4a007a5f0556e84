"""Requests that are too many, too slow, too long or no requests: refused, and said once."""

import asyncio
import json
from types import SimpleNamespace

import pytest

from kevmond.api import answers, ports, serving, site
from kevmond.api.client import ApiRefusal, ApiUnreachable
from kevmond.api.listener import SOCKET
from kevmond.api.refusals import AGAIN, TOO_LONG, TOO_SLOW, Refusals

QUESTION = b"GET /v1/ HTTP/1.1\r\nHost: x\r\n\r\n"
LAST = b"GET /v1/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


def test_refusals_are_said_ever_more_rarely(log):
    """The first of a kind is said, then one when their number has doubled, with the number."""
    refusals = Refusals(log)
    for number in range(5 * AGAIN):
        refusals.note("no", path=number)
    refusals.note("no", "somebody else", path="x")
    assert log.lines == [
        ("no", {"path": 0}),
        ("no", {"path": AGAIN - 1, "times": AGAIN}),
        ("no", {"path": 2 * AGAIN - 1, "times": 2 * AGAIN}),
        ("no", {"path": 4 * AGAIN - 1, "times": 4 * AGAIN}),
        ("no", {"path": "x"}),
    ]
    assert refusals.counts == {"no": 5 * AGAIN + 1}


def test_refused_callers_are_not_all_remembered(log):
    """However many users knock, what is kept of them is bounded."""
    refusals = Refusals(log)
    for uid in range(10_000):
        refusals.note("no", uid)
    assert len(refusals._counts) <= 65
    assert len(log.lines) < 80
    assert refusals.counts == {"no": 10_000}


def test_what_comes_from_outside_is_tame(log):
    """Nobody writes lines of their own into the log, or colours into a terminal that shows it."""
    Refusals(log).note("no", path="/\n\x1b[31m" + "x" * 1000, uid=3)
    ((_, facts),) = log.lines
    assert facts == {"path": "/??[31m" + "x" * 193, "uid": 3}


async def test_more_callers_than_allowed_are_turned_away(
    ask, folder, server, log, until, closed, monkeypatch
):
    """Connections are bounded, which is said once; those that are there are not disturbed."""
    monkeypatch.setattr(server._local, "_most", 1)
    reader, writer = await asyncio.open_unix_connection(str(folder / SOCKET))
    for _ in range(2):
        writer.write(QUESTION)
        assert b"200 OK" in await reader.readuntil(b"}")
        with pytest.raises(ApiUnreachable, match="has too many callers"):
            await ask("GET")
    assert [facts for _, facts in log.lines] == [{"site": "unix", "most": 1}]
    await closed(writer)
    await until(lambda: not server._local.callers)
    assert (await ask("GET"))["name"] == "kevmond"


async def test_a_hundred_callers_stay_at_once(folder, server, log, closed):
    """There is room for many streams, and for who asks beside them."""
    callers = [await asyncio.open_unix_connection(str(folder / SOCKET)) for _ in range(100)]
    for reader, writer in callers:
        writer.write(QUESTION)
        assert b"200 OK" in await reader.readuntil(b"}")
    assert server.facts()["callers"] == 100
    assert log.lines == []
    for _, writer in callers:
        await closed(writer)


async def test_flood_of_callers_leaves_the_loop_its_turns(server, monkeypatch):
    """However many knock, no more than so many are taken before others have their turn."""
    taken = []
    monkeypatch.setattr(server._local, "_take", taken.append)

    class Endless:
        socket = SimpleNamespace(accept=lambda: (object(), ""))

    server._local._accept(Endless)
    assert len(taken) == site.BURST


async def test_callers_of_one_site_take_no_places_of_another(ask, server, log, exchange, closed):
    """Whoever fills the port on loopback, as any user can, keeps nobody from the Unix socket."""
    server.open_page()
    port = server._page.number
    server._page.site._most = 2
    crowd = [await asyncio.open_connection("127.0.0.1", port) for _ in range(5)]
    assert await exchange(port, LAST) == b""
    assert (await ask("GET"))["name"] == "kevmond"
    assert [facts for _, facts in log.lines] == [{"site": "page", "most": 2}]
    for _, writer in crowd:
        await closed(writer)


async def test_caller_that_asks_nothing_is_closed(folder, server, log, exchange, monkeypatch):
    """A connection on the off chance keeps no place, and is no trouble either."""
    monkeypatch.setattr(site, "READ", 0.05)
    assert await exchange(folder / SOCKET, b"") == b""
    assert log.levels == ["debug"]
    assert not server._local._silent


async def test_slow_headers_are_cut_off(ask, folder, server, log, exchange, monkeypatch):
    """Half a request does not keep its place: it is closed, which is said once."""
    monkeypatch.setattr(site, "READ", 0.05)
    for _ in range(3):
        assert await exchange(folder / SOCKET, b"GET /v1/ HTTP/1.1\r\nHost:") == b""
    assert log.lines == [(TOO_SLOW, {"seconds": 0.05})]
    assert server.facts()["refused"] == {TOO_SLOW: 3}
    assert (await ask("GET"))["name"] == "kevmond"


async def test_caller_that_has_asked_is_not_cut_off(
    folder, server, log, until, exchange, monkeypatch
):
    """A first request, once it is there, is answered; the next has to come in its time as well."""
    monkeypatch.setattr(site, "READ", 5.0)
    monkeypatch.setattr(serving, "KEEP_ALIVE", 0.05)
    answer = await exchange(folder / SOCKET, QUESTION + b"GET /v1/ HT")
    assert answer.count(b"200 OK") == 1
    await until(lambda: not server._local._silent)
    assert log.lines == []


async def test_slow_body_is_refused(folder, server, log, exchange, monkeypatch):
    """A request that does not come to its end is answered, and its connection closed."""
    monkeypatch.setattr(answers, "READ", 0.05)
    monkeypatch.setattr(serving, "LINGER", 0.05)
    request = b"POST /v1/webhooks HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{"
    for _ in range(2):
        head, _, body = (await exchange(folder / SOCKET, request)).partition(b"\r\n\r\n")
        assert b" 408 " in head
        assert "within" in json.loads(body)["hint"]
    assert log.lines == [(TOO_SLOW, {"path": "/v1/webhooks"})]


async def test_long_body_is_refused(ask, log):
    """Nobody fills the daemon's memory by one request."""
    for _ in range(2):
        with pytest.raises(ApiRefusal) as refusal:
            await ask("POST", "webhooks", body={"settings": {"url": "x" * 300_000}})
        assert (refusal.value.status, "256 KiB" in refusal.value.hint) == (413, True)
    assert log.lines == [(TOO_LONG, {"path": "/v1/webhooks"})]


@pytest.mark.parametrize(
    "long",
    [
        b"GET /v1/" + b"x" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /v1/?filter=" + b"x" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /v1/ HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * 9000 + b"\r\n\r\n",
        b"GET /v1/ HTTP/1.1\r\nHost: x\r\n" + b"X-Many: x\r\n" * 65 + b"\r\n",
        b"GET /v1/ HTTP/1.1\r\nHost: x\r\n" + b"x" * 9000 + b": x\r\n\r\n",
    ],
    ids=["path", "query", "header", "headers", "name"],
)
async def test_long_headers_are_refused(ask, folder, server, log, exchange, long):
    """A request's head has its bounds; beyond them it is answered by 400, which is said once."""
    for _ in range(2):
        answer = await exchange(folder / SOCKET, long)
        assert answer.startswith(b"HTTP/1.0 400 "), answer[:100]
    assert [text for text, _ in log.lines] == [TOO_LONG]
    assert (await ask("GET"))["name"] == "kevmond"


async def test_head_without_an_end_is_bounded(folder, server, log, exchange):
    """A line that never ends is given up long before it fills the memory."""
    answer = await exchange(folder / SOCKET, b"GET /" + b"x" * 4_000_000)
    assert answer == b"" or answer.startswith(b"HTTP/1.0 400 ")
    assert [text for text, _ in log.lines] == [TOO_LONG]


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01 this is no HTTP\r\n\r\n",
        b"GET /v1/ HTTP/1.1\r\nno header\r\n\r\n",
        b"GET /v1/ HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
        b"POST /v1/webhooks HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
async def test_malformed_request_is_no_trouble_of_the_daemon_s(
    folder, server, log, capfd, exchange, garbage
):
    """It is answered with a 4xx; the log has at most a line at debug, stderr nothing."""
    answer = await exchange(folder / SOCKET, garbage)
    assert answer.startswith(b"HTTP/1."), answer
    assert b" 4" in answer.splitlines()[0]
    assert log.levels in ([], ["debug"])
    assert not any("\n" in facts["error"] for _, facts in log.lines)
    assert capfd.readouterr().err == ""


async def test_caller_that_takes_no_answer_is_cut_off(
    ask, folder, server, subscriptions, log, until, closed, monkeypatch
):
    """Answers that nobody takes do not stay in memory."""
    monkeypatch.setattr(site, "LOOK", 0.01)
    monkeypatch.setattr(site, "STUCK", 0.1)
    monkeypatch.setattr(subscriptions, "listing", lambda: [{"name": "x" * 8_000_000}])
    _, writer = await asyncio.open_unix_connection(str(folder / SOCKET), limit=1)
    writer.write(b"GET /v1/webhooks HTTP/1.1\r\nHost: x\r\n\r\n")
    await until(lambda: log.lines)
    assert [text for text, _ in log.lines] == ["a caller of the API does not take its answer"]
    await until(lambda: not server._local.callers)
    await until(lambda: server._local._looking is None)
    await closed(writer)
    assert (await ask("GET"))["name"] == "kevmond"


async def test_page_on_demand_closes_when_it_is_not_used(server, exchange, until, monkeypatch):
    """After a while without a request that has the token nothing listens on loopback any more."""
    port = int(server.open_page().split(":")[2].partition("/")[0])
    assert b" 401 " in await exchange(port, ask_port(port))
    monkeypatch.setattr(ports, "IDLE", 0.05)
    server._page._look()
    await until(lambda: server.facts()["page_port"] is None)
    with pytest.raises(ConnectionRefusedError):
        await exchange(port, ask_port(port))


def ask_port(port):
    """Return a request to the page's port, without the token."""
    return f"GET /v1/ HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n".encode()

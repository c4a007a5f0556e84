"""Listening on loopback: which ports, at what settings, and for how long."""

import asyncio
import contextlib
import errno
import socket

import pytest

from kevmond.api import ports, tcp
from kevmond.api.listener import SOCKET, ApiError
from kevmond.api.server import ApiServer
from kevmond.api.settings import ApiSettings

ONCE = "GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n\r\n"


def request(path, port):
    """Return a request without a token, after which the connection ends."""
    return ONCE.format(path=path, port=port).encode()


def free_port():
    """Return a port that nobody has at the moment."""
    (first, *rest) = tcp.listen(0, "key")
    port = first.port
    for each in (first, *rest):
        each.close()
    return port


def http(port):
    """Return settings by which the page listens all the time."""
    return ApiSettings(http={"enabled": True, "port": port})


@pytest.fixture
async def made(folder, log):
    """Make servers with settings; all of them are closed at the end."""
    servers = []

    async def made(settings):
        server = ApiServer(folder / SOCKET, None, log=log, settings=settings)
        servers.append(server)
        await server.start()
        return server

    yield made
    for server in servers:
        await server.aclose()


def test_both_loopback_addresses_are_taken():
    """One port, at both addresses where there are both, and nowhere else."""
    found = tcp.listen(0, "key")
    names = [each.socket.getsockname()[:2] for each in found]
    port = found[0].port
    assert names in ([("127.0.0.1", port), ("::1", port)], [("127.0.0.1", port)])
    for each in found:
        each.close()


def test_port_that_is_taken_is_said():
    """The setting and the port are named."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ApiError, match=rf"^key: another program listens at port {port} "):
            tcp.listen(port, "key")


def test_port_that_is_not_allowed_is_said(monkeypatch):
    """Any other refusal is told with its errno."""

    def refuse(*args):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(tcp, "LoopbackSocket", refuse)
    with pytest.raises(ApiError, match=r"port 80 of loopback cannot be listened at \(EACCES\)"):
        tcp.listen(80, "key")


def test_port_that_another_has_at_the_other_address_is_not_chosen(monkeypatch):
    """Nobody is to be reached by our port's other address but us."""
    real, tried = tcp.LoopbackSocket, []

    def taken(family, host, port):
        if family != socket.AF_INET6:
            return real(family, host, port)
        tried.append(port)
        raise OSError(errno.EADDRINUSE if len(tried) < 3 else errno.EADDRNOTAVAIL, "no")

    monkeypatch.setattr(tcp, "LoopbackSocket", taken)
    (found,) = tcp.listen(0, "key")
    assert found.port == tried[2]
    found.close()


async def test_nothing_listens_on_loopback_unless_it_is_set(made):
    """The default is the Unix socket alone."""
    facts = (await made(None)).facts()
    assert (facts["page_port"], facts["metrics_port"]) == (None, None)


async def test_page_listens_where_it_is_set(made, exchange):
    """With api.http enabled the address is always the same, but for the token."""
    port = free_port()
    server = await made(http(port))
    assert server.open_page().startswith(f"http://127.0.0.1:{port}/#token=")
    assert b" 200 OK" in await exchange(port, request("/", port))


async def test_token_is_another_at_each_start(made):
    """What a browser remembers of an earlier run opens nothing."""
    first, second = await made(None), await made(None)
    tokens = {each.open_page().partition("#token=")[2] for each in (first, first, second)}
    assert len(tokens) == 2
    assert all(len(token) >= 43 for token in tokens)


async def test_reload_moves_opens_and_closes_the_page(made, exchange, log):
    """The settings of a reload hold at once."""
    server = await made(None)
    one, two = free_port(), free_port()
    assert await server.apply(http(one)) == []
    assert b" 200 OK" in await exchange(one, request("/", one))
    assert await server.apply(http(two)) == []
    assert b" 200 OK" in await exchange(two, request("/", two))
    with pytest.raises(ConnectionRefusedError):
        await exchange(one, request("/", one))
    assert await server.apply(ApiSettings()) == []
    with pytest.raises(ConnectionRefusedError):
        await exchange(two, request("/", two))
    assert log.lines == []


async def test_callers_of_a_port_that_is_given_up_are_let_go(made, closed, monkeypatch):
    """A stream that a page holds open ends soon after its port."""
    monkeypatch.setattr(ports, "FAREWELL", 0.01)
    port = free_port()
    server = await made(http(port))
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET / HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n".encode())
    await reader.readuntil(b"\r\n\r\n")
    await server.apply(ApiSettings())
    async with asyncio.timeout(30):
        with contextlib.suppress(ConnectionError):
            await reader.read()
    await closed(writer)


async def test_port_of_another_program_does_not_keep_the_api_down(made, log, exchange, folder):
    """It is said, the rest is served, and a reload tries again."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        server = await made(http(port))
        (told,) = [facts["error"] for _, facts in log.lines]
        assert told.startswith(f"api.http.port: another program listens at port {port}")
        assert await server.apply(http(port)) == [told]
        assert b" 200 OK" in await exchange(folder / SOCKET, request("/", 1))
        assert server.open_page() != f"http://127.0.0.1:{port}/"  # one that is free
    assert await server.apply(http(port)) == []
    assert server.open_page().startswith(f"http://127.0.0.1:{port}/")


async def test_page_in_use_stays_open(made, until, monkeypatch):
    """A request with the token that is under way counts as use, however long it takes."""
    monkeypatch.setattr(ports, "IDLE", 0.05)
    server = await made(None)
    server.open_page()
    port = server._page
    port.used(1)
    looks = []
    real = port._look_after
    monkeypatch.setattr(port, "_look_after", lambda left: (looks.append(left), real(left)))
    await until(lambda: len(looks) > 3)
    assert port.number is not None
    port.used(-1)
    await until(lambda: port.number is None)
    assert server.open_page()


async def test_page_that_is_opened_again_has_all_its_time(made, monkeypatch):
    """Its address is good for as long as that of a new one."""
    server = await made(ApiSettings())
    server.open_page()
    server._page._last -= ports.IDLE - 1
    server.open_page()
    assert server._page._last + ports.IDLE - asyncio.get_running_loop().time() > ports.IDLE - 1


async def test_no_page_is_opened_by_a_daemon_that_stops(made):
    """A port that was opened then would be closed by nobody."""
    server = await made(ApiSettings())
    await server.aclose()
    with pytest.raises(ApiError, match="stopping"):
        server.open_page()


async def test_settings_change_nothing_about_a_page_on_demand(made):
    """Whoever looks at the page goes on looking after a reload that has nothing to do with it."""
    server = await made(None)
    address = server.open_page()
    assert await server.apply(ApiSettings()) == []
    assert server.open_page() == address


async def test_post_page_tells_the_address(ask, server):
    """`kevmond open` asks for it at the Unix socket."""
    found = await ask("POST", "page")
    assert found == {"url": server.open_page()}
    assert found["url"].startswith(f"http://127.0.0.1:{server.facts()['page_port']}/#token=")


async def test_metrics_port_has_metrics_and_nothing_else(made, exchange, monkeypatch):
    """Prometheus needs no token, and gets nothing but figures."""
    from aiohttp import web

    from kevmond.api import status_routes

    async def metrics(request):
        return web.Response(text="up 1\n")

    monkeypatch.setattr(status_routes, "metrics", metrics)
    port = free_port()
    await made(ApiSettings(metrics={"port": port}))
    answer = await exchange(port, request("/metrics", port))
    assert b" 200 OK" in answer
    assert answer.endswith(b"\r\n\r\nup 1\n")
    for path in ("/", "/v1/", "/v1/metrics", "/v1/status", "/index.html"):
        assert b" 404 " in (await exchange(port, request(path, port))).splitlines()[0]
    other = ONCE.format(path="/metrics", port=f"{port}").replace("localhost", "evil.example")
    assert b" 421 " in (await exchange(port, other.encode())).splitlines()[0]


async def test_metrics_port_comes_and_goes_with_a_reload(made, exchange):
    """Like every other setting of the API."""
    server, port = await made(None), free_port()
    await server.apply(ApiSettings(metrics={"port": port}))
    assert server.facts()["metrics_port"] == port
    await server.apply(ApiSettings())
    with pytest.raises(ConnectionRefusedError):
        await exchange(port, request("/metrics", port))


def test_two_listeners_at_one_port_are_a_mistake():
    """It is found when the configuration is read."""
    with pytest.raises(ValueError, match=r"http\.port and metrics\.port are both 8631"):
        ApiSettings(http={"enabled": True}, metrics={"port": 8631})
    assert ApiSettings(metrics={"port": 8631}).http.port == 8631

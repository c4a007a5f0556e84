"""Through a proxy."""

import base64

import pytest

from kevmond.errors import PermanentError, RetryableError
from kevmond.sinks.testing import records

REFUSAL = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"


def proxy(got, answer):
    """Return a handler that takes a request head, keeps it, and answers."""

    async def handler(reader, writer):
        got.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(answer)
        await writer.drain()

    return handler


async def test_plain_request_goes_to_the_proxy_whole(raw_server, opened, tmp_path):
    """The proxy gets the target's URL, and name and password from the reference."""
    got = []
    answer = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"
    url = await raw_server(proxy(got, answer))
    (tmp_path / "proxy").write_text(url.replace("http://", "http://user:pass@"))
    sink = await opened(
        "http://hooks.example/in", proxy=f"file:{tmp_path}/proxy", allow_private=False
    )
    assert await sink.write(records(1, 1)) == 1
    assert got[0].startswith("POST http://hooks.example/in HTTP/1.1\r\n")
    assert f"Basic {base64.b64encode(b'user:pass').decode()}\r\n" in got[0]


async def test_proxy_that_refuses_a_tunnel(raw_server, opened):
    """For https a tunnel is asked for; a refusal is the proxy's, and told as that."""
    got = []
    sink = await opened("https://hooks.example/in", proxy=await raw_server(proxy(got, REFUSAL)))
    with pytest.raises(RetryableError, match="the proxy answered 407 Proxy Authentication"):
        await sink.write(records(1, 1))
    assert got[0].startswith("CONNECT hooks.example:443 HTTP/1.1\r\n")
    assert "/in" not in got[0]


async def test_proxy_that_is_not_there(opened, unused_tcp_port):
    """A proxy that refuses connections is told as that."""
    sink = await opened("https://hooks.example/", proxy=f"http://127.0.0.1:{unused_tcp_port}")
    with pytest.raises(RetryableError, match="the proxy: no connection: ECONNREFUSED"):
        await sink.write(records(1, 1))


async def test_environment_is_not_asked_for_a_proxy(receiver, opened, monkeypatch):
    """A proxy is used if it is set here, and not because the daemon's environment has one."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9/")
    sink = await opened(receiver.url)
    assert await sink.write(records(1, 1)) == 1


async def test_reference_that_leads_to_no_proxy(opened, monkeypatch):
    """What stands where the reference leads must be a URL; it is not shown."""
    monkeypatch.setenv("A_PROXY", "user:pass")
    with pytest.raises(PermanentError, match="proxy env:A_PROXY: not a URL") as caught:
        await opened("https://hooks.example/", proxy="env:A_PROXY")
    assert "pass" not in str(caught.value)

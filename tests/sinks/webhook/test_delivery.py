"""Deliveries to a receiver on this machine, good and bad."""

import asyncio
import errno
import gzip
import json
import socket
import ssl
import subprocess
import sys
import time

import aiohttp
import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver
from standardwebhooks import Webhook

from kevmond import __version__
from kevmond.errors import GoneError, PermanentError, RetryableError, UnreachableError
from kevmond.sinks.testing import records
from kevmond.sinks.webhook import client, failures, target
from kevmond.sinks.webhook.sink import probe

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"


class Resolver(AbstractResolver):
    """Answers each look-up with the next of its addresses, or raises what is in their place."""

    def __init__(self, *answers):
        self.answers = list(answers)

    async def resolve(self, host, port=0, family=socket.AF_INET):
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return [
            {
                "hostname": host,
                "host": address,
                "port": port,
                "family": socket.AF_INET6 if ":" in address else socket.AF_INET,
                "proto": 0,
                "flags": 0,
            }
            for address in answer
        ]

    async def close(self):
        pass


# ---------------------------------------------------------------------- what is sent


async def test_event_arrives_signed_and_whole(receiver, opened):
    """A POST carries the event's JSON, and headers that the receiver's library verifies."""
    sink = await opened(receiver.url, secrets=[SECRET])
    batch = records(1, 3)
    assert await sink.write(batch) == 1
    ((method, headers, body),) = receiver.got
    assert (method, body) == ("POST", batch[0].line)
    assert Webhook(SECRET).verify(body, dict(headers)) == json.loads(batch[0].line)
    assert headers["webhook-id"] == batch[0].event.id
    assert headers["Content-Type"] == "application/json"
    assert headers["User-Agent"] == f"kevmond/{__version__}"
    assert abs(int(headers["webhook-timestamp"]) - time.time()) < 60


async def test_each_of_two_secrets_verifies(receiver, opened):
    """While a secret is changed, requests are signed with both."""
    sink = await opened(receiver.url, secrets=[SECRET, OTHER])
    await sink.write(records(1, 1))
    for secret in (SECRET, OTHER):
        Webhook(secret).verify(receiver.bodies[0], dict(receiver.headers[0]))


async def test_without_secret_nothing_is_signed(receiver, opened):
    """Without a secret there is an id and a time, but no signature."""
    sink = await opened(receiver.url)
    await sink.write(records(1, 1))
    assert "webhook-id" in receiver.headers[0]
    assert "webhook-signature" not in receiver.headers[0]


async def test_batch_arrives_as_array(receiver, opened):
    """A large batch, made in the sink's thread, is one request."""
    sink = await opened(receiver.url, batch_size=100, secrets=[SECRET])
    assert await sink.write(records(1, 300)) == 100
    told = Webhook(SECRET).verify(receiver.bodies[0], dict(receiver.headers[0]))
    assert [one["seq"] for one in told] == list(range(1, 101))


async def test_repeated_request_has_the_same_id_and_a_new_signature(receiver, opened):
    """Another sink that sends the same events again gives the request the same id."""
    receiver.plan.append(500)
    for _ in range(2):
        sink = await opened(receiver.url, batch_size=5, secrets=[SECRET])
        try:
            await sink.write(records(1, 5))
        except RetryableError:
            await sink.write(records(1, 5))
    assert len({headers["webhook-id"] for headers in receiver.headers}) == 1
    for headers, body in zip(receiver.headers, receiver.bodies, strict=True):
        Webhook(SECRET).verify(body, dict(headers))


@pytest.mark.parametrize("count", [1, 40])
async def test_compressed_body_is_signed_as_what_it_decompresses_to(raw_server, opened, count):
    """With gzip the bytes on the wire are compressed, and the signature is that of the JSON."""
    got = []

    async def handler(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        lines = head.decode().split("\r\n")[1:-2]
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        got.append((headers, await reader.readexactly(int(headers["content-length"]))))
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        await writer.drain()

    url = await raw_server(handler)
    sink = await opened(url, gzip=True, batch_size=100, secrets=[SECRET])
    assert await sink.write(records(1, count)) == count
    ((headers, body),) = got
    assert headers["content-encoding"] == "gzip"
    told = Webhook(SECRET).verify(gzip.decompress(body), headers)
    assert len(told) == count
    assert headers["accept-encoding"] == "identity"


async def test_own_headers_are_sent(receiver, opened, tmp_path):
    """Headers in text and by reference are on every request."""
    (tmp_path / "token").write_text("Bearer t0ken\n")
    headers = {"X-Team": "net", "Authorization": f"file:{tmp_path}/token"}
    sink = await opened(receiver.url, headers=headers)
    await sink.write(records(1, 1))
    assert receiver.headers[0]["X-Team"] == "net"
    assert receiver.headers[0]["Authorization"] == "Bearer t0ken"


async def test_one_connection_serves_all_requests(receiver, opened):
    """A receiver that keeps its connection open is not connected to again."""
    ports = set()

    async def answer(request):
        ports.add(request.transport.get_extra_info("peername")[1])
        return web.Response(text="thanks" * 100)

    receiver.plan.extend([answer] * 5)
    sink = await opened(receiver.url)
    for number in range(1, 6):
        await sink.write(records(number, number))
    assert len(ports) == 1


# ---------------------------------------------------------------------- answers


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
async def test_success_is_taken(receiver, opened, status):
    """Every 2xx takes the event."""
    receiver.plan.append(status)
    sink = await opened(receiver.url)
    assert await sink.write(records(1, 1)) == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 408, 409, 413, 422, 429, 500, 502, 503])
async def test_other_answers_are_tried_again(receiver, opened, status):
    """Mistakes of the receiver's may be mended, 4xx as well: the same events are tried again."""
    receiver.plan.extend([status] * 9)
    sink = await opened(receiver.url, batch_size=2)
    with pytest.raises(PermanentError if status == 413 else RetryableError) as caught:
        await sink.write(records(1, 2))
    assert str(caught.value).startswith(f"{sink._settings.where} answered {status} ")
    assert "token=t" not in str(caught.value)


async def test_gone_says_that_nothing_more_is_wanted(receiver, opened):
    """410 is the receiver's way to unsubscribe."""
    receiver.plan.append(410)
    sink = await opened(receiver.url)
    with pytest.raises(GoneError, match="answered 410 Gone"):
        await sink.write(records(1, 1))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirect_is_not_followed(receiver, opened, status):
    """A redirect is told, and nothing is sent where it goes."""

    async def answer(request):
        return web.Response(status=status, headers={"Location": "/else where"})

    receiver.plan.append(answer)
    sink = await opened(receiver.url)
    with pytest.raises(
        RetryableError, match=r"\(to another path there\); redirects are not followed"
    ):
        await sink.write(records(1, 1))
    assert len(receiver.got) == 1


@pytest.mark.parametrize("status", [429, 503, 500])
async def test_wait_that_is_asked_for_is_handed_on(receiver, opened, status):
    """Retry-After reaches the runner."""

    async def answer(request):
        return web.Response(status=status, headers={"Retry-After": "120"})

    receiver.plan.append(answer)
    sink = await opened(receiver.url)
    with pytest.raises(RetryableError) as caught:
        await sink.write(records(1, 1))
    assert caught.value.after == 120


async def test_answer_of_any_size_is_cut(receiver, opened):
    """What the receiver says is kept, short and harmless, and a long one is not read on."""

    async def answer(request):
        return web.Response(status=500, text="\x1b[31mdatabase\r\nis down " + "x" * 1_000_000)

    receiver.plan.append(answer)
    sink = await opened(receiver.url)
    with pytest.raises(RetryableError) as caught:
        await sink.write(records(1, 1))
    assert "500 Internal Server Error: ?[31mdatabase is down xxx" in str(caught.value)
    assert len(str(caught.value)) < 300
    assert len(caught.value.excerpt) == 1024
    assert await sink.write(records(1, 1)) == 1


async def test_body_that_is_too_large_is_halved(receiver, opened):
    """A receiver with a limit gets fewer events at once, at once, and from then on."""
    sizes = []

    async def bounded(request):
        sizes.append(len(await request.read()))
        return web.Response(status=413 if sizes[-1] > 20_000 else 204)

    receiver.plan.extend([bounded] * 20)
    sink = await opened(receiver.url, batch_size=200)
    taken = await sink.write(records(1, 200))
    assert 1 < taken < 200
    refused = sum(size > 20_000 for size in sizes)
    assert refused == len(sizes) - 1
    await sink.write(records(taken + 1, taken + 200))
    assert sum(size > 20_000 for size in sizes) == refused


async def test_single_event_that_is_too_large_is_given_up_alone(receiver, opened):
    """Where one event alone is too large, it and not its whole batch is given up."""
    receiver.plan.extend([413] * 20)
    sink = await opened(receiver.url, batch_size=8)
    with pytest.raises(PermanentError) as caught:
        await sink.write(records(1, 8))
    assert caught.value.count == 1


# ---------------------------------------------------------------------- no answer


async def reset(reader, writer):
    """Reset the connection once the request is there."""
    await reader.readuntil(b"\r\n\r\n")
    option = b"\x01\x00\x00\x00\x00\x00\x00\x00"
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, option)


async def close(reader, writer):
    """Close it without a word."""
    await reader.readuntil(b"\r\n\r\n")


async def babble(reader, writer):
    """Answer with what is not HTTP."""
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"SSH-2.0-OpenSSH_9\r\n\r\n")
    await writer.drain()


@pytest.mark.parametrize(
    ("handler", "says"),
    [
        (reset, "the connection broke: ECONNRESET|it closed the connection"),
        (close, "it closed the connection without an answer"),
        (babble, "its answer is not HTTP as it should be"),
    ],
)
async def test_receiver_that_does_not_answer(raw_server, opened, handler, says):
    """Whatever a receiver does in place of an answer, the event is tried again."""
    sink = await opened(await raw_server(handler))
    with pytest.raises(RetryableError, match=says) as caught:
        await sink.write(records(1, 1))
    assert not isinstance(caught.value, UnreachableError)


def test_alert_of_tls_is_told_by_its_name():
    """An alert in the middle of a request is told as OpenSSL names it, not as an errno."""
    alert = ssl.SSLError(1, "[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] tlsv13 alert")
    alert.reason = "TLSV13_ALERT_CERTIFICATE_REQUIRED"
    error = aiohttp.ClientOSError(*alert.args)
    error.__cause__ = alert
    told = failures.failure(error, "https://h", None)
    assert str(told) == "https://h: TLS broke: TLSV13_ALERT_CERTIFICATE_REQUIRED"


@pytest.mark.parametrize(
    ("error", "kind", "says"),
    [
        (aiohttp.ClientOSError(errno.EPIPE, "x"), RetryableError, "the connection broke: EPIPE"),
        (aiohttp.ClientPayloadError("a\r\nb"), RetryableError, "ClientPayloadError: a b"),
        (OSError("odd"), RetryableError, "OSError: odd"),
    ],
)
def test_rarer_failures_are_told(error, kind, says):
    """What comes seldom is told too; a network that goes away in between costs no patience."""
    told = failures.failure(error, "https://h", None)
    assert type(told) is kind
    assert says in str(told)


@pytest.mark.parametrize("online", [True, False])
def test_network_that_goes_away_in_between(monkeypatch, online):
    """It costs no patience if it is this machine's, and does if it is the receiver's."""
    monkeypatch.setattr(failures.target, "online", lambda: online)
    told = failures.failure(aiohttp.ClientOSError(errno.ENETDOWN, "x"), "https://h", None)
    assert "went away (ENETDOWN)" in str(told)
    assert type(told) is (RetryableError if online else UnreachableError)


async def test_receiver_that_hangs(raw_server, opened):
    """A receiver that never answers costs the time that is set, and no more."""
    hanging = asyncio.Event()
    try:
        sink = await opened(await raw_server(lambda *_: hanging.wait()), timeout=0.05)
        with pytest.raises(RetryableError, match=r"no answer in time \(timeout\)"):
            await sink.write(records(1, 1))
    finally:
        hanging.set()


async def test_status_counts_even_if_the_body_never_comes(raw_server, opened, monkeypatch):
    """A receiver that says 200 and hangs, or closes, has taken the event."""
    monkeypatch.setattr(client, "ANSWER_PATIENCE", 0.05)
    hanging = asyncio.Event()

    async def handler(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nhal")
        await writer.drain()
        if handler.hang:
            await hanging.wait()

    try:
        sink = await opened(await raw_server(handler))
        for handler.hang in (True, False):
            assert await sink.write(records(1, 1)) == 1
    finally:
        hanging.set()


async def test_old_connection_that_was_closed_meanwhile_costs_no_attempt(raw_server, opened):
    """A kept connection that turns out closed is replaced at once; a new one is not."""
    connections = []

    async def handler(reader, writer):
        connections.append(writer)
        for answers in range(3):
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
            if answers == 1 or (len(connections) > 2):
                return  # as if closing and the request had crossed
            writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
            await writer.drain()

    sink = await opened(await raw_server(handler))
    await sink.write(records(1, 1))
    await sink.write(records(2, 2))
    assert len(connections) == 2
    with pytest.raises(RetryableError, match="it closed the connection"):
        await sink.write(records(3, 3))
    assert len(connections) == 3
    with pytest.raises(RetryableError, match="it closed the connection"):
        await sink.write(records(3, 3))
    assert len(connections) == 4


async def test_nobody_listens(opened, unused_tcp_port):
    """A refused connection was an attempt."""
    sink = await opened(f"http://127.0.0.1:{unused_tcp_port}/")
    with pytest.raises(RetryableError, match="no connection: ECONNREFUSED") as caught:
        await sink.write(records(1, 1))
    assert not isinstance(caught.value, UnreachableError)


@pytest.mark.parametrize("online", [True, False])
async def test_name_that_is_not_resolved(opened, monkeypatch, online):
    """Without a network that was no attempt; with one it was."""
    monkeypatch.setattr(failures.target, "online", lambda: online)
    lookup = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    sink = await opened("http://hooks.example/", resolver=Resolver(lookup))
    with pytest.raises(RetryableError, match="its name is not resolved: Name or") as caught:
        await sink.write(records(1, 1))
    assert isinstance(caught.value, UnreachableError) is not online


@pytest.mark.parametrize(
    ("fails", "online", "unreachable"),
    [
        ({"192.0.2.1": errno.ENETUNREACH}, False, True),
        ({"192.0.2.1": errno.EHOSTUNREACH, "2001:db8::1": errno.ENETUNREACH}, False, True),
        ({"192.0.2.1": errno.ECONNREFUSED, "2001:db8::1": errno.ENETUNREACH}, False, False),
        ({"192.0.2.1": errno.ENETUNREACH}, True, False),
        ({"192.0.2.1": errno.EHOSTUNREACH, "2001:db8::1": errno.ENETUNREACH}, True, False),
    ],
)
async def test_no_route(opened, monkeypatch, fails, online, unreachable):
    """Without any network nothing was tried; a receiver that alone has no route was tried."""
    monkeypatch.setattr(failures.target, "online", lambda: online)
    sink = await opened("http://hooks.example/", resolver=Resolver(list(fails)))

    def gate(info):
        number = fails[info[4][0]]
        raise OSError(number, f"connect call failed {info[4]}")

    monkeypatch.setattr(sink._client._session.connector, "_socket_factory", gate)
    with pytest.raises(RetryableError, match="ENETUNREACH") as caught:
        await sink.write(records(1, 1))
    assert isinstance(caught.value, UnreachableError) is unreachable


# ---------------------------------------------------------------------- private targets


async def test_name_of_a_private_address_is_not_connected_to(receiver, opened):
    """A public name that leads to this machine is refused, and told what would allow it."""
    url = f"http://hooks.example:{receiver.server.port}/"
    sink = await opened(url, allow_private=False, resolver=Resolver(["127.0.0.1"]))
    with pytest.raises(RetryableError, match=r"127\.0\.0\.1 is this machine; set allow_private"):
        await sink.write(records(1, 1))
    assert receiver.got == []


async def test_name_that_changes_its_address_is_looked_at_each_time(receiver, opened, monkeypatch):
    """A name that is public first and private then (DNS rebinding) gets nothing of the second."""
    monkeypatch.setattr(
        target, "_kind", lambda found: None if str(found) == "127.0.0.1" else "a private address"
    )

    async def close_the_connection(request):
        answer = web.Response()
        answer.force_close()
        return answer

    receiver.plan.append(close_the_connection)
    url = f"http://hooks.example:{receiver.server.port}/"
    resolver = Resolver(["127.0.0.1"], ["::1", "10.0.0.1"])
    sink = await opened(url, allow_private=False, resolver=resolver)
    monkeypatch.setattr(sink._client._session.connector, "_use_dns_cache", False)
    assert await sink.write(records(1, 1)) == 1
    with pytest.raises(RetryableError, match=r"is a private address; set allow_private"):
        await sink.write(records(2, 2))
    assert len(receiver.got) == 1


@pytest.mark.parametrize("listening", [True, False])
async def test_of_several_addresses_the_public_ones_are_used(
    receiver, opened, monkeypatch, unused_tcp_port, listening
):
    """A name with a private address beside a public one is reached at the public one only."""
    monkeypatch.setattr(
        target, "_kind", lambda found: None if str(found) == "127.0.0.1" else "a private address"
    )
    port = receiver.server.port if listening else unused_tcp_port
    resolver = Resolver(["10.0.0.1", "127.0.0.1"])
    sink = await opened(f"http://hooks.example:{port}/", allow_private=False, resolver=resolver)
    if listening:
        assert await sink.write(records(1, 1)) == 1
        return
    says = "no connection: ECONNREFUSED; not tried: 10.0.0.1 is a private address"
    with pytest.raises(RetryableError, match=says):
        await sink.write(records(1, 1))


# ---------------------------------------------------------------------- life


async def test_missing_secret_is_told_when_the_sink_opens(opened):
    """A sink whose secret is not there fails, naming it, until somebody does something."""
    with pytest.raises(PermanentError, match="secret env:KEVMOND_NO_SUCH: the variable is not"):
        await opened("https://hooks.example/", headers={"X-A": "env:KEVMOND_NO_SUCH"})


async def test_reopen_reads_secrets_anew(receiver, opened, tmp_path):
    """After SIGHUP requests are signed with what the file holds; if that is broken, as before."""
    sink = await opened(receiver.url, secrets=[SECRET])
    (tmp_path / "secret0").write_text(OTHER)
    await sink.reopen()
    await sink.write(records(1, 1))
    (tmp_path / "secret0").write_text("no secret")
    with pytest.raises(PermanentError, match="not a webhook secret"):
        await sink.reopen()
    await sink.write(records(2, 2))
    for headers, body in zip(receiver.headers, receiver.bodies, strict=True):
        Webhook(OTHER).verify(body, dict(headers))


async def test_stop_in_the_middle_of_a_request(raw_server, opened):
    """A write that is cancelled while the receiver hangs ends at once, and so does closing."""
    arrived, hanging = asyncio.Event(), asyncio.Event()

    async def handler(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        arrived.set()
        await hanging.wait()

    try:
        sink = await opened(await raw_server(handler))
        write = asyncio.ensure_future(sink.write(records(1, 1)))
        async with asyncio.timeout(30):
            await arrived.wait()
            write.cancel()
            with pytest.raises(asyncio.CancelledError):
                await write
            await sink.aclose()
    finally:
        hanging.set()


async def test_probe_returns_whatever_the_answer_is(receiver, settings):
    """A delivery by hand tells status, headers, body and time, also of a refusal."""

    async def answer(request):
        return web.Response(status=418, text="no coffee", headers={"X-Pot": "tea"})

    receiver.plan.append(answer)
    told = await probe(settings(receiver.url, secrets=[SECRET]), records(1, 1)[0])
    assert (told.status, told.body, told.headers["x-pot"]) == (418, b"no coffee", "tea")
    assert told.seconds > 0
    assert Webhook(SECRET).verify(receiver.bodies[0], dict(receiver.headers[0]))["seq"] == 1


@pytest.mark.parametrize("point", ["webhook.before-post", "webhook.after-post"])
def test_process_dies_around_a_request_where_a_test_wants_it(point, tmp_path):
    """The fault points lie before the first byte and behind the answer."""
    program = f"""
import asyncio, sys
from aiohttp import web
from aiohttp.test_utils import TestServer
from kevmond.sinks.testing import records
from kevmond.sinks.webhook.sink import WebhookSink

async def took(request):
    open({str(tmp_path / "took")!r}, "w").close()
    return web.Response()

async def main():
    app = web.Application()
    app.router.add_post("/", took)
    async with TestServer(app, host="127.0.0.1") as server:
        settings = WebhookSink.Settings(
            url=str(server.make_url("/")), allow_http=True, allow_private=True)
        sink = WebhookSink("hook", settings)
        await sink.open()
        await sink.write(records(1, 1))

asyncio.run(main())
"""
    environment = {"KEVMOND_FAULT_POINT": point}
    done = subprocess.run([sys.executable, "-c", program], check=False, timeout=60, env=environment)
    assert done.returncode == -9
    assert (tmp_path / "took").exists() is (point == "webhook.after-post")


def test_sink_costs_no_http_client_before_it_is_opened():
    """Settings and sink are there without aiohttp, which is large."""
    program = (
        "import sys; from kevmond.sinks import registry;"
        "cls = registry.load('webhook'); cls('hook', cls.Settings(url='https://h.example/'));"
        "print([name for name in ('aiohttp', 'yarl') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], timeout=60, capture_output=True, check=True, text=True
    )
    assert done.stdout == "[]\n"

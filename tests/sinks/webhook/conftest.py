"""A receiver that answers as it is told, on this machine."""

import asyncio
import contextlib
from collections import deque

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from kevmond.sinks.webhook.settings import WebhookSettings
from kevmond.sinks.webhook.sink import WebhookSink

SECRET = "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_" + "C2FVsBQIhrscChlQIMV+b5sSYspob7oD"


class Receiver:
    """Keeps what it is sent, and answers as planned, else 204."""

    def __init__(self):
        self.got = []
        """Requests as (method, headers, body)."""
        self.plan = deque()
        """Next answers: a status, or a coroutine function that makes one of the request."""
        app = web.Application(client_max_size=1 << 24)
        app.router.add_route("*", "/{path:.*}", self._answer)
        self.server = TestServer(app, host="127.0.0.1")

    async def _answer(self, request):
        body = await request.read()
        self.got.append((request.method, request.headers, body))
        planned = self.plan.popleft() if self.plan else 204
        return web.Response(status=planned) if isinstance(planned, int) else await planned(request)

    @property
    def url(self):
        return str(self.server.make_url("/hook?token=t"))

    @property
    def headers(self):
        return [headers for _, headers, _ in self.got]

    @property
    def bodies(self):
        return [body for _, _, body in self.got]


@pytest.fixture
async def receiver():
    """Return a receiver that is up."""
    receiver = Receiver()
    await receiver.server.start_server()
    yield receiver
    await receiver.server.close()


@pytest.fixture
def settings(tmp_path):
    """Return a function that makes settings for a receiver on this machine."""

    def settings(url, *, secrets=(), **more):
        references = []
        for number, secret in enumerate(secrets):
            (tmp_path / f"secret{number}").write_text(secret + "\n")
            references.append(f"file:{tmp_path}/secret{number}")
        allowed = {"allow_http": True, "allow_private": True}
        return WebhookSettings(url=url, secret=references, **{**allowed, **more})

    return settings


@pytest.fixture
async def opened(settings):
    """Return a function that opens a sink."""
    sinks = []

    async def opened(url, *, resolver=None, **more):
        sink = WebhookSink("hook", settings(url, **more), resolver=resolver)
        sinks.append(sink)
        await sink.open()
        return sink

    yield opened
    for sink in sinks:
        await sink.aclose()


@pytest.fixture
async def raw_server():
    """Return a function that starts a server of bytes and returns its URL."""
    async with contextlib.AsyncExitStack() as stack:

        async def raw_server(handler):
            async def handle(reader, writer):
                try:
                    await handler(reader, writer)
                except asyncio.CancelledError:
                    pass
                finally:
                    writer.close()

            server = await asyncio.start_server(handle, "127.0.0.1", 0)
            stack.callback(server.close)
            return f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"

        yield raw_server

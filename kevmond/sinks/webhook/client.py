"""The requests of a webhook, on aiohttp: connecting, posting, and asking first (the handshake).

It, `resolver` and `failures` alone import aiohttp; they are imported when a sink opens, in that
sink's thread.
"""

from __future__ import annotations

import asyncio
import re
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import aiohttp
from yarl import URL

from kevmond import __version__
from kevmond.faultpoints import fault
from kevmond.sinks.webhook.answer import Answer
from kevmond.sinks.webhook.failures import failure
from kevmond.sinks.webhook.handshake import allowed_rate
from kevmond.sinks.webhook.resolver import Resolver
from kevmond.sinks.webhook.target import Gate
from kevmond.timelimit import TimeLimit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp.abc import AbstractResolver

    from kevmond.errors import RetryableError
    from kevmond.sinks.webhook.body import Body
    from kevmond.sinks.webhook.credentials import Credentials
    from kevmond.sinks.webhook.settings import WebhookSettings
    from kevmond.worker import Worker

ANSWER_BYTES: Final = 4096
"""How much of an answer's body is read."""
ANSWER_PATIENCE: Final = 2.0
"""Seconds that it may take once the status is there: the status is what counts."""
_NO_NAME: Final = re.compile(r"[^A-Za-z0-9.-]")
AGENT: Final = f"kevmond/{__version__}"


class Client:
    """One session with one receiver; used by one task at a time."""

    def __init__(
        self,
        settings: WebhookSettings,
        credentials: Credentials,
        names: Worker,
        *,
        resolver: AbstractResolver | None = None,
        gate: Gate | None = None,
    ) -> None:
        """Make it on the event loop; no connection is made yet.

        The system resolves names, in `names`, unless a `resolver` is given.  With a proxy,
        connections go to the proxy, wherever that is, and it does the rest.
        """
        self.where = settings.where
        self._url = URL(settings.url)
        self._proxy = credentials.proxy
        self._signer = credentials.signer
        through_proxy = self._proxy is not None
        self._gate = gate or Gate(allow_private=settings.allow_private or through_proxy)
        self._resolver = resolver or Resolver(names)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                ssl=credentials.tls,
                limit=2,
                resolver=self._resolver,
                socket_factory=self._gate,
            ),
            headers={"User-Agent": AGENT, "Accept-Encoding": "identity", **credentials.headers},
            timeout=aiohttp.ClientTimeout(total=None, connect=settings.connect_timeout),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            read_bufsize=ANSWER_BYTES,
            trust_env=False,
        )
        self._limit = TimeLimit(settings.timeout)  # aiohttp's own takes a timer for each request
        self._kept = False
        """Whether the last request left a connection open, which its other end may have closed."""

    async def aclose(self) -> None:
        """Close the connection; also right twice."""
        await self._session.close()

    async def post(self, body: Body, compressed: bytes | None = None) -> Answer:
        """Sign a body as of now, send it (or, if given, what it compresses to), and wait.

        Returns whatever the answer is.  Raises UnreachableError if there was no way to the
        receiver, RetryableError if there is no answer.
        """
        now = datetime.now(UTC)
        headers = {
            "Content-Type": body.content_type,
            "webhook-id": body.webhook_id,
            "webhook-timestamp": str(int(now.timestamp())),
        }
        signature = self._signer.sign(body.webhook_id, now, body.content)
        if signature is not None:
            headers["webhook-signature"] = signature
        if compressed is not None:
            headers["Content-Encoding"] = "gzip"
        fault("webhook.before-post")
        answer = await self._send(
            "POST", headers, body.content if compressed is None else compressed
        )
        fault("webhook.after-post")
        return answer

    async def handshake(self, origin: str) -> float | None:
        """Ask the receiver whether it takes events from `origin`, the name of this machine.

        Returns the requests a minute that it allows, None for any number.  Raises as `post` does,
        and RetryableError or GoneError if it does not agree.
        """
        origin = _NO_NAME.sub("-", origin)[:253] or "localhost"
        answer = await self._send("OPTIONS", {"WebHook-Request-Origin": origin}, None)
        return allowed_rate(answer, self.where, origin, time.time())

    async def _send(self, method: str, headers: Mapping[str, str], data: bytes | None) -> Answer:
        kept, self._kept = self._kept, False
        try:
            with self._limit:
                return await self._try(method, headers, data)
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
            if not kept or isinstance(error, aiohttp.ClientConnectorError):
                raise self._failure(error) from error
            # The connection was an old one, and closed while this request was on its way.  That
            # says nothing about the receiver; a new one does.
            try:
                with self._limit:
                    return await self._try(method, headers, data)
            except (aiohttp.ClientError, TimeoutError, OSError) as again:
                raise self._failure(again) from again
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._failure(error) from error

    async def _try(self, method: str, headers: Mapping[str, str], data: bytes | None) -> Answer:
        self._gate.refused = None
        begun = time.monotonic()
        async with self._session.request(
            method,
            self._url,
            headers=headers,
            data=data,
            proxy=self._proxy,
            allow_redirects=False,
        ) as response:
            content = response.content
            body = b"" if content.at_eof() else await _excerpt(content)
            self._kept = content.at_eof()
            return Answer(response.status, response.headers, body, time.monotonic() - begun)

    def _failure(self, error: Exception) -> RetryableError:
        pending = self._resolver.pending if isinstance(self._resolver, Resolver) else None
        return failure(error, self.where, self._gate.refused, pending)


async def _excerpt(content: aiohttp.StreamReader) -> bytes:
    """Return what comes soon of an answer's body, up to a limit."""
    parts: list[bytes] = []
    room = ANSWER_BYTES
    try:
        async with asyncio.timeout(ANSWER_PATIENCE):
            while room and not content.at_eof():
                part = await content.read(room)
                parts.append(part)
                room -= len(part)
    except (aiohttp.ClientError, TimeoutError, OSError):
        pass  # the status is there
    return b"".join(parts)

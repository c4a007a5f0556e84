"""The sink itself: what of a batch goes into a request, and what its answer does to the batch."""

from __future__ import annotations

import asyncio
import gzip
import time
from typing import TYPE_CHECKING, Any, ClassVar, Final

from kevmond.errors import ConfigError, PermanentError
from kevmond.sinks.webhook.answer import judge
from kevmond.sinks.webhook.body import compose
from kevmond.sinks.webhook.handshake import Pace
from kevmond.sinks.webhook.settings import WebhookSettings
from kevmond.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiohttp.abc import AbstractResolver

    from kevmond.events.event import Record
    from kevmond.sinks.base import SinkSettings
    from kevmond.sinks.webhook.answer import Answer
    from kevmond.sinks.webhook.client import Client

AT_ONCE: Final = 32
"""Records that are encoded before others have their turn on the event loop.  (Not in a thread: it
would have the interpreter only by turns of 5 ms, and eight endpoints would wait for each other.)"""


class WebhookSink:
    """POSTs records to a URL, in order, one request at a time."""

    Settings: ClassVar[type[SinkSettings]] = WebhookSettings

    def __init__(
        self, name: str, settings: WebhookSettings, *, resolver: AbstractResolver | None = None
    ) -> None:
        """Take the settings; `resolver` is one of aiohttp's to use in place of the system's."""
        self.policy = settings.policy
        self._settings = settings
        self._resolver = resolver
        self._worker = Worker(f"sink-{name}")
        self._names = Worker(f"names-{name}")
        """Looks names up; kept by every client, so that one that hangs is the only one."""
        self._client: Client | None = None
        self._limit = settings.batch_bytes
        self._pace: Pace | None = None

    async def open(self) -> None:
        """Read secrets and certificates.  The network is not touched before the first event.

        Raises PermanentError where one of them is missing or wrong.
        """
        await self._renew()

    async def write(self, batch: Sequence[Record]) -> int:
        """POST the first of the records and return how many of them were taken.

        A body that the receiver finds too large is halved, down to a single record.
        """
        client = self._client
        assert client is not None, "open comes first"
        while True:
            if len(batch) > AT_ONCE:
                await self._encode(batch)
            body = compose(batch, self._settings, self._limit)
            compressed = None
            if self._settings.gzip:
                compressed = await self._worker.run(_compressed, body.content)
            if self._settings.handshake:
                await self._may_send(client, batch[0])
            answer = await client.post(body, compressed)
            if answer.status == 413 and body.count > 1:  # noqa: PLR2004 - Content Too Large
                self._limit = len(body.content) // 2
                continue
            judge(answer, client.where, body.count, time.time())
            return body.count

    async def reopen(self) -> None:
        """Read secrets and certificates anew; if that fails, the old ones stay in use."""
        await self._renew()

    async def aclose(self) -> None:
        """Close the connection."""
        client, self._client = self._client, None
        self._worker.stop()
        self._names.stop()
        if client is not None:
            await client.aclose()

    async def _renew(self) -> None:
        client = await connect(self._settings, self._worker, self._names, self._resolver)
        before, self._client = self._client, client
        self._limit = self._settings.batch_bytes
        self._pace = None
        if before is not None:
            await before.aclose()

    async def _encode(self, batch: Sequence[Record]) -> None:
        """Have every record's JSON made."""
        for number, record in enumerate(batch[: self._settings.batch_size]):
            if number and number % AT_ONCE == 0:
                await asyncio.sleep(0)
            _ = record.line

    async def _may_send(self, client: Client, record: Record) -> None:
        """Have the receiver's word that it takes events, and wait as long as its rate wants it."""
        if self._pace is None:
            self._pace = Pace(await client.handshake(record.event.host))
        await self._pace.wait()


async def connect(
    settings: WebhookSettings,
    worker: Worker,
    names: Worker,
    resolver: AbstractResolver | None = None,
) -> Client:
    """Return a client with what it needs read; PermanentError where that is missing or wrong."""
    make, credentials = await worker.run(_load, settings)
    client: Client = make(settings, credentials, names, resolver=resolver)
    return client


async def probe(settings: WebhookSettings, record: Record) -> Answer:
    """Deliver one record by hand, once, and return the answer, whatever it is.

    Raises RetryableError if there is none, UnreachableError if nothing could be tried, and
    PermanentError where a secret or certificate is missing or wrong.
    """
    worker, names = Worker("webhook-probe"), Worker("webhook-probe-names")
    try:
        client = await connect(settings, worker, names)
        try:
            if settings.handshake:
                await client.handshake(record.event.host)
            body = compose([record], settings, settings.batch_bytes)
            return await client.post(body, _compressed(body.content) if settings.gzip else None)
        finally:
            await client.aclose()
    finally:
        worker.stop()
        names.stop()


def _load(settings: WebhookSettings) -> tuple[type[Client], Any]:
    from kevmond.sinks.webhook.client import Client  # noqa: PLC0415 - aiohttp, only when needed
    from kevmond.sinks.webhook.credentials import read_credentials  # noqa: PLC0415 - as above

    try:
        return Client, read_credentials(settings)
    except ConfigError as error:
        raise PermanentError(str(error)) from error


def _compressed(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)

"""A connection from which nothing has come yet."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from aiohttp import web


class Caller(asyncio.Protocol):
    """Waits for the first byte, and lets HTTP take over with that."""

    def __init__(self, server: web.Server, waiting: set[Caller]) -> None:
        """Take the set of those that wait, to be in it from now until that byte or the end."""
        self._server = server
        self._waiting = waiting
        self._waiting.add(self)
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Hand over."""
        transport = self._transport
        assert transport is not None
        self.forget()
        handler = self._server()
        transport.set_protocol(handler)
        handler.connection_made(transport)
        handler.data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Leave."""
        self.forget()

    def forget(self) -> None:
        """Wait no longer."""
        self._waiting.discard(self)

    def abort(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.abort()

"""Look-ups of names by the system, in a thread of the sink's own (part of the client).

The event loop's own look-ups share a few threads, so that some names whose servers are dead would
keep all other sinks from theirs, and the process from its end, for as long as the system tries.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Final

from aiohttp.abc import AbstractResolver, ResolveResult

if TYPE_CHECKING:
    from kevmond.worker import Worker

# Addresses of a family that this machine has none of are left out, where the system can do that.
_FLAGS: Final = socket.AI_ADDRCONFIG & getattr(socket, "AI_MASK", -1)


class Resolver(AbstractResolver):
    """The system's look-up, so that mDNS, hosts and split DNS work; one at a time."""

    def __init__(self, worker: Worker) -> None:
        """Look names up in `worker`, which is used for nothing else, and outlives this."""
        self._worker = worker
        self.pending: str | None = None
        """The name that is being looked up, or waits for an older look-up that hangs."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the addresses of a host; OSError if it has none.

        However often it is given up meanwhile, a look-up that hangs is all there is.
        """
        self.pending = host
        try:
            return await self._worker.run(_look_up, host, port, family)
        finally:
            self.pending = None

    async def close(self) -> None:
        """Do nothing: whoever has the worker stops it."""


def _look_up(host: str, port: int, family: socket.AddressFamily) -> list[ResolveResult]:
    found = socket.getaddrinfo(host, port, family, socket.SOCK_STREAM, flags=_FLAGS)
    return [
        ResolveResult(
            hostname=host,
            host=_text(address),
            port=port,
            family=kind,
            proto=protocol,
            flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
        )
        for kind, _, protocol, _, address in found
    ]


def _text(address: tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]) -> str:
    """Return an address as text, with the zone that a link-local one is in (RFC 4007, 11)."""
    zone = address[3] if len(address) > 3 else 0  # noqa: PLR2004 - host, port, flow, zone
    return f"{address[0]}%{zone}" if zone else str(address[0])

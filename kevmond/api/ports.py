"""A site on loopback: which port it has, and for how long."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from kevmond.api import tcp

if TYPE_CHECKING:
    from kevmond.api.site import Site

IDLE: Final = 900.0
"""Seconds after which a port that was opened on demand closes if nobody with the token asked."""
FAREWELL: Final = 1.0
"""Seconds that callers of a port have when it is given up."""


class Port:
    """Closed until `open`; ends with `aclose`."""

    def __init__(self, site: Site, key: str) -> None:
        """`key` is the setting to be named where the port cannot be had."""
        self.site = site
        self._key = key
        self.number: int | None = None
        """The port it listens at."""
        self._busy = 0
        self._last = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def open(self, number: int) -> None:
        """Listen at a port, and give up the one before; ApiError if that cannot be."""
        if number != self.number:
            sockets = tcp.listen(number, self._key)
            self.close()
            self._listen(sockets)
        self._stop_timer()

    def open_on_demand(self) -> int:
        """Listen at a port that is free, for as long as it is used; return which it is."""
        if self.number is None:
            self._listen(tcp.listen(0, self._key))
            self._look_after(IDLE)
        self._last = asyncio.get_running_loop().time()
        assert self.number is not None
        return self.number

    def close(self) -> None:
        """Stop listening, and let go of its callers soon."""
        self._stop_timer()
        if self.number is not None:
            self.number = None
            self.site.deafen()
            self.site.hang_up(FAREWELL)

    async def aclose(self) -> None:
        """Stop listening, let requests under way finish for a moment, and close."""
        self._stop_timer()
        self.number = None
        await self.site.aclose()

    def used(self, begin: int) -> None:
        """Take note that a request of somebody with the token begins (1) or has ended (-1)."""
        self._busy += begin
        self._last = asyncio.get_running_loop().time()

    @property
    def on_demand(self) -> bool:
        """Whether it listens for as long as it is used."""
        return self._timer is not None

    def _listen(self, sockets: list[tcp.LoopbackSocket]) -> None:
        self.number = sockets[0].port
        self.site.listen(sockets)

    def _look_after(self, seconds: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, self._look)

    def _look(self) -> None:
        """Close if nobody has used it for long enough."""
        left = IDLE if self._busy else self._last + IDLE - asyncio.get_running_loop().time()
        if left > 0:
            self._look_after(left)
        else:
            self.close()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

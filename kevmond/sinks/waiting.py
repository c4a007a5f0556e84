"""The wait before a sink's next attempt, and what may end it early."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

NUDGES_APART: Final = 5.0
"""Seconds between two attempts that are made only because something was said to have changed: what
says so may come in bursts."""


async def pause(seconds: float, woken: asyncio.Event) -> None:
    """Wait, unless woken before."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(woken.wait(), seconds)


class Waiting:
    """One wait at a time."""

    def __init__(
        self,
        pause: Callable[[float, asyncio.Event], Awaitable[None]] = pause,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.until_ns: int | None = None
        """Wall clock at which the wait ends; None if there is none."""
        self._pause = pause
        self._monotonic = monotonic
        self._wall_ns = wall_ns
        self._woken = asyncio.Event()
        self._nudged = False
        self._roused = False
        self._heeded = -NUDGES_APART

    def wake(self) -> None:
        """End the wait, if there is one."""
        self._roused = True
        self._woken.set()

    def nudge(self) -> None:
        """End the wait, or the one that follows the attempt under way; not too often."""
        self._nudged = True
        self._woken.set()

    def trying(self) -> None:
        """Note that an attempt begins: it knows of all that changed before."""
        self._nudged = False

    async def until_woken(self) -> None:
        """Wait for `wake` or `nudge` since `calm`, however long."""
        await self._woken.wait()

    async def sleep(self, seconds: float, *, firm: bool = False) -> bool:
        """Wait, unless woken; return whether a nudge ended it.

        A `firm` wait is one that the receiver asked for: no nudge shortens it.
        """
        left, until = seconds, self._monotonic() + seconds
        soon = False  # whether a nudge has cut the wait to what keeps two of them apart
        self._roused = False
        try:
            while left > 0:
                self.until_ns = self._wall_ns() + int(left * 1e9)
                self._woken.clear()
                if not self._nudged:
                    await self._pause(left, self._woken)
                    if self._roused:
                        return False
                    if not self._nudged:
                        break
                self._nudged = False
                if not firm:
                    until, soon = min(until, self._heeded + NUDGES_APART), True
                left = until - self._monotonic()
            if soon:
                self._heeded = self._monotonic()
            return soon
        finally:
            self.until_ns = None

    def calm(self) -> None:
        """Forget that there was a `wake`: whoever calls has looked at what it was about."""
        self._woken.clear()

    async def gather(self, seconds: float) -> None:
        """Wait for more of something, unless woken."""
        await self._pause(seconds, self._woken)

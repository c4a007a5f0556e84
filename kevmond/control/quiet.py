"""Does something once it has been quiet for a while after something was heard."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine


class Quiet:
    """Has one timer while something was heard of late, and none otherwise."""

    def __init__(self, seconds: float, work: Callable[[], Coroutine[None, None, None]]) -> None:
        """`work` is done once after each time that ends in so many seconds of quiet."""
        self._seconds = seconds
        self._work = work
        self._loop = asyncio.get_running_loop()
        self._heard = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    def heard(self) -> None:
        """Take note that it is not quiet now."""
        self._heard = self._loop.time()
        if self._timer is None:
            self._timer = self._loop.call_later(self._seconds, self._look)

    async def aclose(self) -> None:
        """Do nothing more; what is being done is ended."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    def _look(self) -> None:
        """Begin if it was quiet for long enough, or look again when it may have been."""
        due = self._heard + self._seconds
        if self._task is not None and not self._task.done():
            due = self._loop.time() + self._seconds
        if due > self._loop.time():
            self._timer = self._loop.call_at(due, self._look)
        else:
            self._timer = None
            self._task = self._loop.create_task(self._work(), name="control quiet")

"""A limit in time for one call after another, with one timer for many short ones."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import TracebackType


class TimeLimit:
    """What `asyncio.timeout` does, for calls that follow one another and seldom take long.

    That makes a timer for each of them, and cancels it, which costs more than much of what is done
    in between.  The timer here looks on from call to call, and ends when it finds none under way.
    Use it by `with`, in one task at a time: a block that takes too long is cancelled and left with
    TimeoutError.
    """

    __slots__ = ("_cancelling", "_due", "_task", "_timer", "expired", "seconds")

    def __init__(self, seconds: float) -> None:
        """Take how long a block may take."""
        self.seconds = seconds
        self.expired = False
        """Whether the last block took too long."""
        self._due = 0.0
        self._task: asyncio.Task[Any] | None = None
        self._cancelling = 0  # how often others had cancelled the task before
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> None:
        """Watch the calling task from now on."""
        loop = asyncio.get_running_loop()
        task = self._task = asyncio.current_task()
        assert task is not None, "it is for tasks"
        self.expired = False
        self._cancelling = task.cancelling()
        self._due = loop.time() + self.seconds
        if self._timer is None:
            self._timer = loop.call_at(self._due, self._look)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Watch no more; raise TimeoutError where the time was up and nobody else cancelled."""
        task, self._task = self._task, None
        if not self.expired:
            return
        assert task is not None, "it has been entered"
        if task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def _look(self) -> None:
        self._timer = None
        if self._task is None:
            return
        loop = asyncio.get_running_loop()
        if loop.time() < self._due:
            self._timer = loop.call_at(self._due, self._look)
        else:
            self.expired = True
            self._task.cancel()

"""One thread of its own for blocking work.

Not `concurrent.futures`: its threads are joined when the interpreter exits, so that one write to
a dead file server would hold up the whole daemon's end.  This thread is a daemon thread.
"""

from __future__ import annotations

import asyncio
import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
_Job = tuple["asyncio.Future[Any] | None", "Callable[..., Any]", tuple[Any, ...]]


class Worker:
    """Runs jobs one after the other in a thread that is started by the first of them.

    A job cannot be interrupted.  If its waiter is cancelled, it still runs to its end, and the
    next `run` waits for that: jobs never pile up behind one that hangs.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._running = False
        self._idle: asyncio.Future[None] | None = None

    @property
    def busy(self) -> bool:
        """Whether a job has been handed over and has not come back."""
        return self._running

    async def run(self, job: Callable[..., T], *args: Any) -> T:
        """Run `job(*args)` in the thread and return what it returns, or raise what it raises."""
        loop = asyncio.get_running_loop()
        while self._running:
            if self._idle is None:
                self._idle = loop.create_future()
            await asyncio.shield(self._idle)
        if self._thread is None:
            self._thread = threading.Thread(target=self._loop, name=self._name, daemon=True)
            self._thread.start()
        future: asyncio.Future[T] = loop.create_future()
        self._running = True
        self._jobs.put((future, job, args))
        return await future

    async def end(self, job: Callable[[], object]) -> None:
        """Run a last job and let the thread end; even if a job hangs, it is run behind that.

        Whoever waits for this may stop waiting: what the job lets go of is let go of all the same.
        """
        try:
            await self.run(job)
        except asyncio.CancelledError:
            self.stop(job)
            raise
        self.stop()

    def stop(self, last: Callable[[], object] | None = None) -> None:
        """Let the thread end after the job it is at, and after `last`; `run` starts a new one."""
        if self._thread is not None:
            if last is not None:
                self._jobs.put((None, last, ()))
            self._jobs.put(None)
            self._thread = None
            self._jobs = SimpleQueue()

    def _loop(self) -> None:
        jobs = self._jobs
        while (entry := jobs.get()) is not None:
            future, job, args = entry
            result: Any = None
            error: BaseException | None = None
            try:
                result = job(*args)
            except BaseException as caught:  # noqa: BLE001 - it is raised where the job was asked for
                error = caught
                if isinstance(caught, StopIteration) or not isinstance(caught, Exception):
                    # A future refuses the first, and the others would end the event loop.
                    error = RuntimeError(f"{type(caught).__name__} in a worker: {caught}")
            if future is None:  # nobody waits for it
                continue
            loop = future.get_loop()
            try:
                loop.call_soon_threadsafe(self._finish, future, result, error)
            except RuntimeError:  # the loop is closed: nobody waits any more
                return
            del entry, future, job, args, result, error, loop  # a sleeping thread holds no batch

    def _finish(
        self, future: asyncio.Future[Any], result: Any, error: BaseException | None
    ) -> None:
        self._running = False
        if self._idle is not None:
            self._idle.set_result(None)
            self._idle = None
        if future.done():  # cancelled: its waiter is gone
            return
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)

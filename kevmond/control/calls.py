"""Where the calls on a control socket are made that take as long as the control's handler does.

Connecting, sending, options and closing run the handler in the calling thread: on the event loop
they would hold everything up.  Each channel has a thread for them, so that no control waits for
another's handler.  An embedded simulated kernel takes no time and is not thread-safe: it says so
(`inline`), and its calls are made directly.  This is the one place that knows the difference.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, TypeVar

from kevmond.errors import KernelError
from kevmond.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable

    from kevmond.kernel.control_base import ControlKernel

T = TypeVar("T")


class Calls:
    """Makes one call after the other, until `end` or `abandon`."""

    def __init__(self, kernel: ControlKernel, name: str) -> None:
        """`name` is the thread's, which is started by the first call."""
        self._worker = None if getattr(kernel, "inline", False) else Worker(name)
        self._ended = False
        self._over = False

    @property
    def busy(self) -> bool:
        """Whether a call is under way, behind which another would wait."""
        return self._worker is not None and self._worker.busy

    async def run(self, job: Callable[..., T], *args: Any) -> T:
        """Return what `job(*args)` returns, or raise what it raises.

        KernelError EBADF after the end.  Whoever is cancelled does not interrupt the job: it runs
        to its end, and the next one waits for that.
        """
        self._check()
        worker = self._worker
        if worker is None:
            return job(*args)
        try:
            return await worker.run(self._unless_ended, job, args)
        finally:
            if self._over:  # it was in line behind the last one, and started the thread anew
                worker.stop()

    async def end(self, last: Callable[[], object], patience: float) -> bool:
        """Make a last call and let the thread end; tell whether that was within `patience` seconds.

        If not, the call is made as soon as the one that hangs returns.
        """
        self._ended = True
        try:
            if self._worker is None:
                _quietly(last)
                return True
            async with asyncio.timeout(patience):
                await self._worker.end(lambda: _quietly(last))
            return True
        except TimeoutError:
            return False
        finally:
            self._over = True

    def abandon(self, last: Callable[[], object]) -> None:
        """Make a last call whenever it can be made; nobody waits for it."""
        self._ended = self._over = True
        if self._worker is None:
            _quietly(last)
        else:
            self._worker.stop(lambda: _quietly(last))

    def _unless_ended(self, job: Callable[..., T], args: tuple[Any, ...]) -> T:
        self._check()
        return job(*args)

    def _check(self) -> None:
        if self._ended:
            raise KernelError("control socket", "EBADF", "the channel is closed")


def _quietly(job: Callable[[], object]) -> None:
    """Close what is closed for good: no error changes anything then."""
    with contextlib.suppress(KernelError):
        job()

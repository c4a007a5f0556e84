"""Ctrl-C and SIGTERM while a subcommand of `kevmond ctl` shows what comes."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
_PATIENCE_S: Final = 2.0
"""How long the loop has to take notice of a signal."""


async def until_stopped(work: Coroutine[Any, Any, Any]) -> None:
    """Do `work` until it is done, or SIGINT or SIGTERM comes, which is no error.

    A second signal ends the process at once.  So does the first, after a while, if the loop takes
    no notice of it: then it is writing to somebody who does not read.
    """
    loop = asyncio.get_running_loop()
    task = loop.create_task(work)
    with _handled(loop, task.cancel):
        try:
            await task
        except asyncio.CancelledError:
            if not task.cancelled():
                raise


@contextlib.contextmanager
def _handled(loop: asyncio.AbstractEventLoop, stop: Callable[[], object]) -> Iterator[None]:
    """Call `stop` on the loop at the first signal.

    The handlers are not the loop's own: those would be called by it alone, and it may hang.
    """
    came = False

    def handle(number: int, _frame: object) -> None:
        nonlocal came
        came = True
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_DFL)
        signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(number))
        signal.setitimer(signal.ITIMER_REAL, _PATIENCE_S)
        loop.call_soon_threadsafe(notice)

    def notice() -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        stop()

    before = {each: signal.signal(each, handle) for each in _SIGNALS}
    try:
        yield
    finally:
        if not came:
            for number, handler in before.items():
                signal.signal(number, handler)

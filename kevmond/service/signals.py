"""Signals, turned into calls on the loop."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterator


@contextmanager
def handled(
    loop: asyncio.AbstractEventLoop,
    *,
    stop: Callable[[str], None],
    reload: Callable[[], object],
) -> Iterator[None]:
    """Call `stop(name)` at SIGTERM and SIGINT and `reload()` at SIGHUP, while the block runs.

    A second SIGTERM or SIGINT falls to the system's default and ends the process at once, so a
    stop that hangs can always be cut short.
    """

    def once(number: signal.Signals) -> None:
        for each in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(each)
            signal.signal(each, signal.SIG_DFL)
        stop(number.name)

    loop.add_signal_handler(signal.SIGTERM, once, signal.SIGTERM)
    loop.add_signal_handler(signal.SIGINT, once, signal.SIGINT)
    loop.add_signal_handler(signal.SIGHUP, reload)
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.remove_signal_handler(number)

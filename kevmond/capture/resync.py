"""When the interfaces' state is taken again, and how it enters the stream."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING, Any, Final

from kevmond.capture import snapshot
from kevmond.events import own

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kevmond.capture.settings import CaptureSettings
    from kevmond.clock import Clock
    from kevmond.events.own import InterfaceState

    Take = Callable[[], Mapping[str, InterfaceState]]

_RETRY_S: Final = 0.2
"""Until it is looked whether a comparison that still runs has ended."""


class Resync:
    """Takes snapshots in a thread, rarely enough, and says what they show.

    The system is asked off the loop: it may hang, and the reader must not.
    """

    def __init__(
        self,
        settings: CaptureSettings,
        say: Callable[..., None],
        *,
        clock: Clock,
        log: Any,
        take: Take = snapshot.take,
    ) -> None:
        self.settings = settings
        self._say = say
        self._clock = clock
        self._log = log
        self._take = take
        self._known: Mapping[str, InterfaceState] | None = None
        self._last_ns: int | None = None
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._busy = False  # whether a thread still asks the system

    async def first(self) -> None:
        """Say the state of each interface, one record each."""
        if not self.settings.snapshot:
            return
        self._known = await self._look()
        self._say_states("start")

    def ask(self, cause: str) -> None:
        """Compare the state with the last one known, now or when the interval allows.

        What is asked while a comparison waits or runs is covered by that comparison or the next.
        """
        if self.settings.snapshot and self._timer is None:
            self._ask(cause, self._wait())

    def stop(self) -> None:
        """Let go of timer and task."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._task is not None:
            self._task.cancel()
            self._task = None

    def _ask(self, cause: str, delay: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(delay, self._begin, cause)

    def _wait(self) -> float:
        if self._last_ns is None:
            return 0.0
        since = (self._clock.monotonic_ns() - self._last_ns) / 1e9
        return max(0.0, self.settings.resync_interval - since)

    def _begin(self, cause: str) -> None:
        self._timer = None
        if self._task is not None and not self._task.done():
            # The running one may have looked before what is asked about happened.
            self._ask(cause, max(_RETRY_S, self._wait()))
            return
        self._task = asyncio.get_running_loop().create_task(self._compare(cause), name="resync")

    async def _compare(self, cause: str) -> None:
        found = await self._look()
        if found is None:
            return
        known, self._known = self._known, found
        if known is None:  # the look at the start failed, or was switched off
            self._say_states(cause)
        changes = snapshot.differences(known, found) if known is not None else []
        self._say(own.Resync(cause=cause, changes=changes, first=known is None))

    def _say_states(self, cause: str) -> None:
        for state in (self._known or {}).values():
            self._say(own.Snapshot(cause=cause, state=state), state.name)

    async def _look(self) -> Mapping[str, InterfaceState] | None:
        self._last_ns = self._clock.monotonic_ns()
        if self._busy:  # each further one would hang as well, and keep a thread for ever
            self._log.warning("the system was asked for its interfaces before, and is silent still")
            return None
        timeout = self.settings.snapshot_timeout
        try:
            async with asyncio.timeout(timeout):
                return await self._answer()
        except TimeoutError:
            self._log.warning("the system did not tell its interfaces in time", seconds=timeout)
        except Exception as error:  # noqa: BLE001 - whatever the system's answer: capture goes on
            self._log.warning("the system did not tell its interfaces", error=str(error))
        return None

    async def _answer(self) -> Mapping[str, InterfaceState]:
        """Ask in a thread that ends with it, and that nobody waits for at exit if it hangs.

        The loop's own executor would keep its thread, and an idle daemon pays for each.
        """
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Mapping[str, InterfaceState]] = loop.create_future()

        def settle(result: Mapping[str, InterfaceState] | None, error: Exception | None) -> None:
            if done.done():
                return
            if error is not None:
                done.set_exception(error)
            elif result is not None:
                done.set_result(result)

        def run() -> None:
            result, failure = None, None
            try:
                result = self._take()
            except Exception as error:  # noqa: BLE001 - raised where the answer is waited for
                failure = error
            finally:
                self._busy = False
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(settle, result, failure)

        self._busy = True
        try:
            threading.Thread(target=run, name="snapshot", daemon=True).start()
        except RuntimeError:  # no more threads
            self._busy = False
            raise
        return await done

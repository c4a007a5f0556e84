"""All control channels of a running daemon: started, changed and stopped together."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Literal

from kevmond.control.registrations import Registrations
from kevmond.control.watch import ControlWatch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from kevmond.control.settings import ControlSettings
    from kevmond.control.watch import ChannelStatistics
    from kevmond.events.own_payload import OwnPayload
    from kevmond.kernel.base import Kernel


class ControlFleet:
    """The watches by name; none waits for another, and none holds the daemon up."""

    def __init__(self, kernel: Kernel, say: Callable[[OwnPayload], None], log: Any) -> None:
        """`say` puts a record into the stream."""
        self._kernel = kernel
        self._say = say
        self._log = log
        self._registrations = Registrations(kernel, log)
        self._watches: dict[str, ControlWatch] = {}
        self._settings: dict[str, ControlSettings] = {}

    def statistics(self) -> list[ChannelStatistics]:
        """State and counters of every channel."""
        return [watch.statistics() for watch in self._watches.values()]

    async def apply(self, settings: Mapping[str, ControlSettings]) -> list[str]:
        """Make the channels those of `settings` that are enabled; return the keys that changed.

        One whose settings are the same goes on undisturbed; a changed one is closed and begins
        anew.  Returns before any is connected: a control may never be there.  ConfigError, with
        nothing changed, for a section that can mean no control.
        """
        wanted = {name: one for name, one in settings.items() if one.enabled}
        gone = [name for name in self._watches if wanted.get(name) != self._settings[name]]
        new = {
            name: ControlWatch(
                name, one, self._kernel, self._registrations, say=self._say, log=self._log
            )
            for name, one in wanted.items()
            if name in gone or name not in self._watches
        }
        await self._close(gone, "changed")
        if wanted:
            self._registrations.start()  # before anything is looked for
        else:
            await self._registrations.stop()
        for name, watch in new.items():
            self._watches[name], self._settings[name] = watch, wanted[name]
            watch.start()
        return [f"control.{name}" for name in sorted({*gone, *new})]

    async def aclose(self, deadline: float) -> None:
        """Close every channel, in about `deadline` seconds whatever hangs."""
        await self._close(list(self._watches), "stopped", deadline)
        await self._registrations.stop()

    async def _close(
        self, names: Iterable[str], reason: Literal["stopped", "changed"], *deadline: float
    ) -> None:
        async def finish(name: str) -> None:
            await self._watches[name].aclose(reason, *deadline)
            del self._watches[name], self._settings[name]

        await asyncio.gather(*(finish(name) for name in names))

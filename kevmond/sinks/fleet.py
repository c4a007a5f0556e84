"""All sinks of a running daemon: started, changed, reopened and drained together."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from kevmond.sinks import registry
from kevmond.sinks.broken import broken
from kevmond.sinks.runner import SinkRunner

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from kevmond.events.own import OwnPayload
    from kevmond.sinks.base import Sink, SinkSettings
    from kevmond.sinks.health import SinkStatistics
    from kevmond.sinks.journal import JournalLike

    class FleetJournal(JournalLike, Protocol):
        """What a fleet needs of the journal beside what its runners need."""

        def retain_only(self, names: Iterable[str]) -> object:
            """Forget the place of every other durable consumer."""


def enabled(settings: Mapping[str, SinkSettings]) -> dict[str, SinkSettings]:
    """Return the sinks that are to run."""
    return {name: sink for name, sink in settings.items() if sink.enabled}


class Fleet:
    """The runners by name; no sink waits for another, not even at start and stop."""

    def __init__(self, journal: FleetJournal, announce: Callable[[OwnPayload], None]) -> None:
        self._journal = journal
        self._announce = announce
        self._runners: dict[str, SinkRunner] = {}
        self._settings: dict[str, SinkSettings] = {}

    def statistics(self) -> list[SinkStatistics]:
        """State and counters of every sink."""
        return [runner.statistics() for runner in self._runners.values()]

    async def apply(self, settings: Mapping[str, SinkSettings], deadline: float) -> list[str]:
        """Make the running sinks those of `settings`; return the keys that changed.

        A sink whose settings are the same goes on undisturbed.  A changed one finishes within
        `deadline` seconds and starts again from its place; a new one starts where its settings
        say; the place of one that is gone is forgotten.
        """
        wanted = enabled(settings)
        gone = [name for name in self._runners if wanted.get(name) != self._settings[name]]
        await self._drain(gone, deadline)
        new = [name for name in wanted if name not in self._runners]
        for name in new:
            self._runners[name] = SinkRunner(
                name,
                _make(name, wanted[name]),
                wanted[name],
                self._journal,
                announce=self._announce,
            )
            self._settings[name] = wanted[name]
        await asyncio.gather(*(self._runners[name].start() for name in new))
        self._journal.retain_only([runner.cursor_name for runner in self._runners.values()])
        return [f"sinks.{name}" for name in sorted({*gone, *new})]

    async def reopen(self) -> list[str]:
        """Let every sink reopen what it holds; return one line for each that could not."""
        runners = list(self._runners.values())
        errors = await asyncio.gather(*(runner.reopen() for runner in runners))
        return [
            f"sinks.{runner.name}: {error}"
            for runner, error in zip(runners, errors, strict=True)
            if error is not None
        ]

    async def drain(self, deadline: float) -> None:
        """Let every sink deliver what the journal holds now, for at most `deadline` seconds."""
        await self._drain(list(self._runners), deadline)

    async def _drain(self, names: list[str], deadline: float) -> None:
        async def finish(name: str) -> None:
            await self._runners[name].drain(deadline)
            del self._runners[name]  # not before: whoever cancels this can still drain it

        await asyncio.gather(*(finish(name) for name in names))


def _make(name: str, settings: SinkSettings) -> Sink:
    """Make a sink; one whose class fails at that stops neither the daemon nor the others."""
    try:
        return registry.usable(settings.type)(name, settings)
    except Exception as error:  # noqa: BLE001 - a plug-in may fail in any way
        why = f"sink {name}: cannot be made: {type(error).__name__}: {error}"
        return broken(why)(name, settings)

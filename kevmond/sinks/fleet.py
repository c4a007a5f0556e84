"""All sinks of a running daemon: started, changed, reopened and drained together.

There are two kinds: those of the configuration, replaced as a whole by `apply`, and guests, which
come and go one by one while the daemon runs (`kevmond.sinks.subscriptions`).  One name is one sink:
where both have it the configuration's runs, and the guest returns, to the same place in the
journal, when the configuration drops the name.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from kevmond.sinks import registry
from kevmond.sinks.broken import UnreadableSettings, broken
from kevmond.sinks.runner import SinkRunner

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from kevmond.events.own_payload import OwnPayload
    from kevmond.sinks.base import Sink, SinkSettings
    from kevmond.sinks.health import SinkStatistics
    from kevmond.sinks.journal import DeadLetters, JournalLike

    class FleetJournal(JournalLike, Protocol):
        """What a fleet needs of the journal beside what its runners need."""

        def retain_only(self, names: Iterable[str]) -> object:
            """Forget the place of every other durable consumer."""

        def forget(self, name: str) -> object:
            """Give up the place of one durable consumer."""


class Keeper(Protocol):
    """Who remembers over restarts whether a sink was paused or disabled."""

    def settle(self, runner: SinkRunner) -> None:
        """Pause or disable a runner that is about to start, if it was that before."""
        ...

    def told(self, name: str, state: str) -> None:
        """Note a runner's new state."""
        ...


def enabled(settings: Mapping[str, SinkSettings]) -> dict[str, SinkSettings]:
    """Return the sinks that are to run."""
    return {name: sink for name, sink in settings.items() if sink.enabled}


class Fleet:
    """The runners by name; no sink waits for another, not even at start and stop."""

    def __init__(
        self,
        journal: FleetJournal,
        announce: Callable[[OwnPayload], None],
        *,
        dead_letters: DeadLetters | None = None,
    ) -> None:
        self.keeper: Keeper | None = None
        """Asked about every sink before it starts; None: all are active."""
        self._journal = journal
        self._announce = announce
        self._dead_letters = dead_letters
        self._runners: dict[str, SinkRunner] = {}
        self._settings: dict[str, SinkSettings] = {}
        """Settings of the runners."""
        self._configured: dict[str, SinkSettings] = {}
        self._guests: dict[str, SinkSettings] = {}
        self._turn = asyncio.Lock()

    def statistics(self) -> list[SinkStatistics]:
        """State and counters of every sink."""
        return [runner.statistics() for runner in self._runners.values()]

    def runner(self, name: str) -> SinkRunner | None:
        """Return the runner of a sink; None if there is no such sink."""
        return self._runners.get(name)

    def settings(self, name: str) -> SinkSettings | None:
        """Return the settings that a sink runs with; None if there is no such sink."""
        return self._settings.get(name) if name in self._runners else None

    def names(self) -> list[str]:
        """Return the names of the sinks that run, in the order they came."""
        return list(self._runners)

    def is_configured(self, name: str) -> bool:
        """Whether the configuration has a sink of this name that runs."""
        return name in self._configured

    # ------------------------------------------------------------------ the configuration's

    async def apply(self, settings: Mapping[str, SinkSettings], deadline: float) -> list[str]:
        """Make the configured sinks those of `settings`; return the keys that changed.

        A sink whose settings are the same goes on undisturbed.  A changed one finishes within
        `deadline` seconds and starts again from its place; a new one starts where its settings
        say; the place of one that is gone is forgotten.  Guests are left alone.
        """
        async with self._turn:
            self._configured = enabled(settings)
            changed = await self._settle(deadline)
            wanted = self._wanted()
            self._journal.retain_only([cursor_name(name) for name in wanted])
        return [f"sinks.{name}" for name in changed]

    # ------------------------------------------------------------------ guests

    def invite(self, settings: Mapping[str, SinkSettings]) -> None:
        """Name the guests that the next `apply` starts together with the configured sinks."""
        self._guests.update(settings)

    async def add(self, name: str, settings: SinkSettings, deadline: float) -> None:
        """Start a guest, or one of this name anew with other settings, from its place."""
        async with self._turn:
            self._guests[name] = settings
            await self._settle(deadline)

    async def remove(self, name: str) -> None:
        """Stop a guest at once and forget its place."""
        async with self._turn:
            self._guests.pop(name, None)
            await self._settle(0)
            if name not in self._wanted():
                self._journal.forget(cursor_name(name))

    # ------------------------------------------------------------------ all

    @property
    def waits(self) -> bool:
        """Whether any sink waits for its next attempt."""
        return any(runner.next_attempt_ns is not None for runner in self._runners.values())

    def nudge(self) -> None:
        """Have every sink that waits for its next attempt try now: the network changed, say."""
        for runner in self._runners.values():
            runner.nudge()

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
        """Let every sink deliver what the journal holds now, for at most `deadline` seconds.

        Whoever changes the fleet is to be stopped before.
        """
        await self._drain(list(self._runners), deadline)

    def _wanted(self) -> dict[str, SinkSettings]:
        return self._guests | self._configured

    async def _settle(self, deadline: float) -> list[str]:
        """Make the running sinks the wanted ones; return the names that changed."""
        wanted = self._wanted()
        gone = [name for name in self._runners if wanted.get(name) != self._settings[name]]
        await self._drain(gone, deadline)
        new = [name for name in wanted if name not in self._runners]
        for name in new:
            self._runners[name] = self._runner(name, wanted[name])
            self._settings[name] = wanted[name]
        await asyncio.gather(*(self._runners[name].start() for name in new))
        return sorted({*gone, *new})

    def _runner(self, name: str, settings: SinkSettings) -> SinkRunner:
        keeper = self.keeper
        runner = SinkRunner(
            name,
            _make(name, settings),
            settings,
            self._journal,
            announce=self._announce,
            dead_letters=self._dead_letters,
            on_state=None if keeper is None else partial(keeper.told, name),
        )
        if keeper is not None:
            keeper.settle(runner)
        return runner

    async def _drain(self, names: list[str], deadline: float) -> None:
        async def finish(name: str) -> None:
            runner = self._runners[name]
            await runner.drain(deadline)
            if self._runners.get(name) is runner:
                del self._runners[name]  # not before: whoever cancels this can still drain it

        await asyncio.gather(*(finish(name) for name in names))


def cursor_name(name: str) -> str:
    """Return the name of a sink's place in the journal."""
    return f"sink.{name}"


def _make(name: str, settings: SinkSettings) -> Sink:
    """Make a sink; one whose class fails at that stops neither the daemon nor the others."""
    if isinstance(settings, UnreadableSettings):
        return broken(settings.why)(name, settings)
    try:
        kind: Any = registry.usable(settings.type)
        sink: Sink = kind(name, settings)
    except Exception as error:  # noqa: BLE001 - a plug-in may fail in any way
        why = f"sink {name}: cannot be made: {type(error).__name__}: {error}"
        return broken(why)(name, settings)
    return sink

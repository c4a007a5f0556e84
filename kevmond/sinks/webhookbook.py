"""The book of all webhooks: which there are, how they stand, and changes that last.

Those of the configuration are in it as long as the fleet has them; those subscribed at run time
stand on the roll (`kevmond.sinks.roll`) and are the fleet's guests.
"""

from __future__ import annotations

import asyncio
import difflib
import time
from typing import TYPE_CHECKING, Any, Final, Protocol

from kevmond.errors import ConfigError, KevmondError, RetryableError
from kevmond.events import own
from kevmond.events.event import timestamp
from kevmond.faultpoints import fault
from kevmond.sinks.broken import UnreadableSettings
from kevmond.sinks.fleet import cursor_name
from kevmond.sinks.replay import History, ReplayInterrupted
from kevmond.sinks.roll import Entry, Roll, RollJournal
from kevmond.sinks.webhookfacts import TYPE, checked, overview
from kevmond.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping
    from pathlib import Path

    from kevmond.events.own_payload import OwnPayload
    from kevmond.sinks.base import SinkSettings
    from kevmond.sinks.fleet import Fleet
    from kevmond.sinks.journal import CursorLike
    from kevmond.sinks.roll import Standing
    from kevmond.sinks.runner import SinkRunner
    from kevmond.sinks.secretfiles import SecretFiles

PATIENCE: Final = 5.0
"""Seconds that a change waits for the journal's disk."""


class SubscriptionError(KevmondError):
    """A wish that cannot be granted; `hint` says what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class UnknownWebhookError(SubscriptionError):
    """There is no webhook of this name."""


class ConflictError(SubscriptionError):
    """It cannot be done as things stand."""


class BookJournal(RollJournal, History, Protocol):
    """What webhooks need of the journal."""

    def cursor(self, name: str, *, durable: bool = True, start: Any = "newest") -> CursorLike:
        """Return a consumer's cursor."""
        ...

    def letter_counts(self) -> Mapping[str, int]:
        """Return the number of dead letters by consumer."""
        ...

    def statistics(self) -> Any:
        """Return its figures, of which `refusal` is why the disk cannot be used, if it cannot."""
        ...


class Book:
    """Names, settings and standing of all webhooks."""

    def __init__(
        self,
        journal: BookJournal,
        fleet: Fleet,
        *,
        state_dir: Path,
        secrets: SecretFiles,
        say: Callable[[OwnPayload], None],
        log: Any,
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """`say` puts a record of kevmond's own into the journal."""
        self.journal = journal
        self.fleet = fleet
        self.wall_ns = wall_ns
        self.settings: dict[str, SinkSettings] = {}
        """Of the subscriptions, by name."""
        self.worker = Worker("webhooks")
        """For what touches the disk."""
        self._roll = Roll(journal, state_dir, self.trouble)
        self._secrets = secrets
        self._state_dir = state_dir
        self._say = say
        self._log = log
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False

    # ------------------------------------------------------------------ life

    def load(self) -> None:
        """Read the roll and invite every subscription on it."""
        if self._roll.load():
            self.trouble("the journal is new: webhooks are taken from the copy beside it")
        for name, entry in list(self._roll.entries.items()):
            if entry.settings is not None:
                table = self._secrets.anchored(entry.settings)
                if table != entry.settings:
                    self._roll.put(name, entry.model_copy(update={"settings": table}))
                self.settings[name] = self._read(name, table)
        for name in self._roll.unreadable:  # so that its place is kept, and it can be removed
            why = f"webhook {name}: what is kept of it cannot be read; another version may have"
            self.settings[name] = UnreadableSettings(
                type=TYPE, why=f"{why} written it: start that one, or remove the webhook"
            )
        if self._roll.whole and self.journal.statistics().refusal is None:
            self._secrets.sweep(self._roll.texts())
        self.fleet.invite(self.settings)
        self.fleet.keeper = self

    async def aclose(self) -> None:
        """Stop what still goes on in the background."""
        self._closing = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.worker.stop()

    def soon(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something that nobody waits for."""

        async def guarded() -> None:
            try:
                await work
            except Exception as error:  # noqa: BLE001 - nobody waits for it: said instead
                self.trouble(f"{type(error).__name__}: {error}")

        if self._closing:
            work.close()
            return
        task = asyncio.get_running_loop().create_task(guarded(), name="webhooks")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def trouble(self, text: str) -> None:
        """Say in the daemon's log what went wrong."""
        self._log.warning("webhooks", trouble=text)

    # ------------------------------------------------------------------ the fleet's keeper

    def settle(self, runner: SinkRunner) -> None:
        """Start a webhook as it was: paused or disabled, if it was that.

        A sink of another type that has the name by now is none of ours: it could not be resumed.
        """
        entry = self.entry(runner.name)
        if runner.settings.type != TYPE:
            if entry.settings is None and entry != Entry():
                self._roll.put(runner.name, None)
                self.soon(self.worker.run(self._roll.save))
            return
        if entry.standing == "paused":
            runner.pause()
        elif entry.standing == "disabled":
            runner.disable(entry.reason or "disabled")

    def told(self, name: str, state: str) -> None:
        """Remember that a webhook was disabled by its receiver, or by failing for too long."""
        if state != "disabled" or self._closing or not self.is_webhook(name):
            return
        if name in self._roll.unreadable:
            return
        if self.entry(name).standing != "disabled":
            runner = self.fleet.runner(name)
            self.stand(name, "disabled", None if runner is None else runner.health.last_error)
            self.soon(self.lasting(f"webhooks.{name}: disabled"))

    async def tidy(self) -> None:
        """Clear away what removed webhooks left, and the standing of those not configured any more.

        To be called when the configuration's sinks run.
        """
        for name, entry in self.entries().items():
            if entry.removed:
                await self.clear(name)
            elif entry.settings is None and not self.is_webhook(name):
                self._roll.put(name, None)
        await self.worker.run(self._roll.save)

    async def clear(self, name: str) -> None:
        """Throw away the dead letters of a removed webhook, then take it off the roll."""
        if not self.fleet.is_configured(name):
            await self.throw_away(cursor_name(name))
        fault("subscription.before-clear")
        self._roll.put(name, None)

    async def throw_away(self, consumer: str) -> int:
        """Let go of all dead letters of a consumer; return how many there were."""
        count = 0
        while letters := await self.journal.letters(consumer, after=0, limit=1000):
            self.journal.unbury([letter.number for letter in letters])
            count += len(letters)
        return count

    # ------------------------------------------------------------------ looking up

    def entries(self) -> dict[str, Entry]:
        """Return what the roll holds."""
        return dict(self._roll.entries)

    def entry(self, name: str) -> Entry:
        """Return what the roll says of a webhook; an empty entry if nothing."""
        return self._roll.entries.get(name) or Entry()

    def names(self) -> list[str]:
        """Return the names of all webhooks, subscribed and configured."""
        return sorted({*self.settings, *filter(self.is_webhook, self.fleet.names())})

    def is_webhook(self, name: str) -> bool:
        """Whether the fleet has a webhook of this name."""
        settings = self.fleet.settings(name)
        return settings is not None and settings.type == TYPE

    def known(self, name: str) -> None:
        """Raise UnknownWebhookError, with a hint, if there is no webhook of this name."""
        names = self.names()
        if name in names:
            return
        near = difflib.get_close_matches(name, names, 1)
        if near:
            hint = f"did you mean {near[0]}?"
        elif names:
            hint = f"there are: {', '.join(names)}"
        else:
            hint = "there is none yet: `kevmond webhook add URL` subscribes one"
        raise UnknownWebhookError(f"there is no webhook {name!r}", hint)

    def effective(self, name: str) -> SinkSettings:
        """Return the settings it runs with; those of the configuration win."""
        return self.fleet.settings(name) or self.settings[name]

    def consumer(self, name: str) -> str:
        """Return its name in the journal."""
        runner = self.fleet.runner(name)
        return cursor_name(name) if runner is None else runner.cursor_name

    def runner(self, name: str) -> SinkRunner:
        """Return its runner; ConflictError if it has none."""
        self.known(name)
        runner = self.fleet.runner(name)
        if runner is None:
            raise ConflictError(f"webhook {name} does not run", "is the daemon stopping?")
        return runner

    def at_work(self, name: str) -> SinkRunner:
        """Return the runner that a replay goes through now: settings may change under way.

        RetryableError while one is on its way, SinkError if there is no such webhook any more.
        """
        runner = self.fleet.runner(name)
        if runner is not None and runner.settings.type == TYPE:
            return runner
        if runner is None and (name in self.settings or self.fleet.is_configured(name)):
            raise RetryableError(f"webhook {name} starts anew")
        raise ReplayInterrupted(f"webhook {name} is gone")

    def overview(self, name: str, replay: dict[str, Any] | None) -> dict[str, Any]:
        """Return state and figures."""
        return overview(
            name,
            self.effective(name),
            entry=self.entry(name),
            configured=self.fleet.is_configured(name),
            runner=self.fleet.runner(name),
            dead_letters=self.journal.letter_counts().get(self.consumer(name), 0),
            replay=replay,
        )

    # ------------------------------------------------------------------ changing

    def checked(self, table: Mapping[str, Any]) -> SinkSettings:
        """Return the settings of a table; ConfigError with one line for every mistake."""
        return checked(table, self._state_dir)

    def changeable(self, name: str) -> None:
        """Raise ConflictError if what is kept of a webhook cannot be read: it would be lost."""
        if name in self._roll.unreadable:
            raise ConflictError(
                f"what is kept of webhook {name} cannot be read",
                f"start the version that wrote it, or `kevmond webhook remove {name}`",
            )

    def put(self, name: str, entry: Entry | None) -> None:
        """Put an entry on the roll, or take it off; to be followed by `lasting`."""
        self._roll.put(name, entry)

    def stand(self, name: str, standing: Standing, reason: str | None) -> None:
        """Note how a webhook stands from now on; to be followed by `lasting`."""
        self.changeable(name)
        since = None if standing == "active" else timestamp(self.wall_ns())
        update = {"standing": standing, "reason": reason, "since": since}
        self._roll.put(name, self.entry(name).model_copy(update=update))

    async def lasting(self, what: str) -> None:
        """Tell the stream what was just put on the roll, and wait until the disk has both.

        No `await` may lie between the change and this call: the journal then takes both at once.
        """
        before = self.journal.next_seq
        reader = self.journal.cursor("webhooks", durable=False, start="newest")
        try:
            self._say(own.Config(state="applied", changes=(what,)))
            if self.journal.next_seq != before:
                async with asyncio.timeout(PATIENCE):
                    await reader.read(1)
        except TimeoutError:
            self.trouble(f"{what}: the journal's disk has not taken it yet; a crash may undo it")
        finally:
            reader.close()
        fault("subscription.after-state")
        await self.worker.run(self._roll.save)

    def _read(self, name: str, table: Mapping[str, Any]) -> SinkSettings:
        try:
            return self.checked(table)
        except ConfigError as error:
            why = f"webhook {name}: what is kept of it is not understood: {error}"
            return UnreadableSettings(type=TYPE, why=why)

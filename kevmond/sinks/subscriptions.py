"""Webhooks that are subscribed while the daemon runs, and the care of all webhooks.

A change counts as made when the journal has it on the disk; only then is the caller told.  Webhooks
of the configuration are shown, tested, paused and replayed here too; what they are is changed in
their file.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import secrets
from typing import TYPE_CHECKING, Any, Final

from kevmond.errors import ConfigError, KevmondError
from kevmond.events.event import timestamp
from kevmond.events.filters import EventFilter
from kevmond.sinks.replay import Replays
from kevmond.sinks.roll import Entry
from kevmond.sinks.secretfiles import SecretFiles, references
from kevmond.sinks.webhookbook import Book, ConflictError
from kevmond.sinks.webhookfacts import TYPE, letters_facts, secrets_of, settings_facts

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from pathlib import Path

    from kevmond.secret import Secret
    from kevmond.sinks.fleet import Fleet
    from kevmond.sinks.replay import Wanted
    from kevmond.sinks.roll import Standing
    from kevmond.sinks.webhookbook import BookJournal

OVERLAP: Final = 86400.0
"""Seconds for which a rotated secret goes on signing beside the new one."""

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")


class Subscriptions:
    """All webhooks of a running daemon."""

    def __init__(
        self,
        journal: BookJournal,
        fleet: Fleet,
        *,
        state_dir: Path,
        changed: Callable[[], Awaitable[None]] | None = None,
        drain_deadline: float = 2.0,
        **rest: Any,
    ) -> None:
        """Take what it works on; `rest` is for the `Book`.

        `changed` is awaited when `filters` may have changed; `drain_deadline` is how long a webhook
        may finish, in seconds, when its settings change.
        """
        state_dir = state_dir.absolute()
        self._secrets = SecretFiles(state_dir / "secrets")
        self._book = Book(journal, fleet, state_dir=state_dir, secrets=self._secrets, **rest)
        self._fleet = fleet
        self._changed = changed
        self._deadline = drain_deadline
        self._replays = Replays(journal)
        self._rotations: dict[str, asyncio.TimerHandle] = {}
        self._turn = asyncio.Lock()

    # ------------------------------------------------------------------ life

    def load(self) -> None:
        """Invite every subscription that is remembered; to be called before the fleet starts."""
        self._book.load()

    async def start(self) -> None:
        """Finish interrupted removals and look after rotations; to be called after the fleet's."""
        try:
            await self._book.tidy()
        except KevmondError as error:  # the next start tries again
            self._book.trouble(f"what removed webhooks left cannot be cleared away: {error}")
        for name, entry in self._book.entries().items():
            self._end_rotation_at(name, entry.rotation_ends_ns)

    async def aclose(self) -> None:
        """Stop replays and timers; to be called before the fleet drains."""
        for timer in self._rotations.values():
            timer.cancel()
        await self._replays.aclose()
        await self._book.aclose()

    def filters(self) -> list[EventFilter]:
        """Return what the subscriptions want; the kernel is asked for it beside the sinks' own."""
        return [EventFilter(each.filter) for each in self._book.settings.values()]

    # ------------------------------------------------------------------ showing

    def names(self) -> list[str]:
        """Return the names of all webhooks, subscribed and configured."""
        return self._book.names()

    def listing(self) -> list[dict[str, Any]]:
        """Return state and figures of all webhooks."""
        return [self._overview(name) for name in self.names()]

    def show(self, name: str) -> dict[str, Any]:
        """Return all about one webhook, its settings too; secrets stand as references."""
        self._book.known(name)
        return {**self._overview(name), "settings": settings_facts(self._book.effective(name))}

    async def failures(
        self, name: str, *, after: int = 0, limit: int = 100
    ) -> list[dict[str, Any]]:
        """Return dead letters of a webhook with their stories, oldest first."""
        self._book.known(name)
        consumer = self._book.consumer(name)
        return letters_facts(await self._book.journal.letters(consumer, after=after, limit=limit))

    async def test(self, name: str) -> dict[str, Any]:
        """Send one test event and return the receiver's answer; state and place are untouched."""
        from kevmond.sinks.trial import trial  # noqa: PLC0415 - loads the client

        self._book.known(name)
        return await trial(name, self._book.effective(name))

    # ------------------------------------------------------------------ changing

    async def add(
        self,
        settings: Mapping[str, Any],
        *,
        name: str | None = None,
        secret: str | None = None,
        generate: bool = False,
    ) -> dict[str, Any]:
        """Subscribe an endpoint; return what `show` does, and the secret if one was made.

        `settings` is the table of a sink of type webhook.  Raises ConfigError or SubscriptionError.
        """
        from kevmond.sinks.webhook import signing  # noqa: PLC0415 - loads the library for it

        async with self._turn:
            name = self._free_name(name)
            table = {**settings, "type": TYPE}
            if not self._book.checked(table).enabled:  # before a secret is written
                raise ConfigError("enabled: to subscribe and deliver later, pause it after")
            await self._without_heritage(name)
            if generate:
                secret = signing.generate_secret()
            if secret is not None:
                kept = await self._keep(name, signing.check_secret(secret))
                table["secret"] = [kept.reference]
            read = self._book.checked(table)
            self._book.settings[name] = read
            created = timestamp(self._book.wall_ns())
            try:
                self._book.put(name, Entry(settings=table, created=created))
                await self._book.lasting(f"webhooks.{name}: added")
                await self._fleet.add(name, read, self._deadline)
            except BaseException:
                del self._book.settings[name]
                self._book.put(name, None)
                await self._fleet.remove(name)
                self._secrets.drop(references(table))
                raise
            await self._told_filters()
        return {**self.show(name), **({"secret": secret} if generate else {})}

    async def remove(self, name: str, *, force: bool = False) -> dict[str, Any]:
        """Unsubscribe: forget its place, its secrets and its dead letters."""
        async with self._turn:
            self._subscribed(name, "remove it from the configuration, then reload by SIGHUP")
            facts = self._overview(name)
            dead, waiting = facts["dead_letters"], facts["lag"]
            if dead and not force:
                raise ConflictError(
                    f"webhook {name} has {dead} events that were never delivered",
                    f"see them: `kevmond webhook failures {name}`; send them: "
                    f"`kevmond webhook replay {name} --failed`; or give them up with --force",
                )
            await self._replays.forget(name)
            held = references(self._book.entry(name).settings)
            del self._book.settings[name]
            self._book.put(name, Entry(removed=True))  # until nothing of it is left
            await self._book.lasting(f"webhooks.{name}: removed")
            self._end_rotation_at(name, None)
            await self._fleet.remove(name)
            await self._book.clear(name)
            await self._book.worker.run(self._secrets.drop, held)
            await self._told_filters()
        return {"name": name, "removed": True, "waiting": waiting, "dead_letters": dead}

    async def pause(self, name: str) -> dict[str, Any]:
        """Stop delivering until `resume`; what comes waits in the journal."""
        return await self._stand(name, "paused")

    async def resume(self, name: str) -> dict[str, Any]:
        """Deliver again, from where it stopped, whatever stopped it."""
        return await self._stand(name, "active")

    async def disable(self, name: str, reason: str | None = None) -> dict[str, Any]:
        """Stop delivering, and have it said as an error, until `resume`."""
        return await self._stand(name, "disabled", reason or "disabled by hand")

    async def rotate_secret(
        self, name: str, *, secret: str | None = None, overlap: float = OVERLAP
    ) -> dict[str, Any]:
        """Sign with a new secret, and with the one before too for `overlap` seconds.

        Without `secret` one is made, and returned.
        """
        from kevmond.sinks.webhook import signing  # noqa: PLC0415 - loads the library for it

        async with self._turn:
            self._subscribed(name, "put the new one first in its `secret`, then reload by SIGHUP")
            self._book.changeable(name)
            self._book.checked(self._book.entry(name).settings or {})  # before a secret is written
            made = secret is None
            fresh = signing.generate_secret() if secret is None else signing.check_secret(secret)
            before = secrets_of(self._book.settings[name])
            kept = await self._keep(name, fresh)
            older = before[:1] if overlap > 0 else ()
            ends = self._book.wall_ns() + int(overlap * 1e9) if older else None
            await self._sign_with(name, (kept, *older), ends, "secret rotated")
            gone = [ref.reference for ref in before[len(older) :]]
            await self._book.worker.run(self._secrets.drop, gone)
        return {**self.show(name), **({"secret": fresh} if made else {})}

    async def replay(self, name: str, wanted: Wanted) -> dict[str, Any]:
        """Begin to deliver once more; `show` tells how far it is."""
        async with self._turn:
            runner = self._book.runner(name)
            standing = self._book.entry(name).standing
            if standing != "active":
                raise ConflictError(
                    f"webhook {name} is {standing}", f"first: `kevmond webhook resume {name}`"
                )
            if self._replays.running(name):
                raise ConflictError(
                    f"webhook {name} has a replay under way already",
                    f"how far is it? `kevmond webhook show {name}`",
                )
            task = self._replays.begin(
                runner,
                self._book.effective(name),
                wanted,
                find=lambda: self._book.at_work(name),
                started=timestamp(self._book.wall_ns()),
            )
        await asyncio.wait({task}, timeout=0.2)  # most are short: the answer tells their end
        return self._replays.facts(name) or {}

    # ------------------------------------------------------------------ inside

    def _overview(self, name: str) -> dict[str, Any]:
        return self._book.overview(name, self._replays.facts(name))

    async def _stand(
        self, name: str, standing: Standing, reason: str | None = None
    ) -> dict[str, Any]:
        async with self._turn:
            runner = self._book.runner(name)
            if standing == "paused" and self._book.entry(name).standing == "disabled":
                raise ConflictError(
                    f"webhook {name} is disabled, which is more than paused",
                    f"deliver again: `kevmond webhook resume {name}`",
                )
            if standing != "active":
                await self._replays.stop(name)
            self._book.stand(name, standing, reason)
            if standing == "active":
                runner.resume()
            elif standing == "paused":
                runner.pause()
            else:
                runner.disable(reason or standing)
            await self._book.lasting(f"webhooks.{name}: {standing}")
        return self.show(name)

    async def _keep(self, name: str, secret: str) -> Secret:
        return await self._book.worker.run(self._secrets.keep, name, secret)

    async def _sign_with(
        self, name: str, refs: tuple[Secret, ...], ends_ns: int | None, what: str
    ) -> None:
        """Give a subscription other secrets, and make that last before they are used."""
        entry = self._book.entry(name)
        table = {**(entry.settings or {}), "secret": [ref.reference for ref in refs]}
        read = self._book.checked(table)
        await self._replays.stop(name)
        self._book.settings[name] = read
        update = {"settings": table, "rotation_ends_ns": ends_ns}
        self._book.put(name, entry.model_copy(update=update))
        await self._book.lasting(f"webhooks.{name}: {what}")
        self._end_rotation_at(name, ends_ns)
        await self._fleet.add(name, read, self._deadline)

    def _end_rotation_at(self, name: str, ends_ns: int | None) -> None:
        """Have a rotation end then; None if there is none (any more)."""
        timer = self._rotations.pop(name, None)
        if timer is not None:
            timer.cancel()
        if ends_ns is not None:
            left = max(0.0, (ends_ns - self._book.wall_ns()) / 1e9)
            loop = asyncio.get_running_loop()
            self._rotations[name] = loop.call_later(
                left, lambda: self._book.soon(self._end_rotation(name))
            )

    async def _end_rotation(self, name: str) -> None:
        async with self._turn:
            ends_ns = self._book.entry(name).rotation_ends_ns
            if ends_ns is None:
                return
            if ends_ns > self._book.wall_ns():  # the clock was set back
                self._end_rotation_at(name, ends_ns)
                return
            refs = secrets_of(self._book.settings[name])
            await self._sign_with(name, refs[:1], None, "the older secret ended")
            gone = [ref.reference for ref in refs[1:]]
            await self._book.worker.run(self._secrets.drop, gone)

    async def _told_filters(self) -> None:
        if self._changed is not None:
            await self._changed()

    async def _without_heritage(self, name: str) -> None:
        """Let go of dead letters that an earlier sink of this name has left: they are not its."""
        consumer = self._book.consumer(name)
        if consumer in self._book.journal.letter_counts():
            count = await self._book.throw_away(consumer)
            self._book.trouble(f"{count} dead letters of an earlier sink {name} are given up")

    def _subscribed(self, name: str, instead: str) -> None:
        """Refuse to change what the configuration says."""
        self._book.known(name)
        if name not in self._book.settings:
            raise ConflictError(f"webhook {name} is one of the configuration", instead)

    def _free_name(self, name: str | None) -> str:
        taken = {*self._book.settings, *self._fleet.names()}
        if name is None:
            fresh = (f"wh-{secrets.token_hex(3)}" for _ in itertools.count())
            return next(each for each in fresh if each not in taken)
        if not _NAME.fullmatch(name):
            raise ConfigError(
                f"not a name: {name!r}; up to 63 letters, digits, dots, dashes and underscores, "
                "the first a letter or a digit"
            )
        if name in taken:
            raise ConflictError(
                f"there is a sink {name!r} already",
                f"give another name, or look at that one: `kevmond webhook show {name}`",
            )
        return name

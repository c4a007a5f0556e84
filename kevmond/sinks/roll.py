"""The roll of subscriptions: what the daemon remembers of them over restarts.

It lives in the journal's state, one JSON object a subscription, and so becomes lasting together
with the record that tells of the change.  A copy stands beside the journal: should the journal have
to be set aside as unusable, the subscriptions go on with the new one.
"""

from __future__ import annotations

import contextlib
import json
import os
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

from pydantic import BaseModel, ConfigDict, ValidationError

from kevmond.faultpoints import fault

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PREFIX: Final = "webhook."
"""Of the keys in the journal's state."""
COPY: Final = "webhooks.json"
"""Name of the copy."""

Standing = Literal["active", "paused", "disabled"]


class RollJournal(Protocol):
    """What the roll needs of the journal."""

    first_run: bool

    def states(self, prefix: str) -> dict[str, str]:
        """Return all values whose key begins so."""
        ...

    def set_state(self, key: str, value: str | None) -> None:
        """Keep a value, or forget it."""
        ...


class Entry(BaseModel):
    """One subscription, or, without settings, the standing of a configured webhook."""

    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)

    settings: dict[str, Any] | None = None
    """Its settings as they were given, secrets as references."""
    created: str | None = None
    """When it was made: RFC 3339, UTC."""
    standing: Standing = "active"
    """Whether it delivers."""
    reason: str | None = None
    """Why not, where it does not."""
    since: str | None = None
    """When that began."""
    rotation_ends_ns: int | None = None
    """Wall clock at which the older secret ends; None if there is no rotation."""
    removed: bool = False
    """Whether it was removed, and what it leaves behind is still to be cleared away."""


class Roll:
    """Entries by name; a change goes to the journal at once, to the copy when `save` is called."""

    def __init__(self, journal: RollJournal, folder: Path, trouble: Callable[[str], None]) -> None:
        self.entries: dict[str, Entry] = {}
        self.unreadable: dict[str, str] = {}
        """What is kept of subscriptions and cannot be read, by name, as it is: another version may
        be able to."""
        self.whole = True
        """Whether all that there is could be read, so that nothing else is referred to."""
        self._journal = journal
        self._copy = folder / COPY
        self._trouble = trouble

    def load(self) -> bool:
        """Read all entries; return whether they had to be taken from the copy.

        One that cannot be read stays where it is, in `unreadable`, and is said.
        """
        stored = {
            key.removeprefix(PREFIX): value for key, value in self._journal.states(PREFIX).items()
        }
        from_copy = not stored and self._journal.first_run
        if from_copy:
            stored = self._read_copy()
        for name, text in sorted(stored.items()):
            try:
                self.entries[name] = Entry.model_validate_json(text)
            except ValidationError as error:
                self.unreadable[name] = text
                self._trouble(f"webhook {name}: what is kept of it cannot be read: {error}")
        self.whole = self.whole and not self.unreadable
        if from_copy:
            for name, text in stored.items():
                self._journal.set_state(PREFIX + name, text)
        return from_copy and bool(stored)

    def texts(self) -> list[str]:
        """Return what is kept, as it is."""
        return list(self._journal.states(PREFIX).values())

    def put(self, name: str, entry: Entry | None) -> None:
        """Remember an entry, or forget it; lasting with what the same callback appends."""
        fault("subscription.before-state")
        self.unreadable.pop(name, None)
        if entry == Entry() or entry is None:
            self.entries.pop(name, None)
            self._journal.set_state(PREFIX + name, None)
        else:
            self.entries[name] = entry
            self._journal.set_state(PREFIX + name, entry.model_dump_json(exclude_none=True))

    def save(self) -> None:
        """Write the copy; blocking, and may run in a thread of its own."""
        fresh = self._copy.with_name(f"{COPY}.new")
        held: dict[str, Any] = dict(self.unreadable)
        for name, entry in list(self.entries.items()):
            held[name] = entry.model_dump(mode="json", exclude_none=True)
        try:
            with contextlib.suppress(FileNotFoundError):
                fresh.unlink()
            fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with open(fd, "w", encoding="utf-8") as file:  # noqa: PTH123 - our own descriptor
                json.dump(held, file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self._copy)
        except OSError as error:
            self._trouble(f"{self._copy}: cannot be written ({error.strerror})")

    def _read_copy(self) -> dict[str, str]:
        try:
            held = json.loads(self._copy.read_bytes())
            return {
                str(name): entry if isinstance(entry, str) else json.dumps(entry)
                for name, entry in held.items()
            }
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, AttributeError) as error:
            self._trouble(f"{self._copy}: cannot be read ({error})")
            self.whole = False
            return {}

"""The journal as the rest of kevmond knows it: append, cursors, state, history.

Every event is appended once; everything else reads it through a cursor.  All methods belong to the
event loop's thread; the disk is another thread's business (`owner`, `reader`).
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Literal

from kevmond.clock import SystemClock
from kevmond.errors import JournalError
from kevmond.events.event import Context
from kevmond.journal import notices, trouble
from kevmond.journal.cursor import Cursor, began_key, note_key
from kevmond.journal.letterbox import Letterbox
from kevmond.journal.letters import Letters
from kevmond.journal.notices import Doubling
from kevmond.journal.owner import Owner
from kevmond.journal.pipeline import Pace, Pipeline
from kevmond.journal.ranges import Ranges
from kevmond.journal.reader import Reader
from kevmond.journal.statistics import JournalStatistics
from kevmond.journal.store import Store
from kevmond.journal.view import View
from kevmond.journal.window import chunk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from kevmond.clock import Clock
    from kevmond.events.event import Record
    from kevmond.journal.cursor import Revive
    from kevmond.journal.letters import DeadLetter, StoredLetter
    from kevmond.journal.notices import Notice
    from kevmond.journal.reader import Damage
    from kevmond.journal.settings import JournalSettings
    from kevmond.journal.store import Contents

MAX_CHUNK: Final = 1024
"""Longer appends are cut, so that memory is let go of in pieces."""


class Journal:
    """Made by `Journal.open`, ended by `aclose`."""

    def __init__(
        self,
        settings: JournalSettings,
        owner: Owner,
        contents: Contents,
        news: list[Notice],
        *,
        clock: Clock,
        on_notice: Callable[[Notice], None] | None,
        revive: Revive | None,
        pace: Pace,
    ) -> None:
        self.settings = settings
        self.notices: list[Notice] = []
        """News for which there was no `on_notice`, or no running loop to call it on."""
        self.on_notice = on_notice
        """Called on the loop, soon, with each piece of news; it may append a record."""
        self.clean_stop_ns = contents.stopped_ns
        """Wall clock at which the run before stopped cleanly; None if it did not."""
        self.first_run = contents.created
        """True if the journal was made by this run."""
        self._contents = contents
        self._clock = clock
        self._revive = revive
        self._context: Context | None = None
        self._state = dict(contents.state)
        self._view = View(contents, settings)
        self._reader = Reader(settings.path)
        self._letters = Letters(contents, settings.max_bytes)
        self._pipeline = Pipeline(
            settings,
            owner=owner,
            view=self._view,
            letters=self._letters,
            contents=contents,
            pace=pace,
            tell=self._tell,
        )
        self._letterbox = Letterbox(self._letters, self._pipeline, self._reader)
        self._cursors: dict[str, Cursor] = {}  # open durable ones
        self._told = Doubling()
        self._damaged = Ranges()
        for notice in news:
            self._tell(notice)
        if contents.refusal is not None:
            self._tell(notices.degraded(settings.path, contents.refusal))
        if contents.letters_damage is not None:
            self._tell(notices.letters_damaged(settings.path, contents.letters_damage))

    @classmethod
    def open(
        cls,
        settings: JournalSettings,
        *,
        clock: Clock | None = None,
        on_notice: Callable[[Notice], None] | None = None,
        revive: Revive | None = None,
        pace: Pace | None = None,
        make_store: Callable[..., Store] = Store,
    ) -> Journal:
        """Open the journal, making it where there is none; blocking.

        A file that cannot be used is set aside, and a full disk makes the journal work from memory;
        `on_notice` is told (with a loop running, else see `notices`).  Raises JournalError, which
        tells what to do, if the folder cannot be written or another process holds the journal.
        `revive` is `kevmond.events.revive.revive`.
        """
        clock = clock or SystemClock()
        owner = Owner(settings, clock, make_store)
        contents, news = owner.start()
        return cls(
            settings,
            owner,
            contents,
            news,
            clock=clock,
            on_notice=on_notice,
            revive=revive,
            pace=pace or Pace(),
        )

    @property
    def next_seq(self) -> int:
        """Position of the next record."""
        return self._pipeline.next_seq

    @property
    def oldest_seq(self) -> int:
        """Oldest position that can be read; that of the next record if there is none."""
        return self._view.oldest()

    def set_context(self, context: Context) -> None:
        """Have the records appended from now on belong to this context; cheap.

        After a run that did not stop cleanly, in another boot, positions may have been given out
        that a power cut took from the disk: the first context then moves `next_seq` beyond them.
        """
        first, self._context = self._context is None, context
        before = self._contents.context
        if (
            first
            and self.clean_stop_ns is None
            and before is not None
            and before.boot_id != context.boot_id
            and self._pipeline.counters.appended == 0
        ):
            self.advance(self._contents.reserved - 1)

    def append(self, records: Sequence[Record]) -> None:
        """Take records over, contiguous from `next_seq`; returns at once, never raises.

        They reach the disk, and then the consumers, in the order given.  All that one callback of
        the loop appends and sets becomes lasting at once or not at all.
        """
        if not records:
            return
        count = len(records)
        first, last = records[0].seq, records[-1].seq
        pipeline = self._pipeline
        if pipeline.closing:
            pipeline.counters.lost += count
        elif first < pipeline.next_seq or last - first != count - 1:
            follow = f"{first} to {last} do not follow {pipeline.next_seq - 1}"
            pipeline.count_lost(count, f"positions {follow}, a mistake in kevmond")
        else:
            context = self._context or Context(host="", boot_id="")
            for begin in range(0, count, MAX_CHUNK):
                part = records if count <= MAX_CHUNK else records[begin : begin + MAX_CHUNK]
                pipeline.append(chunk(part, context))

    def advance(self, seq: int) -> None:
        """Never give out a position up to `seq`: a sink holds a later one than this journal."""
        if seq >= self._pipeline.next_seq:
            self._pipeline.move_to(seq + 1)

    def cursor(
        self,
        name: str,
        *,
        durable: bool = True,
        start: Literal["oldest", "newest"] | int = "newest",
    ) -> Cursor:
        """Open a consumer's place.

        A durable cursor is found again under its name after a restart, and holds the records it
        has not acknowledged against `max_age` (not against `max_bytes`), open or not: see
        `retain_only`.  One that is not durable holds nothing and is forgotten when closed.

        `start` counts only for a name that is new: "oldest" reads all there is, "newest" what is
        appended from now on, a number what follows that position; what is gone by then, from the
        disk for a durable cursor, is passed over and not missed.  JournalError if it is open.
        """
        view, newest = self._view, self.next_seq - 1
        known = view.positions.get(name) if durable else None
        if durable and name in self._cursors:
            raise JournalError(f"cursor {name!r} is open already; two consumers need two names")
        if known is not None:
            position = min(known, newest)
        elif start == "newest":
            position = newest
        elif start == "oldest":
            position = min(view.oldest() - 1, newest)
        else:
            position = max(0, min(int(start), newest))
            if durable:  # what only memory still has would be neither read nor missed after a stop
                position = max(position, min(view.oldest() - 1, newest))
        missed = 0 if known is None else view.missed_before.get(name, 0)
        gone = view.gone.copy() if known is None else view.forgiven.get(name)
        cursor = self._make_cursor(
            name, durable=durable, position=position, missed=missed, forgiven=gone
        )
        view.open.add(cursor)
        if durable:
            self._cursors[name] = cursor
            if known is None:
                view.positions[name] = position
                if gone:
                    view.forgiven[name] = gone
                self._pipeline.begin(name, position)
                self.set_state(began_key(name), str(position))
        return cursor

    def began(self, name: str) -> int | None:
        """Position behind which a durable cursor began to read; None where that is not known."""
        told = self.state(began_key(name))
        return int(told) if told is not None and told.isdecimal() else None

    def forget(self, name: str) -> None:
        """Close a durable cursor and give up its place, so that it holds no records any more."""
        if name in self._cursors:
            self._cursors[name].close()
        self.set_state(note_key(name), None)
        self.set_state(began_key(name), None)
        if self._view.positions.pop(name, None) is not None:
            self._view.missed_before.pop(name, None)
            self._view.forgiven.pop(name, None)
            self._pipeline.forget(name)

    def retain_only(self, names: Iterable[str]) -> None:
        """Forget every durable cursor but these.

        To be called at start and after a reload with the names that are configured: the place of a
        sink that is gone would hold records until the size bound takes them.
        """
        keep = set(names)
        for name in [name for name in self._view.positions if name not in keep]:
            self.forget(name)

    def state(self, key: str) -> str | None:
        """Return the value last set, in this run or an earlier one."""
        return self._state.get(key)

    async def lasting(self) -> bool:
        """Wait until the disk has all that was appended, set, acknowledged and buried up to now.

        Returns False, without waiting, while the disk refuses; it then has it later.
        """
        return await self._pipeline.lasting()

    def states(self, prefix: str) -> dict[str, str]:
        """Return all values whose key begins with `prefix`, by key."""
        return {key: value for key, value in self._state.items() if key.startswith(prefix)}

    def set_state(self, key: str, value: str | None) -> None:
        """Keep a value, or (None) forget it.

        Lasting with what the same callback appends, or about a second later.
        """
        if self._state.get(key) == value:
            return
        if value is None:
            del self._state[key]
        else:
            self._state[key] = value
        self._pipeline.set_state(key, value)

    # ------------------------------------------------------------------ dead letters

    def bury(
        self, consumer: str, letters: Sequence[DeadLetter], acknowledge: tuple[str, int]
    ) -> None:
        """Put records aside that were not delivered, and acknowledge them: both or neither lasts.

        `acknowledge` is the name of an open durable cursor and the position it is to be at.  The
        oldest letters of all consumers are given up for these where there is no room, which is said
        for each.  JournalError if no such cursor is open.
        """
        name, seq = acknowledge
        cursor = self._cursors.get(name)
        if cursor is None:
            raise JournalError(f"cursor {name!r} is not open, so nothing of its can be buried")
        if not self._pipeline.closing:
            cursor.acknowledge(seq)  # in one callback with the letters: in one transaction
            self._letterbox.bury(consumer, letters, self._clock.wall_ns())

    def letter_counts(self) -> dict[str, int]:
        """Return how many dead letters there are of each consumer that has any."""
        return dict(self._letters.counts)

    async def letters(
        self, consumer: str | None = None, *, after: int = 0, limit: int = 100
    ) -> list[StoredLetter]:
        """Read dead letters, of one consumer or of all, oldest first, at most `limit`.

        Go on with `after` the number of the last one.  A letter that is damaged is removed, counted
        and said.  JournalError if the disk cannot be read.
        """
        try:
            return await self._letterbox.read(
                consumer, after, limit, self._view.generation, self._reviver()
            )
        except (sqlite3.Error, OSError) as error:
            raise self._unreadable(error) from error

    def unbury(self, numbers: Iterable[int]) -> int:
        """Remove dead letters: they were delivered after all, or nobody wants them.

        Returns how many there were.
        """
        return self._letterbox.unbury(numbers)

    # ------------------------------------------------------------------ history, end, figures

    async def read(
        self, *, first_seq: int = 1, since_ns: int | None = None, limit: int = 1000
    ) -> list[Record]:
        """History: at most `limit` visible records from `first_seq` on, none older than `since_ns`.

        Oldest first; go on with the position behind the last one.  JournalError if the disk cannot
        be read.
        """
        cursor = self._make_cursor("history", durable=False, position=first_seq - 1)
        found: list[Record] = []
        try:
            if since_ns is not None:
                begin = await self._reader.ask(
                    self._view.generation, lambda source: source.since(since_ns)
                )
                cursor.acknowledge(begin - 1)
            while len(found) < limit:
                records = await cursor.available(limit - len(found))
                if not records:
                    break
                found += [r for r in records if since_ns is None or r.wall_ns >= since_ns]
        except (sqlite3.Error, OSError) as error:
            raise self._unreadable(error) from error
        return found

    async def aclose(self, deadline: float) -> None:
        """Write what waits and the mark of a clean stop, and close; at most `deadline` seconds.

        Every cursor is closed.  A disk that does not answer is left alone: `statistics().pending`
        then tells how many records it did not take.
        """
        for cursor in list(self._view.open):
            cursor.close()
        self._reader.stop()
        await self._pipeline.aclose(deadline)

    def statistics(self) -> JournalStatistics:
        """Figures of this moment."""
        pipeline, view = self._pipeline, self._view
        return JournalStatistics(
            next_seq=pipeline.next_seq,
            oldest_seq=self.oldest_seq,
            disk_bytes=pipeline.used_bytes,
            memory_records=view.window.records,
            memory_bytes=view.window.size,
            pending=pipeline.pending,
            refusal=pipeline.refusal,
            counters=replace(pipeline.counters),
            cursors=tuple(view.cursors(self.next_seq - 1, closed_but=self._cursors.keys())),
            letters=len(self._letters),
            letters_bytes=self._letters.size,
        )

    def _make_cursor(
        self,
        name: str,
        *,
        durable: bool,
        position: int,
        missed: int = 0,
        forgiven: Ranges | None = None,
    ) -> Cursor:
        return Cursor(
            name,
            durable=durable,
            position=position,
            missed=missed,
            forgiven=forgiven,
            view=self._view,
            reader=self._reader,
            revive=self._reviver(),
            on_acknowledge=self._acknowledged,
            on_damage=self._count_damage,
            on_close=self._forget_open,
        )

    def _reviver(self) -> Revive:
        if self._revive is None:
            from kevmond.events.revive import revive  # noqa: PLC0415 - who only appends needs none

            self._revive = revive
        return self._revive

    def _unreadable(self, error: Exception) -> JournalError:
        return JournalError(f"{self.settings.path}: cannot be read ({trouble.describe(error)})")

    def _acknowledged(self, cursor: Cursor) -> None:
        if cursor.durable:
            self._view.positions[cursor.name] = cursor.position
            self._view.missed_before.pop(cursor.name, None)
            self._pipeline.acknowledge(cursor.name, cursor.position)

    def _forget_open(self, cursor: Cursor) -> None:
        self._view.open.discard(cursor)
        if self._cursors.get(cursor.name) is cursor:
            del self._cursors[cursor.name]
        self._view.trim()

    def _count_damage(self, damage: Damage) -> None:
        known = self._damaged.count(damage.first, damage.last)
        self._damaged.add(damage.first, damage.last)
        counters = self._pipeline.counters
        counters.damaged += damage.last - damage.first + 1 - known
        if news := self._told.due("damaged", counters.damaged):
            span = (damage.first, damage.last)
            self._tell(
                notices.damaged(self.settings.path, span, damage.reason, news, counters.damaged)
            )

    def _tell(self, notice: Notice) -> None:
        if self.on_notice is not None:
            with contextlib.suppress(RuntimeError):  # no loop runs
                # Not from here: it may append, and this may be in the middle of an append.
                asyncio.get_running_loop().call_soon(self.on_notice, notice)
                return
        self.notices.append(notice)

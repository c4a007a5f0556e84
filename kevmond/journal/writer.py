"""What the owner's thread does with a commit, and with a disk or a database that is in trouble."""

from __future__ import annotations

import contextlib
import sqlite3
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from kevmond.faultpoints import fault
from kevmond.journal import trouble
from kevmond.journal.batch import pack
from kevmond.journal.commit import Outcome
from kevmond.journal.opening import open_store, set_aside
from kevmond.journal.retention import Retention
from kevmond.journal.store import glance
from kevmond.journal.stored import StoredCursors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from kevmond.clock import Clock
    from kevmond.events.event import Context, Record
    from kevmond.journal.batch import Row
    from kevmond.journal.commit import Commit
    from kevmond.journal.lock import Lock
    from kevmond.journal.notices import Notice
    from kevmond.journal.settings import JournalSettings
    from kevmond.journal.store import Store
    from kevmond.journal.window import Chunk

RESERVE: Final = 1 << 17
"""Positions reserved ahead of the newest; renewed when half of them are used."""


@dataclass(slots=True)
class _Changes:
    """What one transaction makes of the database."""

    rows: list[Row]
    contexts: list[tuple[int, Context]]
    cursors: StoredCursors
    removed: list[tuple[int, int]] = field(default_factory=list)
    misses: Counter[str] = field(default_factory=Counter)


class Writer:
    """The database and all that is known about it; lives on one thread."""

    def __init__(
        self, settings: JournalSettings, clock: Clock, lock: Lock, make: Callable[..., Store]
    ) -> None:
        """Open the database; blocking.  A disk that is full is no error: it is tried again."""
        self._settings = settings
        self._clock = clock
        self._lock = lock
        self._make = make
        self._store: Store | None = None
        self.notices: list[Notice] = []
        """What opening has to say."""
        refusal: str | None = None
        try:
            self._store, contents = open_store(settings, clock.wall_ns, self.notices, make)
        except (sqlite3.Error, OSError) as error:
            refusal, contents = trouble.describe(error), glance(settings.path)
        contents.refusal = refusal
        known = contents.last_seq
        empty = contents.created or contents.reserved <= 1  # made, and nothing written into it yet
        if empty or lock.died_unwritten or refusal is not None:
            # What was given out before cannot be seen in the database: begin beyond all of it.
            contents.last_seq = max(contents.last_seq, contents.reserved - 1, lock.reserved - 1)
        contents.reserved = max(contents.reserved, lock.reserved, contents.last_seq + RESERVE)
        self._skipped = contents.last_seq > known
        """Positions were passed over that the database does not know of: until the first commit
        only the lock file tells."""
        lock.write(contents.reserved, healthy=refusal is None and not self._skipped)
        self.contents = contents
        """What the journal held when it was opened."""
        self._reserved = contents.reserved
        self._context_id, self._context = contents.context_id, contents.context
        self._cursors = StoredCursors(contents.cursors)
        self._state = dict(contents.state)
        self._first_seq, self._last_seq = contents.first_seq, contents.stored_seq
        self._unmarked = True
        """The mark of the last clean stop, and an older reservation, are still there."""
        self._rewrite = False
        """The database may know nothing of cursors and state."""
        self._generation = 0
        self._retention = Retention(settings, clock)
        if self._store is not None:
            self._retention.used_bytes = self._store.used_bytes()

    def write(self, commit: Commit) -> Outcome:
        """Write all of it or nothing; never raises."""
        outcome = Outcome(commit)
        for replaced in (False, True):
            try:
                if self._store is None:
                    self._reopen(outcome)
                self._transact(self._require(), commit, outcome)
            except Exception as error:  # noqa: BLE001 - the thread must outlive everything
                if not replaced and trouble.damaged(error) and self._replace(error, outcome):
                    continue
                self._refuse(error, outcome)
            break
        outcome.first_seq = self._first_seq
        outcome.used_bytes = self._retention.used_bytes
        outcome.reserved = self._reserved
        outcome.generation = self._generation
        if commit.final:
            self.close()
        return outcome

    def close(self) -> None:
        """Close the database and let go of the lock."""
        if self._store is not None:
            fault("journal.before-checkpoint")
            with contextlib.suppress(sqlite3.Error):
                self._store.checkpoint()
            fault("journal.after-checkpoint")
            with contextlib.suppress(sqlite3.Error):
                self._store.close()
            self._store = None
        self._lock.release()

    def _transact(self, store: Store, commit: Commit, outcome: Outcome) -> None:
        fault("journal.before-begin")
        if not store.in_place():
            raise trouble.Vanished("deleted or replaced while in use")
        changes = self._changes(commit, outcome)
        store.begin()
        self._put_records(store, changes)
        self._put_consumers(store, commit, changes)
        self._put_letters(store, commit)
        reserved = self._put_meta(store, commit, moved=bool(changes.removed))
        fault("journal.before-commit")
        store.commit()
        fault("journal.after-commit")
        self._adopt(store, commit, changes)
        outcome.removed += changes.removed
        outcome.misses = changes.misses
        if reserved != self._reserved or not self._lock.healthy:
            self._reserved = reserved
            self._lock.write(reserved)

    def _changes(self, commit: Commit, outcome: Outcome) -> _Changes:
        """Work out what to write, on copies: until it is committed nothing is known to be so."""
        rows, contexts = self._rows(commit, outcome)
        cursors = self._cursors.copy()
        if self._rewrite:
            cursors.everything_changed()
        cursors.forget(commit.forget)
        cursors.acknowledge(commit.positions)  # a name that was forgotten may begin anew
        for number, (first, last) in enumerate(commit.lost):
            cursors.lose(first, last, {name for name, at in commit.begun.items() if at > number})
        for first, last in outcome.unfit:
            cursors.lose(first, last)
        return _Changes(rows, contexts, cursors)

    def _put_records(self, store: Store, changes: _Changes) -> None:
        for identity, context in changes.contexts:
            store.put_context(identity, context)
        if changes.rows:
            store.insert(changes.rows)
            self._retention.added(changes.rows)
        fault("journal.after-insert")
        if self._retention.due:
            changes.removed = self._retention.trim(store, changes.cursors.floor())
            for first, last in changes.removed:
                changes.misses.update(changes.cursors.lose(first, last))
            if changes.removed:
                fault("journal.after-trim")

    def _put_consumers(self, store: Store, commit: Commit, changes: _Changes) -> None:
        cursors = changes.cursors
        if cursors.forgotten:
            store.forget_cursors(cursors.forgotten)
        if cursors.changed:
            store.put_cursors(cursors.rows(self._clock.wall_ns()))
        state = {**self._state, **commit.state} if self._rewrite else commit.state
        if state:
            store.put_state(state)

    def _put_letters(self, store: Store, commit: Commit) -> None:
        if commit.letters:
            fault("journal.before-bury")
            store.put_letters(commit.letters)
            self._retention.used_bytes += sum(letter.size for letter in commit.letters)
            fault("journal.after-bury")
        if commit.unburied:
            store.remove_letters(commit.unburied)
            fault("journal.after-unbury")

    def _adopt(self, store: Store, commit: Commit, changes: _Changes) -> None:
        """Take over what was committed: from now on it is so."""
        if changes.rows:
            self._last_seq = changes.rows[-1].last_seq
            if self._first_seq is None:
                self._first_seq = changes.rows[0].first_seq
        if changes.contexts:
            self._context_id, self._context = changes.contexts[-1]
        self._cursors = changes.cursors
        self._cursors.settled()
        for key, value in commit.state.items():
            if value is None:
                self._state.pop(key, None)
            else:
                self._state[key] = value
        self._unmarked = self._rewrite = self._skipped = False
        if changes.removed:
            oldest = store.oldest(1)
            self._first_seq = oldest[0][0] if oldest else None
            with contextlib.suppress(sqlite3.Error):
                store.shrink()

    def _put_meta(self, store: Store, commit: Commit, *, moved: bool) -> int:
        if moved or commit.moved or self._rewrite or self._skipped:
            store.put_meta("last_seq", commit.next_seq - 1)
        reserved = self._renewed(commit)
        if reserved != self._reserved or self._unmarked or self._rewrite:
            store.put_meta("reserved", reserved)
        if commit.final:
            fault("journal.before-clean-mark")
            store.put_meta("stopped_ns", self._clock.wall_ns())
        elif self._unmarked:
            store.put_meta("stopped_ns", None)
        return reserved

    def _renewed(self, commit: Commit) -> int:
        if commit.next_seq + RESERVE // 2 > self._reserved:
            return commit.next_seq + RESERVE
        return self._reserved

    def _rows(
        self, commit: Commit, outcome: Outcome
    ) -> tuple[list[Row], list[tuple[int, Context]]]:
        rows: list[Row] = []
        contexts: list[tuple[int, Context]] = []
        identity, context = self._context_id, self._context
        if self._rewrite and context is not None:
            contexts.append((identity, context))
        for run_context, records, run in _runs(commit.chunks):
            if run_context != context:
                identity, context = identity + 1, run_context
                contexts.append((identity, context))
            try:
                rows += pack(records, identity)
            except Exception:  # noqa: BLE001 - one record that is none must not stop the journal
                for chunk in run:
                    try:
                        rows += list(pack(chunk.records, identity))
                    except Exception:  # noqa: BLE001 - see above
                        outcome.unfit.append((chunk.first, chunk.last))
        return rows, contexts

    def _require(self) -> Store:
        assert self._store is not None
        return self._store

    def _reopen(self, outcome: Outcome) -> None:
        self._store, contents = open_store(
            self._settings, self._clock.wall_ns, outcome.notices, self._make
        )
        if contents.created:
            self._forsake(outcome)
            self._context_id, self._context = 0, None
        else:
            self._first_seq, self._last_seq = contents.first_seq, contents.stored_seq
            self._context_id, self._context = contents.context_id, contents.context
            self._cursors.adopt(contents.cursors)
            self._state = {**contents.state, **self._state}
        outcome.letters = contents.letters
        self._rewrite = True
        self._generation += 1
        self._retention.used_bytes = self._store.used_bytes()

    def _forsake(self, outcome: Outcome) -> None:
        """All that the old database held is out of reach."""
        if self._first_seq is not None:
            gone = (self._first_seq, self._last_seq)
            outcome.removed.append(gone)
            self._cursors.lose(*gone)
        self._first_seq = None

    def _replace(self, error: Exception, outcome: Outcome) -> bool:
        """Set a damaged database aside; False if that cannot be done now."""
        self._undo()
        self._drop_connection()
        with contextlib.suppress(Exception):
            outcome.notices.append(
                set_aside(self._settings.path, trouble.describe(error), self._clock.wall_ns())
            )
            return True
        return False

    def _refuse(self, error: Exception, outcome: Outcome) -> None:
        self._undo()
        outcome.refused = trouble.describe(error)
        outcome.unfit.clear()
        self._lock.degrade()
        reserved = self._renewed(outcome.commit)
        if reserved != self._reserved:
            self._reserved = reserved
            self._unmarked = True
            self._lock.write(reserved, healthy=False)
        if not trouble.keeps_connection(error):
            self._drop_connection()

    def _undo(self) -> None:
        if self._store is not None:
            with contextlib.suppress(sqlite3.Error):
                self._store.rollback()

    def _drop_connection(self) -> None:
        if self._store is not None:
            with contextlib.suppress(sqlite3.Error):
                self._store.close()
            self._store = None


def _runs(chunks: Sequence[Chunk]) -> Iterator[tuple[Context, Sequence[Record], list[Chunk]]]:
    """Chunks that can share rows: contiguous and of one context."""
    run: list[Chunk] = []
    for chunk in chunks:
        if run and (chunk.first != run[-1].last + 1 or chunk.context != run[-1].context):
            yield run[0].context, _joined(run), run
            run = []
        run.append(chunk)
    if run:
        yield run[0].context, _joined(run), run


def _joined(run: list[Chunk]) -> Sequence[Record]:
    if len(run) == 1:
        return run[0].records
    return [record for chunk in run for record in chunk.records]

"""Looking a journal over without changing it: what is in it, and what is wrong with it."""

from __future__ import annotations

import contextlib
import sqlite3
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kevmond.errors import JournalError
from kevmond.journal import letter_table, trouble
from kevmond.journal.batch import MAX_RECORDS, Batch, DamagedRow, Row
from kevmond.journal.contexts import context_from_json
from kevmond.journal.store import APPLICATION_ID, COLUMNS, SCHEMA_VERSION

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(slots=True)
class Verdict:
    """What `verify` found."""

    rows: int = 0
    records: int = 0
    """Records in sound rows."""
    first_seq: int | None = None
    last_seq: int | None = None
    holes: list[tuple[int, int]] = field(default_factory=list)
    """Positions between the first and the last that no row holds: skipped (`Journal.advance`, a
    run that was killed while the disk was full), lost to a refusing disk, or taken away."""
    damaged: list[tuple[int, int, str]] = field(default_factory=list)
    """Rows that cannot be read: first and last position as the row says, and why."""
    problems: list[str] = field(default_factory=list)
    """Whatever else is wrong."""
    cursors: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Name to position and records missed beyond it."""
    letters: dict[str, int] = field(default_factory=dict)
    """Sound dead letters by consumer."""

    @property
    def sound(self) -> bool:
        """True if nothing is damaged; holes are no damage."""
        return not self.damaged and not self.problems


def verify(path: Path) -> Verdict:
    """Look over the journal at `path`, in use or not; blocking, and reads all of it.

    JournalError if it is not there or is no journal of this version.
    """
    if not path.is_file():
        raise JournalError(f"{path}: no such file; name the journal (journal.path)")
    try:
        with contextlib.closing(
            sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        ) as db:
            return _look(db, path)
    except sqlite3.Error as error:
        raise JournalError(f"{path}: cannot be read ({trouble.describe(error)})") from error


def _look(db: sqlite3.Connection, path: Path) -> Verdict:
    found = db.execute("PRAGMA application_id").fetchone()[0]
    if found != APPLICATION_ID:
        raise JournalError(f"{path}: is not a journal of kevmond (application_id {found:#x})")
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version != SCHEMA_VERSION:
        raise JournalError(f"{path}: schema version {version}; this kevmond reads {SCHEMA_VERSION}")
    verdict = Verdict()
    with contextlib.suppress(sqlite3.Error):  # what it cannot read, it says below
        verdict.problems += [
            str(line) for (line,) in db.execute("PRAGMA quick_check") if line != "ok"
        ]
    try:
        contexts = _contexts(db, verdict)
        verdict.cursors = {
            name: (seq, missed)
            for name, seq, missed in db.execute("SELECT name, seq, missed FROM cursors")
        }
        for row in db.execute(f"SELECT {COLUMNS} FROM batches ORDER BY first_seq"):  # noqa: S608 - the columns are ours
            _look_at_row(Row(*row), contexts, verdict)
        _look_at_letters(db, verdict)
    except sqlite3.Error as error:
        verdict.problems.append(f"the rest cannot be read: {trouble.describe(error)}")
    return verdict


def _contexts(db: sqlite3.Connection, verdict: Verdict) -> set[int]:
    known: set[int] = set()
    for identity, text in db.execute("SELECT id, json FROM contexts"):
        try:
            context_from_json(text)
        except (ValueError, TypeError) as error:
            verdict.problems.append(f"context {identity}: {error}")
        else:
            known.add(identity)
    return known


def _look_at_letters(db: sqlite3.Connection, verdict: Verdict) -> None:
    known, _ = letter_table.index(db)
    for number in known:
        for row in letter_table.fetch(db, [number]):
            if row.sound:
                verdict.letters[row.consumer] = verdict.letters.get(row.consumer, 0) + 1
            else:
                verdict.problems.append(f"dead letter {number}: its check sum is wrong")


def _look_at_row(row: Row, contexts: set[int], verdict: Verdict) -> None:
    verdict.rows += 1
    try:
        batch = Batch(row)
    except DamagedRow as error:
        verdict.damaged.append((row.first_seq, row.last_seq, str(error)))
        span = row.last_seq - row.first_seq
        last = row.last_seq if 0 <= span < MAX_RECORDS else row.first_seq
    else:
        verdict.records += row.records
        last = batch.last_seq
        if row.context not in contexts:
            verdict.problems.append(f"records {row.first_seq} to {last}: their context is missing")
    previous = verdict.last_seq
    if previous is None:
        verdict.first_seq = row.first_seq
    elif row.first_seq <= previous:
        verdict.problems.append(f"positions {row.first_seq} to {previous} are held twice")
    elif row.first_seq > previous + 1:
        verdict.holes.append((previous + 1, row.first_seq - 1))
    verdict.last_seq = max(last, previous or 0)

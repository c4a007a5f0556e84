"""The database: its schema and every statement, one connection, no policy.

    batches   rows of up to 512 records (see `batch`), keyed by the first position
    contexts  what decoding needs beside the bytes (`Context`), as JSON
    cursors   how far each durable consumer has come, and what it missed beyond that
    state     small values that capture keeps with the records
    letters   records that some receiver never took (see `letter_table`); made when first needed
    meta      positions that must never go back, and the mark of a clean stop

Every `sqlite3.Error` passes through: who calls decides (`trouble`).
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from kevmond.faultpoints import fault
from kevmond.journal import letter_table, trouble
from kevmond.journal.batch import Row
from kevmond.journal.contexts import context_from_json, context_to_json
from kevmond.journal.settings import Durability

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from kevmond.events.event import Context
    from kevmond.journal.letters import Index, Letter

APPLICATION_ID: Final = 0x6B65766D
"""PRAGMA application_id of a journal: "kevm"."""
SCHEMA_VERSION: Final = 1
"""PRAGMA user_version; a journal of another version is not read."""

_SCHEMA: Final = (
    (
        "CREATE TABLE batches(first_seq INTEGER PRIMARY KEY, last_seq INTEGER NOT NULL,"
        " first_ns INTEGER NOT NULL, last_ns INTEGER NOT NULL, context INTEGER NOT NULL,"
        " records INTEGER NOT NULL, crc INTEGER NOT NULL, body BLOB NOT NULL)"
    ),
    "CREATE TABLE contexts(id INTEGER PRIMARY KEY, json TEXT NOT NULL)",
    (
        "CREATE TABLE cursors(name TEXT PRIMARY KEY, seq INTEGER NOT NULL,"
        " missed INTEGER NOT NULL, updated_ns INTEGER NOT NULL) WITHOUT ROWID"
    ),
    "CREATE TABLE state(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE meta(key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID",
    f"PRAGMA application_id={APPLICATION_ID}",
    f"PRAGMA user_version={SCHEMA_VERSION}",
)

COLUMNS: Final = ", ".join(Row._fields)
_INSERT: Final = f"INSERT OR REPLACE INTO batches({COLUMNS}) VALUES(?, ?, ?, ?, ?, ?, ?, ?)"


class ForeignFile(sqlite3.DatabaseError):
    """A sound database that is not a journal of this version."""


@dataclass(slots=True)
class Contents:
    """What a journal held when it was opened."""

    last_seq: int = 0
    """Last position that is known to have been given out."""
    reserved: int = 1
    first_seq: int | None = None
    """Oldest position on the disk; None if there is none."""
    stored_seq: int = 0
    """Newest position on the disk; 0 if there is none."""
    stopped_ns: int | None = None
    """When the run before stopped cleanly; None if it did not."""
    context_id: int = 0
    context: Context | None = None
    cursors: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Name to position and number of records missed beyond it."""
    state: dict[str, str] = field(default_factory=dict)
    letters: Index = field(default_factory=dict)
    last_letter: int = 0
    """Highest number that a letter was given, as far as can be seen."""
    letters_damage: str | None = None
    """Why the letters cannot be read; None if they can."""
    created: bool = False
    refusal: str | None = None
    """Why the disk did not let it be opened for writing; None if it did."""


class Store:
    """One connection that writes; used by one thread at a time."""

    def __init__(self, path: Path, durability: Durability = Durability.PROCESS) -> None:
        """Open the database, making it if it is not there or empty; blocking."""
        self.path = path
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        self._db = sqlite3.connect(
            path, timeout=2.0, isolation_level=None, check_same_thread=False, cached_statements=32
        )
        try:
            self.created = self._prepare(durability)
            self._inode = path.stat().st_ino
            self._page = self._pragma("page_size")
        except BaseException:
            self._db.close()
            raise

    def _prepare(self, durability: Durability) -> bool:
        run = self._db.execute
        run("PRAGMA trusted_schema=OFF")
        run("PRAGMA cell_size_check=ON")
        run("PRAGMA temp_store=MEMORY")
        run("PRAGMA cache_size=-512")
        new: bool = run("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
        if new:
            run("PRAGMA auto_vacuum=INCREMENTAL")
        elif (found := self._pragma("application_id")) != APPLICATION_ID:
            raise ForeignFile(f"it is another program's database (application_id {found:#x})")
        elif (found := self._pragma("user_version")) != SCHEMA_VERSION:
            raise ForeignFile(
                f"it has schema version {found}, and this kevmond reads {SCHEMA_VERSION}"
            )
        mode = run("PRAGMA journal_mode=WAL").fetchone()[0]
        if mode != "wal":
            raise ForeignFile(f"its file system allows no WAL (journal_mode is {mode})")
        run("PRAGMA journal_size_limit=4194304")
        if durability is Durability.POWER:
            run("PRAGMA synchronous=FULL")
            run("PRAGMA fullfsync=ON")  # macOS: fsync alone does not reach the platter
            run("PRAGMA checkpoint_fullfsync=ON")
        else:
            run("PRAGMA synchronous=NORMAL")
        if new:
            self.begin()
            for statement in _SCHEMA:
                run(statement)
            fault("journal.before-schema")
            self.commit()
            fault("journal.after-schema")
        return new

    def load(self) -> Contents:
        """Read all but the records."""
        contents = _contents(self._db)
        contents.created = self.created
        return contents

    def begin(self) -> None:
        """Begin a transaction that will write."""
        self._db.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """Make it lasting; may run a checkpoint."""
        self._db.execute("COMMIT")

    def rollback(self) -> None:
        """Undo the transaction, if one is open."""
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")

    def insert(self, rows: Sequence[Row]) -> None:
        """Add rows; a row already there (a commit that failed halfway) is replaced."""
        if len(rows) == 1:
            self._db.execute(_INSERT, rows[0])
        else:
            self._db.executemany(_INSERT, rows)

    def put_context(self, identity: int, context: Context) -> None:
        """Add a context."""
        self._db.execute(
            "INSERT OR REPLACE INTO contexts VALUES(?, ?)", (identity, context_to_json(context))
        )

    def put_cursors(self, cursors: Iterable[tuple[str, int, int, int]]) -> None:
        """Add or change cursors: name, position, missed, wall clock."""
        self._db.executemany("INSERT OR REPLACE INTO cursors VALUES(?, ?, ?, ?)", cursors)

    def forget_cursors(self, names: Iterable[str]) -> None:
        """Remove cursors."""
        self._db.executemany("DELETE FROM cursors WHERE name = ?", [(name,) for name in names])

    def put_state(self, state: Mapping[str, str | None]) -> None:
        """Add, change or (None) remove values."""
        gone = [(key,) for key, value in state.items() if value is None]
        kept = [(key, value) for key, value in state.items() if value is not None]
        self._db.executemany("DELETE FROM state WHERE key = ?", gone)
        self._db.executemany("INSERT OR REPLACE INTO state VALUES(?, ?)", kept)

    def put_letters(self, letters: Sequence[Letter]) -> None:
        """Add dead letters."""
        letter_table.put(self._db, letters)

    def remove_letters(self, numbers: Iterable[int]) -> None:
        """Remove dead letters."""
        letter_table.remove(self._db, numbers)

    def put_meta(self, key: str, value: int | None) -> None:
        """Add, change or (None) remove a number of the journal's own."""
        if value is None:
            self._db.execute("DELETE FROM meta WHERE key = ?", (key,))
        else:
            self._db.execute("INSERT OR REPLACE INTO meta VALUES(?, ?)", (key, value))

    def oldest(self, limit: int) -> list[tuple[int, int, int, int]]:
        """First and last position, wall clock and size in bytes of the oldest rows."""
        return self._db.execute(
            "SELECT first_seq, last_seq, last_ns, length(body) FROM batches"
            " ORDER BY first_seq LIMIT ?",
            (limit,),
        ).fetchall()

    def delete_to(self, first_seq: int) -> None:
        """Remove the rows up to and with the one that begins here, and contexts nobody needs."""
        self._db.execute("DELETE FROM batches WHERE first_seq <= ?", (first_seq,))
        # Contexts are numbered in the order they came to hold, so older than the oldest row's
        # means unused.  The newest stays: the next run compares its own with it.
        self._db.execute(
            "DELETE FROM contexts WHERE id < coalesce("
            "(SELECT context FROM batches ORDER BY first_seq LIMIT 1),"
            "(SELECT max(id) FROM contexts))"
        )

    def used_bytes(self) -> int:
        """Bytes of pages in use; free pages within the file are used again first."""
        return (self._pragma("page_count") - self._pragma("freelist_count")) * self._page

    def shrink(self) -> None:
        """Give free pages back to the file system where they are a large part of the file."""
        free, pages = self._pragma("freelist_count"), self._pragma("page_count")
        if free > max(256, pages // 4):
            # A row without columns for each page: `execute` would stop at the first.
            self._db.executescript(f"PRAGMA incremental_vacuum({free - pages // 8})")

    def in_place(self) -> bool:
        """Tell whether the file is still where it was opened: not deleted, not replaced."""
        try:
            return self.path.stat().st_ino == self._inode
        except FileNotFoundError:
            return False
        except OSError:
            return True  # cannot be told; the next write will tell

    def checkpoint(self) -> None:
        """Move the WAL into the database and cut it off."""
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def close(self) -> None:
        """Close the connection; what is not committed is undone."""
        self._db.close()

    def _pragma(self, name: str) -> int:
        return int(self._db.execute(f"PRAGMA {name}").fetchone()[0])


def glance(path: Path) -> Contents:
    """Read what can be read of a journal where nothing may be written, not even SQLite's helpers.

    What stands only in the -wal file stays unseen; an unreadable file reads as an empty one.
    """
    try:
        with contextlib.closing(
            sqlite3.connect(f"{path.absolute().as_uri()}?immutable=1", uri=True)
        ) as db:
            return _contents(db)
    except (sqlite3.Error, ValueError):
        return Contents()


def _contents(db: sqlite3.Connection) -> Contents:
    run = db.execute
    meta: dict[str, int] = dict(run("SELECT key, value FROM meta").fetchall())
    first = run("SELECT first_seq FROM batches ORDER BY first_seq LIMIT 1").fetchone()
    last = run("SELECT last_seq FROM batches ORDER BY first_seq DESC LIMIT 1").fetchone()
    stored = last[0] if last else 0
    context = run("SELECT id, json FROM contexts ORDER BY id DESC LIMIT 1").fetchone()
    contents = Contents(
        last_seq=max(stored, meta.get("last_seq", 0)),
        reserved=meta.get("reserved", 1),
        first_seq=first[0] if first else None,
        stored_seq=stored,
        stopped_ns=meta.get("stopped_ns"),
        context_id=context[0] if context else 0,
        context=context_from_json(context[1]) if context else None,
        cursors={
            name: (seq, missed)
            for name, seq, missed in run("SELECT name, seq, missed FROM cursors").fetchall()
        },
        state=dict(run("SELECT key, value FROM state").fetchall()),
    )
    try:
        contents.letters, contents.last_letter = letter_table.index(db)
    except sqlite3.DatabaseError as error:
        if not trouble.damaged(error):
            raise
        contents.letters_damage = trouble.describe(error)  # the records may be sound
    return contents

"""The table of dead letters: every statement about it.

It is made by the first letter, in the same transaction, so a journal without letters has none.
Context and story stand in each row: a letter outlives the records, and the contexts, around it.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final, NamedTuple

from kevmond.journal.contexts import context_to_json

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence

    from kevmond.journal.letters import Index, Letter

_TABLE: Final = (
    # AUTOINCREMENT: no number is given twice, also when all letters are gone.
    "CREATE TABLE IF NOT EXISTS letters(number INTEGER PRIMARY KEY AUTOINCREMENT,"
    " consumer TEXT NOT NULL, size INTEGER NOT NULL, seq INTEGER NOT NULL,"
    " event_id TEXT NOT NULL, wall_ns INTEGER NOT NULL, buried_ns INTEGER NOT NULL,"
    " kind TEXT NOT NULL, context TEXT NOT NULL, story TEXT NOT NULL, crc INTEGER NOT NULL,"
    " body BLOB NOT NULL)"
)


class LetterRow(NamedTuple):
    """A row of the table `letters`."""

    number: int
    consumer: str
    size: int
    """Bytes it counts for."""
    seq: int
    event_id: str
    wall_ns: int
    buried_ns: int
    kind: str
    context: str
    """JSON (`context_to_json`)."""
    story: str
    crc: int
    """CRC-32 of what the record is made of again: seq, wall_ns, kind, context and body."""
    body: bytes

    @property
    def sound(self) -> bool:
        """Whether it is what was written."""
        try:
            return self.crc == checksum(self.seq, self.wall_ns, self.kind, self.context, self.body)
        except (TypeError, AttributeError):
            return False  # a column of another type


_COLUMNS: Final = ", ".join(LetterRow._fields)
_PLACES: Final = ", ".join("?" * len(LetterRow._fields))
_INSERT: Final = f"INSERT OR REPLACE INTO letters({_COLUMNS}) VALUES({_PLACES})"
_SELECT: Final = f"SELECT {_COLUMNS} FROM letters WHERE number = ?"  # noqa: S608 - they are ours


def checksum(seq: int, wall_ns: int, kind: str, context: str, body: bytes) -> int:
    """CRC-32 of what a record is made of."""
    return zlib.crc32(body, zlib.crc32(f"{seq} {wall_ns} {kind} {context}".encode()))


def put(db: sqlite3.Connection, letters: Sequence[Letter]) -> None:
    """Add letters; one already there (a commit that failed halfway) is replaced."""
    db.execute(_TABLE)
    db.executemany(_INSERT, map(_row, letters))


def _row(letter: Letter) -> LetterRow:
    dead = letter.dead
    kind, context = str(dead.kind), context_to_json(dead.context)
    return LetterRow(
        letter.number,
        _text(letter.consumer),
        letter.size,
        dead.seq,
        _text(dead.event_id),
        dead.wall_ns,
        letter.buried_ns,
        kind,
        context,
        _text(dead.story),
        checksum(dead.seq, dead.wall_ns, kind, context, dead.body),
        dead.body,
    )


def _text(text: str) -> str:
    """Return what SQLite takes: one bad letter must not keep a transaction from the disk."""
    return text.encode(errors="replace").decode()


def remove(db: sqlite3.Connection, numbers: Iterable[int]) -> None:
    """Remove letters."""
    if _exists(db):
        db.executemany("DELETE FROM letters WHERE number = ?", [(number,) for number in numbers])


def index(db: sqlite3.Connection) -> tuple[Index, int]:
    """Return what letters there are, and the last number that was given."""
    if not _exists(db):
        return {}, 0
    last = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'letters'").fetchone()
    rows = db.execute("SELECT number, consumer, size FROM letters ORDER BY number").fetchall()
    found = {number: (consumer, size) for number, consumer, size in rows}
    return found, max([last[0] if last else 0, *found])


def fetch(db: sqlite3.Connection, numbers: Sequence[int]) -> list[LetterRow]:
    """Read letters; those that are not there are left out."""
    rows = (db.execute(_SELECT, (number,)).fetchone() for number in numbers)
    return [LetterRow(*row) for row in rows if row is not None]


def _exists(db: sqlite3.Connection) -> bool:
    query = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'letters'"
    return bool(db.execute(query).fetchone()[0])

"""The durable journal: every event is appended once, and everything else reads it by a cursor."""

from kevmond.journal.cursor import Cursor, CursorClosed
from kevmond.journal.journal import Journal
from kevmond.journal.letters import DeadLetter, StoredLetter
from kevmond.journal.notices import Notice, NoticeKind
from kevmond.journal.settings import Durability, JournalSettings
from kevmond.journal.statistics import CursorStatistics, JournalStatistics

__all__ = [
    "Cursor",
    "CursorClosed",
    "CursorStatistics",
    "DeadLetter",
    "Durability",
    "Journal",
    "JournalSettings",
    "JournalStatistics",
    "Notice",
    "NoticeKind",
    "StoredLetter",
]

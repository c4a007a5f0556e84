"""The journal in figures, for whoever asks."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Counters:
    """What has happened since the start of this run, in plain ints."""

    appended: int = 0
    """Records."""
    committed: int = 0
    """Records."""
    commits: int = 0
    """Transactions that the disk took."""
    refused: int = 0
    """Transactions that it did not take."""
    lost: int = 0
    """Records given up before any disk took them."""
    trimmed: int = 0
    """Records removed by retention."""
    forced: int = 0
    """Misses of durable consumers by that, each counted for itself."""
    damaged: int = 0
    """Records found unreadable on the disk."""
    letters_lost: int = 0
    """Dead letters that are gone undelivered: to make room for newer ones, or with a database."""


@dataclass(frozen=True, slots=True)
class CursorStatistics:
    """One consumer."""

    name: str
    durable: bool
    open: bool
    position: int
    """Last position acknowledged."""
    lag: int
    """Positions between that and the newest."""
    missed: int
    """Records that went out of reach before it read them."""


@dataclass(frozen=True, slots=True)
class JournalStatistics:
    """The journal at one moment."""

    next_seq: int
    oldest_seq: int
    """Oldest position that can be read."""
    disk_bytes: int
    """Size of the database, without its -wal file."""
    memory_records: int
    memory_bytes: int
    """Records kept in memory for consumers, and the memory they take (an estimate)."""
    pending: int
    """Records that no disk has taken yet."""
    refusal: str | None
    """Why the disk takes none; None while it does."""
    counters: Counters
    cursors: tuple[CursorStatistics, ...]
    letters: int = 0
    """Dead letters, of all consumers."""
    letters_bytes: int = 0

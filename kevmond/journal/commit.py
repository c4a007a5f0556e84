"""What passes between the event loop and the thread that owns the database."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kevmond.journal.letters import Index, Letter
    from kevmond.journal.notices import Notice
    from kevmond.journal.window import Chunk


@dataclass(slots=True)
class Commit:
    """What one transaction is to hold."""

    chunks: list[Chunk]
    next_seq: int
    """First position that was not given out when this was made."""
    moved: bool = False
    """True if positions were skipped (`advance`), so that `next_seq` must be kept by itself."""
    positions: dict[str, int] = field(default_factory=dict)
    """Positions of durable consumers that changed."""
    forget: set[str] = field(default_factory=set)
    """Durable consumers that are gone."""
    state: dict[str, str | None] = field(default_factory=dict)
    """Values that changed; None for one that is gone."""
    letters: list[Letter] = field(default_factory=list)
    unburied: set[int] = field(default_factory=set)
    """Numbers of letters that are gone."""
    lost: list[tuple[int, int]] = field(default_factory=list)
    """Positions given up before any disk took them."""
    begun: dict[str, int] = field(default_factory=dict)
    """Names that are new, and how many of `lost` had happened by then: no misses of theirs."""
    final: bool = False
    """True for the last one: mark the clean stop and close."""


@dataclass(slots=True)
class Outcome:
    """What became of a commit."""

    commit: Commit
    refused: str | None = None
    """Why nothing was written; None if all was."""
    removed: list[tuple[int, int]] = field(default_factory=list)
    """Positions that went out of reach by it."""
    misses: dict[str, int] = field(default_factory=dict)
    """Durable consumers that had not acknowledged them, and how many each."""
    first_seq: int | None = None
    """Oldest position on the disk; None if there is none."""
    used_bytes: int = 0
    reserved: int = 1
    generation: int = 0
    """Rises when a new database took the place of the old one: readers open it anew."""
    notices: list[Notice] = field(default_factory=list)
    letters: Index | None = None
    """Letters that a database opened anew held before this commit; None if none was."""
    unfit: list[tuple[int, int]] = field(default_factory=list)
    """Positions of records that cannot be stored at all, which is a mistake in kevmond."""

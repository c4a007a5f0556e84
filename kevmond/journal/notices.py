"""What the journal has to say of itself: news for the stream, few however long a trouble lasts."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from kevmond.events.event import Severity

if TYPE_CHECKING:
    from pathlib import Path


class NoticeKind(StrEnum):
    """What happened; the first four are the states that a `kevmond.journal` record tells."""

    SET_ASIDE = "set-aside"
    """The file could not be used; it was renamed and a new one was begun."""
    DEGRADED = "degraded"
    """The disk does not take records; they are kept in memory."""
    RECOVERED = "recovered"
    """The disk takes records again."""
    TRIMMED = "trimmed"
    """The size bound took records that a consumer had not acknowledged."""
    LOST = "lost"
    """Records were given up before the disk took them."""
    DAMAGED = "damaged"
    """Records on the disk cannot be read and were skipped."""


@dataclass(frozen=True, slots=True)
class Notice:
    """One piece of news."""

    kind: NoticeKind
    severity: Severity
    text: str
    """One sentence: what, where, and what to do."""
    count: int = 0
    """Records it is about; where that grows, those since the notice before of the same kind."""
    total: int = 0
    """Where it grows, all since the start."""
    first_seq: int | None = None
    last_seq: int | None = None
    cursor: str | None = None
    """Name of the consumer it is about."""
    path: str | None = None
    """File it is about."""


class Doubling:
    """Lets a growing total be told when it starts, and then each time it has doubled.

    A notice becomes a record, and a record may cause the next loss: the number of notices must not
    grow with the number of losses.
    """

    def __init__(self) -> None:
        self._told: dict[str, int] = {}

    def due(self, subject: str, total: int) -> int:
        """Return how much of this subject's `total` is news by now; 0 if it is to be told later."""
        told = self._told.get(subject, 0)
        if total < max(1, 2 * told):
            return 0
        return self.rest(subject, total)

    def rest(self, subject: str, total: int) -> int:
        """Return how much was not told yet, and count it as told: the trouble is over."""
        told = self._told.get(subject, 0)
        self._told[subject] = total
        return total - told


def degraded(path: Path, why: str) -> Notice:
    """Say that the disk takes nothing."""
    return Notice(
        NoticeKind.DEGRADED,
        Severity.ERROR,
        f"journal {path}: the disk takes no records ({why}); the newest are kept in memory (up to "
        "journal.held_records and held_bytes) and written when it takes them again: free space on "
        "its volume, or see to the disk",
        path=str(path),
    )


def recovered(path: Path, lost: int, total: int) -> Notice:
    """Say that the disk takes records again, and how many were lost meanwhile."""
    return Notice(
        NoticeKind.RECOVERED,
        Severity.NOTICE,
        f"journal {path}: the disk takes records again; {lost} were lost meanwhile",
        count=lost,
        total=total,
        path=str(path),
    )


def lost(path: Path, reason: str, count: int, total: int) -> Notice:
    """Say that records were given up before any disk took them."""
    return Notice(
        NoticeKind.LOST,
        Severity.ERROR,
        f"journal {path}: {count} records lost ({total} in all): {reason}",
        count=count,
        total=total,
        path=str(path),
    )


def letters_lost(path: Path, consumer: str, reason: str, count: int, total: int) -> Notice:
    """Say that dead letters are gone undelivered."""
    return Notice(
        NoticeKind.LOST,
        Severity.ERROR,
        f"journal {path}: {count} dead letters of {consumer!r} are lost ({total} in all): {reason}",
        count=count,
        total=total,
        cursor=consumer,
        path=str(path),
    )


def letters_damaged(path: Path, reason: str) -> Notice:
    """Say that the dead letters of earlier runs cannot be read."""
    return Notice(
        NoticeKind.DAMAGED,
        Severity.ERROR,
        f"journal {path}: its dead letters cannot be read ({reason}) and are given up; the records "
        "are sound",
        path=str(path),
    )


def trimmed(path: Path, cursor: str, count: int, total: int) -> Notice:
    """Say that the size bound took records from a consumer."""
    return Notice(
        NoticeKind.TRIMMED,
        Severity.WARNING,
        f"journal {path}: the size bound took {count} records that {cursor!r} had not acknowledged "
        f"({total} in all); see to that consumer, or raise journal.max_bytes",
        count=count,
        total=total,
        cursor=cursor,
        path=str(path),
    )


def damaged(path: Path, span: tuple[int, int], reason: str, count: int, total: int) -> Notice:
    """Say that records on the disk cannot be read."""
    return Notice(
        NoticeKind.DAMAGED,
        Severity.ERROR,
        f"journal {path}: records {span[0]} to {span[1]} cannot be read ({reason}) and were "
        f"skipped ({total} in all); the disk or the memory may be failing",
        count=count,
        total=total,
        first_seq=span[0],
        last_seq=span[1],
        path=str(path),
    )


def set_aside(path: Path, place: Path, reason: str) -> Notice:
    """Say that the file was renamed and a new one begun."""
    return Notice(
        NoticeKind.SET_ASIDE,
        Severity.ERROR,
        f"journal {path}: cannot be used ({reason}); it was set aside as {place.name} and a new "
        "one begun: keep that file to look into it, or delete it",
        path=str(place),
    )

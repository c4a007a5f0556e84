"""Dead letters: records that a receiver never took, kept until they are sent or given up.

A letter is written in the transaction that acknowledges its record, so the record is always in one
of the two places.  Letters are bounded in number and size; beyond that the oldest are given up, a
good part at once, so that a receiver that takes nothing is not answered with news for ever.

Lives on the event loop, which knows the letters' numbers and sizes; what is in them is in memory
only until the disk has it (`letter_table`).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from kevmond.events.event import Context, Kind, Record
    from kevmond.journal.store import Contents

MAX_LETTERS: Final = 10_000
MAX_BYTES: Final = 64 << 20
"""What all letters together may be."""
PART_OF_JOURNAL: Final = 4
"""And no more than this part of the journal's own bound, which they share with the records."""
LETTER_COST: Final = 300
"""Bytes that a letter takes beside its texts and its body."""
UNSEEN: Final = 1 << 20
"""Numbers passed over where those that were given before cannot be seen."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record that was not delivered, with all that makes it again, and why it was not."""

    seq: int
    event_id: str
    wall_ns: int
    kind: Kind
    body: bytes
    context: Context
    story: str
    """JSON: what was tried, when, and what came of it."""

    @classmethod
    def of(cls, record: Record, story: str) -> DeadLetter:
        """Make the letter of a record."""
        return cls(
            record.seq,
            record.event.id,
            record.wall_ns,
            record.kind,
            record.body,
            record.context,
            story,
        )


@dataclass(frozen=True, slots=True)
class StoredLetter:
    """A letter as it is read back."""

    number: int
    """Its own number; later letters have higher ones, and none is given twice."""
    consumer: str
    event_id: str
    """Id that the event had when it was buried; its record has the same."""
    buried_ns: int
    """Wall clock at which it was given up."""
    story: str
    record: Record
    """The record anew: to be delivered again, with the id that it always had."""

    @property
    def seq(self) -> int:
        """Position that the record had in the journal."""
        return self.record.seq

    @property
    def line(self) -> bytes:
        """The event's JSON."""
        return self.record.line


@dataclass(frozen=True, slots=True)
class Letter:
    """A letter on its way to the disk."""

    number: int
    consumer: str
    buried_ns: int
    dead: DeadLetter
    size: int


Index = dict[int, tuple[str, int]]
"""Letters by number: consumer and size in bytes."""


class Letters:
    """Which letters there are, and what of them the disk does not know yet."""

    def __init__(self, contents: Contents, max_bytes: int) -> None:
        """Take what the database held when it was opened, and the bound of the journal's size."""
        self.counts: Counter[str] = Counter()
        """Letters by consumer."""
        self.size = 0
        self._max_bytes = min(MAX_BYTES, max_bytes // PART_OF_JOURNAL)
        self._last = contents.last_letter
        if contents.refusal is not None or contents.letters_damage is not None:
            self._last += UNSEEN
        self._index: Index = {}
        self._held: dict[int, Letter] = {}  # not on the disk yet
        self._waiting: dict[int, Letter] = {}  # those of them that no commit has
        self._removed: set[int] = set()
        for number, (consumer, size) in sorted(contents.letters.items()):
            self._add(number, consumer, size)

    def __len__(self) -> int:
        return len(self._index)

    @property
    def dirty(self) -> bool:
        """Whether there is something for the disk."""
        return bool(self._waiting or self._removed)

    def bury(self, consumer: str, dead: Sequence[DeadLetter], wall_ns: int) -> dict[str, int]:
        """Take letters; return how many of whom were given up to make room."""
        for letter in dead:
            self._last += 1
            size = LETTER_COST + len(letter.body) + len(letter.story) + len(letter.event_id)
            self._add(self._last, consumer, size)
            new = Letter(self._last, consumer, wall_ns, letter, size)
            self._held[self._last] = self._waiting[self._last] = new
        return self._make_room()

    def unbury(self, numbers: Iterable[int]) -> int:
        """Let go of letters; return how many there were."""
        known = [number for number in set(numbers) if number in self._index]
        for number in known:
            self._drop(number)
        return len(known)

    def select(self, consumer: str | None, after: int, limit: int) -> list[int]:
        """Return the lowest numbers beyond `after`, of one consumer or of all."""
        found: list[int] = []
        for number, (whose, _) in self._index.items():
            if len(found) >= limit:
                break
            if number > after and consumer in {None, whose}:
                found.append(number)
        return found

    def held(self, number: int) -> Letter | None:
        """Return a letter that is still in memory."""
        return self._held.get(number)

    def __contains__(self, number: int) -> bool:
        return number in self._index

    # ------------------------------------------------------------------ to the disk and back

    def take(self) -> tuple[list[Letter], set[int]]:
        """Hand over what is to be written, and the numbers of what is to be removed."""
        new, gone = list(self._waiting.values()), self._removed
        self._waiting, self._removed = {}, set()
        return new, gone

    def stored(self, letters: Iterable[Letter]) -> None:
        """Note that the disk has these."""
        for letter in letters:
            self._held.pop(letter.number, None)

    def refused(self, letters: Iterable[Letter], removed: set[int]) -> None:
        """Take back what the disk did not take; it is older than all that waits."""
        kept = {letter.number: letter for letter in letters if letter.number in self._index}
        self._waiting = kept | self._waiting
        self._removed |= removed

    def reconcile(self, there: Mapping[int, tuple[str, int]], removing: set[int]) -> dict[str, int]:
        """Learn what a database, opened anew, holds; return how many of whom are gone with the old.

        `removing` are those that the commit under way takes out of it.
        """
        gone = [
            number for number in self._index if number not in self._held and number not in there
        ]
        lost = Counter(self._index[number][0] for number in gone)
        for number in gone:
            self._forget(number)
        unknown = there.keys() - self._index.keys() - self._removed - removing
        if unknown:
            whole = self._index | {number: there[number] for number in unknown}
            self._index, self.size = {}, 0
            self.counts.clear()
            for number in sorted(whole):
                self._add(number, *whole[number])
        return dict(lost)

    def _add(self, number: int, consumer: str, size: int) -> None:
        self._index[number] = (consumer, size)
        self._last = max(self._last, number)
        self.counts[consumer] += 1
        self.size += size

    def _drop(self, number: int) -> None:
        self._forget(number)
        self._held.pop(number, None)
        if self._waiting.pop(number, None) is None:
            self._removed.add(number)

    def _forget(self, number: int) -> None:
        consumer, size = self._index.pop(number)
        self.size -= size
        self.counts[consumer] -= 1
        if not self.counts[consumer]:
            del self.counts[consumer]

    def _make_room(self) -> dict[str, int]:
        lost: Counter[str] = Counter()
        if len(self) > MAX_LETTERS or self.size > self._max_bytes:
            most, room = MAX_LETTERS - MAX_LETTERS // 16, self._max_bytes - self._max_bytes // 16
            while len(self) > 1 and (len(self) > most or self.size > room):
                oldest = next(iter(self._index))
                lost[self._index[oldest][0]] += 1
                self._drop(oldest)
        return dict(lost)

"""The journal's dead letters as it offers them: buried, read again, taken out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kevmond.journal.contexts import context_from_json
from kevmond.journal.letters import StoredLetter

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from kevmond.journal.cursor import Revive
    from kevmond.journal.letter_table import LetterRow
    from kevmond.journal.letters import DeadLetter, Letter, Letters
    from kevmond.journal.pipeline import Pipeline
    from kevmond.journal.reader import Reader


class Letterbox:
    """Letters on their way to the disk, and from it."""

    def __init__(self, letters: Letters, pipeline: Pipeline, reader: Reader) -> None:
        self._letters = letters
        self._pipeline = pipeline
        self._reader = reader

    def bury(self, consumer: str, dead: Sequence[DeadLetter], wall_ns: int) -> None:
        """Take letters over; the oldest make room for them, which is said for each consumer."""
        gone = self._letters.bury(consumer, dead, wall_ns)
        self._pipeline.letters_changed()
        self._pipeline.tell_letters_lost(
            gone, "the oldest, to make room for newer ones; replay or remove what is there"
        )

    def unbury(self, numbers: Iterable[int]) -> int:
        """Let go of letters; return how many there were."""
        count = self._letters.unbury(numbers)
        if count:
            self._pipeline.letters_changed()
        return count

    async def read(
        self, consumer: str | None, after: int, limit: int, generation: int, revive: Revive
    ) -> list[StoredLetter]:
        """Read letters, from memory where the disk has them not; sqlite3.Error or OSError.

        A damaged one is removed, counted and said.
        """
        numbers = self._letters.select(consumer, after, limit)
        held = [letter for number in numbers if (letter := self._letters.held(number))]
        found = {letter.number: _from_memory(letter, revive) for letter in held}
        stored = [number for number in numbers if number not in found]
        if stored:
            rows = await self._reader.ask(generation, lambda source: source.letters(stored))
            for row in rows:
                if opened := _from_disk(row, revive):
                    found[row.number] = opened
                elif self.unbury([row.number]):
                    why = f"letter {row.number} is damaged; the disk or the memory may be failing"
                    self._pipeline.tell_letters_lost({str(row.consumer): 1}, why)
        # What was taken out while the disk was read is not shown.
        return [found[number] for number in numbers if number in found and number in self._letters]


def _from_memory(letter: Letter, revive: Revive) -> StoredLetter:
    dead = letter.dead
    record = revive(dead.context, dead.seq, dead.wall_ns, dead.kind, dead.body)
    return StoredLetter(
        letter.number, letter.consumer, dead.event_id, letter.buried_ns, dead.story, record
    )


def _from_disk(row: LetterRow, revive: Revive) -> StoredLetter | None:
    """Open a letter; None if it is not what was written."""
    if not row.sound:
        return None
    try:
        context = context_from_json(row.context)
    except ValueError:
        return None
    record = revive(context, row.seq, row.wall_ns, row.kind, row.body)
    return StoredLetter(row.number, row.consumer, row.event_id, row.buried_ns, row.story, record)

"""What consumers can reach at this moment: in memory, on the disk, or no longer.

Lives on the event loop; nothing here waits or touches a disk.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kevmond.journal.ranges import Ranges
from kevmond.journal.statistics import CursorStatistics
from kevmond.journal.window import Window

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Sequence

    from kevmond.journal.cursor import Cursor
    from kevmond.journal.settings import JournalSettings
    from kevmond.journal.store import Contents
    from kevmond.journal.window import Chunk


class View:
    """The loop's knowledge of where records are."""

    def __init__(self, contents: Contents, settings: JournalSettings) -> None:
        self.window = Window(contents.last_seq + 1, settings.window_records, settings.window_bytes)
        self.visible_seq = contents.last_seq
        """Newest position a consumer may see."""
        self.disk_first = contents.first_seq
        """Oldest position on the disk; None if there is none."""
        self.disk_last = contents.stored_seq
        """Newest position on the disk."""
        self.generation = 0
        """Which database it is; see `Outcome`."""
        self.gone = Ranges()
        """Positions of records that went out of reach and that some consumer has not passed."""
        self.positions = {name: seq for name, (seq, _) in contents.cursors.items()}
        """Every durable consumer, open or not, and what it acknowledged."""
        self.missed_before = {name: missed for name, (_, missed) in contents.cursors.items()}
        """What it missed beyond that in earlier runs."""
        self.forgiven: dict[str, Ranges] = {}
        """What was gone when a durable consumer of this run began: no misses of its."""
        self.open: set[Cursor] = set()
        """Consumers that are open."""

    def show(self, chunk: Chunk) -> None:
        """Make a chunk visible, if it is not."""
        if chunk.last > self.visible_seq:
            self.window.add(chunk)
            self.visible_seq = chunk.last

    def lose(self, chunk: Chunk) -> None:
        """Note that a chunk was given up before any disk took it."""
        self.gone.add(chunk.first, chunk.last)
        self.window.discard(chunk)

    def remove(self, ranges: Sequence[tuple[int, int]], disk_first: int | None) -> None:
        """Note what went from the disk, and what is the oldest there now."""
        self.disk_first = disk_first
        for first, last in ranges:
            self.gone.add(first, last)

    def wake(self) -> None:
        """Have every consumer look."""
        for consumer in self.open:
            consumer.wake()

    def trim(self) -> None:
        """Let go of what no consumer needs in memory, and of what all have passed."""
        start = self.window.start
        behind = ahead = self.visible_seq + 1
        furthest = 0
        for consumer in self.open:
            seq = consumer.next_seq
            behind = min(behind, seq)
            furthest = max(furthest, seq)
            if seq >= start:  # others read from the disk
                ahead = min(ahead, seq)
        self.window.evict(self.disk_last, ahead, furthest)
        if self.gone:
            self.gone.prune(min(behind, 1 + min(self.positions.values(), default=behind)))

    def disk_span(self, seq: int) -> tuple[int, int] | None:
        """Positions from `seq` on that are on the disk only; None if there are none."""
        if self.disk_first is None or seq >= self.window.start:
            return None
        first = max(seq, self.disk_first)
        last = min(self.window.start - 1, self.disk_last)
        return (first, last) if first <= last else None

    def cursors(self, newest: int, *, closed_but: Container[str]) -> Iterator[CursorStatistics]:
        """Figures of every consumer; the durable ones of other names than these are not open."""
        for cursor in self.open:
            yield CursorStatistics(
                cursor.name,
                cursor.durable,
                open=True,
                position=cursor.position,
                lag=max(0, newest - cursor.position),
                missed=cursor.missed,
            )
        for name, position in self.positions.items():
            if name not in closed_but:
                yield CursorStatistics(
                    name,
                    durable=True,
                    open=False,
                    position=position,
                    lag=max(0, newest - position),
                    missed=self.missed_before.get(name, 0) + self.gone.count(position + 1),
                )

    def oldest(self) -> int:
        """Oldest position that can be read; the one behind the newest if there is none."""
        if self.disk_first is not None:
            return self.disk_first
        first = self.window.first
        return self.visible_seq + 1 if first is None else first

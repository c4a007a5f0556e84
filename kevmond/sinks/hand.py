"""What a runner has read and not yet acknowledged: the batch on offer, and how far it goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kevmond.events.filters import EventFilter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kevmond.events.event import Record
    from kevmond.sinks.base import SinkSettings
    from kevmond.sinks.health import Counters


class Hand:
    """Records that passed the filter, oldest first, never more than a batch."""

    def __init__(self, settings: SinkSettings, counters: Counters) -> None:
        self.batch: list[Record] = []
        """What is offered; a batch that was refused is offered again as it is."""
        self.held_to = 0
        """Last position that the sink itself said it holds."""
        self.size = settings.batch_size
        """Most records that are offered at once."""
        self._filter = EventFilter(settings.filter) if settings.filter else None
        self._counters = counters
        self._upto = 0

    @property
    def room(self) -> int:
        """How many more records it takes."""
        return self.size - len(self.batch)

    @property
    def head(self) -> int:
        """Position of the first record."""
        return self.batch[0].seq

    def accept(self, records: Sequence[Record]) -> None:
        """Take what was read, or count why not."""
        self._upto = records[-1].seq
        if self.held_to:
            records = self._without_held(records)
        if self._filter is None:
            self.batch += records
            return
        matches = self._filter.matches
        passed = [record for record in records if matches(record.event)]
        self._counters.filtered += len(records) - len(passed)
        self.batch += passed

    def done_to(self, count: int) -> int:
        """Return the position that may be acknowledged once the first `count` are done with."""
        return self.batch[count].seq - 1 if count < len(self.batch) else self._upto

    def drop(self, count: int) -> None:
        """Be done with the first `count` records."""
        self.batch = self.batch[count:]

    def _without_held(self, records: Sequence[Record]) -> Sequence[Record]:
        rest = [record for record in records if record.seq > self.held_to]
        self._counters.held += len(records) - len(rest)
        if rest:
            self.held_to = 0
        return rest

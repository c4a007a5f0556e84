"""The streams that are open: who follows the events, how far each is, and what ends them.

One timer looks after all of them, and stands still while there are none.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, Protocol

from kevmond.api.sse import Batches
from kevmond.events.event import timestamp

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kevmond.api.services import Services
    from kevmond.history.condition import Condition

TICK: Final = 1.0
"""Seconds between two looks at the streams."""
STOPPING: Final = "stopping"
"""Reason of the end when the daemon stops."""


class Following(Protocol):
    """One stream, as the others see it."""

    name: str
    peer: str
    condition: Condition
    began: int
    """Position behind which it began."""
    position: int
    """Position up to which it was written to."""
    sent: int
    missed: int
    since_ns: int

    def look(self, now: float) -> None:
        """Do what is due by the loop's clock."""

    def end(self, reason: str) -> None:
        """Take leave, soon."""


class Streams:
    """All open streams."""

    def __init__(self, services: Services, closing: asyncio.Event, log: Any) -> None:
        """Take `closing`, which is set when the server begins to close."""
        self.log = log
        self.batches = Batches()
        """What was written last, for those who ask for the same."""
        self._services = services
        self._closing = closing
        self._open: dict[str, Following] = {}
        self._count = 0
        self._timer: asyncio.TimerHandle | None = None
        self._leave: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[Following]:
        return iter(list(self._open.values()))

    def facts(self) -> list[dict[str, Any]]:
        """Return the streams as JSON has them."""
        newest = self._services.journal.next_seq - 1
        return [
            {
                "name": each.name,
                "peer": each.peer,
                "filter": str(each.condition),
                "position": each.position,
                "lag": max(0, newest - each.position),
                "sent": each.sent,
                "missed": each.missed,
                "since": timestamp(each.since_ns),
            }
            for each in self
        ]

    def next_name(self) -> str:
        """Return a name that no other stream of this run has or had."""
        self._count += 1
        return f"stream-{self._count}"

    def add(self, stream: Following) -> None:
        """Look after a stream until it is removed."""
        loop = asyncio.get_running_loop()
        self._open[stream.name] = stream
        if self._timer is None:
            self._timer = loop.call_later(TICK, self._look)
        if self._leave is None:
            self._leave = loop.create_task(self._take_leave(), name="streams")
        elif self._leave.done():
            stream.end(STOPPING)

    def remove(self, stream: Following) -> None:
        """Forget a stream."""
        self._open.pop(stream.name, None)
        if self._open:
            return
        self.batches.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._leave is not None and not self._leave.done():
            self._leave.cancel()
            self._leave = None

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(TICK, self._look)
        now = loop.time()
        for stream in self:
            stream.look(now)

    async def _take_leave(self) -> None:
        await self._closing.wait()
        for stream in self:
            stream.end(STOPPING)

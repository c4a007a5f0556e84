"""Time, behind a seam that tests can drive."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Where time comes from."""

    def wall_ns(self) -> int:
        """Nanoseconds since 1970-01-01T00:00:00Z by the wall clock, which may jump."""
        ...

    def monotonic_ns(self) -> int:
        """Nanoseconds of a clock that never goes back; it may stand still while asleep."""
        ...


class SystemClock:
    """The machine's clocks."""

    def wall_ns(self) -> int:
        """See `Clock.wall_ns`."""
        return time.time_ns()

    def monotonic_ns(self) -> int:
        """See `Clock.monotonic_ns`."""
        return time.monotonic_ns()

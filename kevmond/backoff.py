"""How long to wait between attempts: exponential backoff with full jitter.

Each wait is drawn evenly between 0 and a bound that doubles up to a maximum, so that many sinks
that lost one receiver do not come back to it in step.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Backoff:
    """The waits of one outage; `reset` when it is over."""

    def __init__(
        self,
        initial: float,
        maximum: float,
        *,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        """Take the bounds, in seconds, of the first wait and of every wait."""
        self._initial = initial
        self._maximum = maximum
        self._uniform = uniform
        self.failures = 0

    def next(self, after: float | None = None) -> float:
        """Count a failure and return the wait before the next attempt, in seconds.

        A receiver that asked for `after` seconds is given them, plus jitter so that not everyone
        returns in the same instant; more than the maximum is not believed.
        """
        bound = min(self._maximum, self._initial * 2.0 ** min(self.failures, 63))
        self.failures += 1
        if after is None:
            return self._uniform(0.0, bound)
        asked = min(max(after, 0.0), self._maximum)
        return asked + self._uniform(0.0, min(self._initial, self._maximum - asked))

    def reset(self) -> None:
        """Begin anew: the last attempt succeeded."""
        self.failures = 0

"""The receiver's word that it takes events, and how many (CloudEvents HTTP 1.1 Web Hooks, 4)."""

from __future__ import annotations

import asyncio
import re
import time
from http import HTTPStatus
from typing import TYPE_CHECKING

from kevmond.errors import GoneError, RetryableError
from kevmond.sinks.webhook.answer import SHORT, printable, retry_after

if TYPE_CHECKING:
    from kevmond.sinks.webhook.answer import Answer


def allowed_rate(answer: Answer, where: str, origin: str, now: float) -> float | None:
    """Return the requests a minute that the answer to an OPTIONS request allows; None: any number.

    Raises RetryableError where it does not allow any to `origin`, GoneError where it never will.
    """
    text = f"{where} does not agree to take events from {origin}"
    if answer.status == HTTPStatus.GONE:
        raise GoneError(f"{text}: it answered {answer.outcome}")
    if not answer.taken:
        raise RetryableError(
            f"{text}: it answered OPTIONS with {answer.outcome}", retry_after(answer.headers, now)
        )
    allowed = answer.headers.get("webhook-allowed-origin", "").strip()
    if allowed != "*" and allowed.lower() != origin.lower():
        told = printable(allowed, SHORT) or "missing"
        raise RetryableError(f"{text}: WebHook-Allowed-Origin is {told}")
    rate = answer.headers.get("webhook-allowed-rate", "*").strip()
    if rate == "*":
        return None
    if not re.fullmatch(r"[0-9]{1,9}", rate) or int(rate) == 0:
        raise RetryableError(f"{text}: WebHook-Allowed-Rate is {printable(rate, SHORT)}")
    return float(rate)


class Pace:
    """Spaces requests evenly, by a rate a minute."""

    def __init__(self, rate: float | None) -> None:
        self._interval = 60.0 / rate if rate else 0.0
        self._next = 0.0

    async def wait(self) -> None:
        """Wait for the next turn and take it."""
        now = time.monotonic()
        if self._next > now:
            await asyncio.sleep(self._next - now)
        self._next = max(now, self._next) + self._interval

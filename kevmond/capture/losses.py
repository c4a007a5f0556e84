"""When the ledger is fed and asked: a check soon after activity, a heartbeat at rest.

At rest nothing wakes the daemon but the heartbeat.  After events were read, one check asks the
kernel for the last id it gave out; while ids are awaited or a report has to wait, checks go on.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from kevmond.events import own

if TYPE_CHECKING:
    from collections.abc import Callable

    from kevmond.capture.ledger import LossLedger, LossReport
    from kevmond.events.own_payload import OwnPayload

_TOLD_RANGES = 4
"""Ranges of ids that a record spells out."""


class LossWatch:
    """Drives the checks; what a check does with the socket is its owner's business."""

    def __init__(
        self,
        ledger: LossLedger,
        *,
        check: Callable[[], None],
        say: Callable[[OwnPayload], None],
        lost: Callable[[], None],
        monotonic_ns: Callable[[], int],
    ) -> None:
        """`check` feeds the ledger; `lost` is called after a loss of ours was said."""
        self._ledger = ledger
        self._check = check
        self._say = say
        self._lost = lost
        self._monotonic_ns = monotonic_ns
        self._timer: asyncio.TimerHandle | None = None
        self._resting = False  # whether the timer waits only for a report that is not yet allowed

    def soon(self) -> None:
        """See to it that a check comes within the age at which a missing id counts as lost."""
        if self._timer is None or self._resting:
            self._wake_in(self._ledger.age_ns / 1e9)

    def report(self, *, force: bool = False) -> None:
        """Say what has to be said, and come back for what may not be said yet."""
        report = self._ledger.report(self._monotonic_ns(), force=force)
        if report is not None:
            self._say(loss_record(report))
            if report.lost:
                self._lost()

    def stop(self) -> None:
        """Let go of the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wake_in(self, delay: float, *, resting: bool = False) -> None:
        self.stop()
        self._timer = asyncio.get_running_loop().call_later(delay, self._due)
        self._resting = resting

    def _due(self) -> None:
        self._timer = None
        self._check()
        self.report()
        if self._ledger.awaited:
            self.soon()
        elif self._ledger.due() and self._timer is None:
            wait = self._ledger.wait_ns(self._monotonic_ns()) / 1e9
            self._wake_in(max(wait, 0.01), resting=True)


def loss_record(report: LossReport) -> own.Loss:
    """Put a report into the words of the stream."""
    told = []
    if report.ranges:
        shown = [f"{r.first}-{r.last}" for r in report.ranges[-_TOLD_RANGES:]]
        more = "... " if len(report.ranges) > _TOLD_RANGES else ""
        told.append(f"ids {more}{', '.join(shown)}")
    if report.system_dropped:
        told.append(
            f"the kernel dropped {report.system_dropped} for listeners of this machine, "
            "perhaps not for us: this socket's own counter cannot be read"
        )
    if report.too_big:
        told.append(f"{report.too_big} were too large for the kernel to post to anybody")
    if report.no_memory:
        told.append(f"{report.no_memory} times the kernel had no memory for a message")
    if report.lost:
        told.append("a larger capture.receive_space may help")
    return own.Loss(
        lost=report.lost,
        total=report.totals.lost,
        late=report.late,
        source=report.basis.value,
        first_id=report.ranges[0].first if report.ranges else None,
        last_id=report.ranges[-1].last if report.ranges else None,
        detail="; ".join(told) or None,
    )

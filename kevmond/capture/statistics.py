"""What capture has to tell of itself, as plain figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kevmond.capture.ledger import Totals
    from kevmond.capture.tally import Tally
    from kevmond.kernel.base import KernelFilter


@dataclass(frozen=True, slots=True)
class CaptureStatistics:
    """Figures since the start of this run."""

    totals: Totals
    """The account: posted, delivered, lost and the rest."""
    errors: int
    """Failed calls on the event socket."""
    reopened: int
    """Times the socket was opened anew."""
    connected: bool
    """Whether a socket is open now."""
    receive_space: int
    """Receive buffer granted, bytes; 0 if no socket was ever open."""
    kernel_filter: KernelFilter
    """What the kernel is asked for."""
    tally: Tally
    """What was read by type; goes on counting."""
    missed_before_start: int | None
    """Events that were posted between the run before and this one; None if that is not known."""

    @property
    def delivered(self) -> int:
        """Kernel events read."""
        return self.totals.delivered

"""What of the daemon can be asked over its API."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from kevmond.capture.reader import Capture
    from kevmond.journal.journal import Journal
    from kevmond.sinks.fleet import Fleet
    from kevmond.sinks.subscriptions import Subscriptions


@dataclass(frozen=True, slots=True)
class Services:
    """Parts of a running daemon; handlers read them on the daemon's own loop."""

    subscriptions: Subscriptions
    journal: Journal
    fleet: Fleet
    capture: Capture
    kernel: str
    """Name of the kernel boundary: darwin, simulated, replay."""
    started_ns: int
    """Wall clock at which this run began."""
    config: Callable[[], dict[str, Any]]
    """Configuration in force: {"file": path or null, "settings": ...}; no secret is in it."""
    reload: Callable[[], Awaitable[dict[str, Any]]]
    """Read the configuration anew, as SIGHUP does: {"state": "applied" or "refused", "applied":
    [keys], "needs_restart": [keys], "problems": [lines], "file": path or null}."""
    reloaded: Callable[[], Mapping[str, Any] | None] = lambda: None
    """What became of the latest reload, in the same shape; None if there was none."""

"""One look at a running daemon, from which its status and its metrics are made."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from kevmond.sinks import webhookfacts
from kevmond.sinks.fleet import cursor_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kevmond.api.services import Services
    from kevmond.capture.statistics import CaptureStatistics
    from kevmond.capture.tally import Understood
    from kevmond.events.event import Context
    from kevmond.journal.settings import JournalSettings
    from kevmond.journal.statistics import JournalStatistics
    from kevmond.sinks.health import SinkStatistics

WEBHOOK: Final = webhookfacts.TYPE
"""Kind and type of a consumer that is a webhook."""
STREAM: Final = "stream"
"""Kind and type of a consumer that is a caller of the API."""


@dataclass(frozen=True, slots=True)
class Moment:
    """Plain figures, read together."""

    now_ns: int
    """Wall clock."""
    started_ns: int
    kernel: str
    asked_space: int
    """Receive buffer that the kernel was asked for, bytes."""
    context: Context
    capture: CaptureStatistics
    understood: Understood
    journal: JournalStatistics
    journal_settings: JournalSettings
    sinks: Sequence[SinkStatistics]
    letters: Mapping[str, int]
    """Dead letters that wait, by the name of the sink."""
    streams: Sequence[Mapping[str, Any]] = ()
    """Callers who follow the events, as they tell of themselves."""
    reloaded: Mapping[str, Any] | None = None
    """What became of the latest reload (`Services.reloaded`)."""

    @property
    def uptime(self) -> float:
        """Seconds since this run began."""
        return max(0.0, (self.now_ns - self.started_ns) / 1e9)


def look(services: Services, streams: Sequence[Mapping[str, Any]] = ()) -> Moment:
    """Read all figures; takes no longer for a busy daemon than for an idle one."""
    capture = services.capture
    statistics = capture.statistics()
    sinks = services.fleet.statistics()
    letters = services.journal.letter_counts()
    return Moment(
        now_ns=time.time_ns(),
        started_ns=services.started_ns,
        kernel=services.kernel,
        asked_space=capture.settings.receive_space,
        context=capture.context,
        capture=statistics,
        understood=statistics.tally.understood(),
        journal=services.journal.statistics(),
        journal_settings=services.journal.settings,
        sinks=sinks,
        letters={sink.name: letters.get(cursor_name(sink.name), 0) for sink in sinks},
        streams=streams,
        reloaded=services.reloaded(),
    )

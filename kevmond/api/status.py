"""The daemon's status as JSON has it: how it is, why, and its figures."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

from kevmond import __version__
from kevmond.api import findings
from kevmond.api.moment import STREAM
from kevmond.api.ownuse import user
from kevmond.events.event import timestamp
from kevmond.sinks.webhookfacts import kind_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from kevmond.api.moment import Moment
    from kevmond.sinks.health import SinkStatistics


FOLLOWING: Final = "following"
"""State of a stream."""


def status(
    moment: Moment,
    *,
    use: Mapping[str, Any],
    api: Mapping[str, Any],
    config_file: str | None,
) -> dict[str, Any]:
    """Return all that `GET /v1/status` tells.

    `use` is what the process takes (`OwnUse.facts`), `api` what the server tells of itself.
    """
    return {
        **health(moment, api),
        "warnings": [told(each) for each in findings.warnings(moment)],
        "daemon": {
            "version": __version__,
            "pid": os.getpid(),
            "user": user(),
            "started": timestamp(moment.started_ns),
            "uptime": round(moment.uptime, 3),
            **use,
        },
        "kernel": _kernel(moment),
        "events": _events(moment),
        "journal": _journal(moment),
        "consumers": list(_consumers(moment)),
        "api": dict(api),
        "config": {"file": config_file},
    }


def health(moment: Moment, api: Mapping[str, Any]) -> dict[str, Any]:
    """Return how the daemon is, and its problems."""
    found, problems = findings.problems(moment, api.get("problems", ()))
    return {"health": found.value, "problems": [told(each) for each in problems]}


def told(finding: findings.Finding) -> dict[str, Any]:
    """Return a finding as JSON has it."""
    return {
        "what": finding.what.value,
        "text": finding.text,
        "hint": finding.hint,
        "about": finding.about,
        "events": finding.events,
    }


def _kernel(moment: Moment) -> dict[str, Any]:
    capture, context = moment.capture, moment.context
    wanted = capture.kernel_filter
    return {
        "name": moment.kernel,
        "connected": capture.connected,
        "receive_space": capture.receive_space,
        "asked_space": moment.asked_space,
        "filter": {
            "vendor": wanted.vendor,
            "class": wanted.kev_class,
            "subclass": wanted.subclass,
            "open": wanted.is_open,
        },
        "reopened": capture.reopened,
        "errors": capture.errors,
        "host": context.host,
        "boot_id": context.boot_id,
        "os_release": context.os_release,
        "os_build": context.os_build,
    }


def _events(moment: Moment) -> dict[str, Any]:
    totals, understood = moment.capture.totals, moment.understood
    return {
        "read": totals.delivered,
        "known": understood.known,
        "unknown": understood.unknown,
        "malformed": understood.malformed,
        "lost": totals.lost,
        "late": totals.late,
        "awaited": totals.awaited,
        "posted": totals.posted,
        "missed_before_start": moment.capture.missed_before_start,
        "duplicates": totals.duplicates,
        "reordered": totals.reordered,
        "strays": totals.strays,
        "too_big": totals.too_big,
        "no_memory": totals.no_memory,
        "socket_dropped": totals.socket_dropped,
        "system_dropped": totals.system_dropped,
        "by_type": moment.capture.tally.by_type(),
    }


def _journal(moment: Moment) -> dict[str, Any]:
    journal, settings = moment.journal, moment.journal_settings
    counters = journal.counters
    return {
        "path": str(settings.path),
        "oldest": journal.oldest_seq,
        "newest": journal.next_seq - 1,
        "disk_bytes": journal.disk_bytes,
        "max_bytes": settings.max_bytes,
        "max_age": settings.max_age,
        "memory_records": journal.memory_records,
        "memory_bytes": journal.memory_bytes,
        "pending": journal.pending,
        "refusal": journal.refusal,
        "appended": counters.appended,
        "committed": counters.committed,
        "commits": counters.commits,
        "refused": counters.refused,
        "lost": counters.lost,
        "damaged": counters.damaged,
        "trimmed": counters.trimmed,
        "forced": counters.forced,
        "dead_letters": journal.letters,
        "dead_letters_bytes": journal.letters_bytes,
        "dead_letters_lost": counters.letters_lost,
    }


def _consumers(moment: Moment) -> Iterator[dict[str, Any]]:
    for sink in moment.sinks:
        yield _sink(sink, moment.letters.get(sink.name, 0))
    for stream in moment.streams:
        yield {**_STREAM, "delivered": stream.get("sent", 0), **stream}


def _sink(sink: SinkStatistics, letters: int) -> dict[str, Any]:
    counters = sink.counters
    return {
        "name": sink.name,
        "kind": kind_of(sink.type),
        "type": sink.type,
        "state": sink.state.value,
        "since": _time(sink.since_ns),
        "lag": sink.lag,
        "position": sink.position,
        "delivered": counters.delivered,
        "filtered": counters.filtered,
        "held": counters.held,
        "dropped": counters.dropped,
        "missed": counters.missed,
        "retried": counters.retried,
        "buried": counters.buried,
        "dead_letters": letters,
        "last_error": sink.last_error,
        "attempts": sink.attempts,
        "failing_since": _time(sink.head_since_ns),
        "next_attempt": _time(sink.next_attempt_ns),
    }


_STREAM: Final[dict[str, Any]] = {
    "name": "",
    "kind": STREAM,
    "type": STREAM,
    "state": FOLLOWING,
    "since": None,
    "lag": 0,
    "position": 0,
    "delivered": 0,
    "filtered": 0,
    "held": 0,
    "dropped": 0,
    "missed": 0,
    "retried": 0,
    "buried": 0,
    "dead_letters": 0,
    "last_error": None,
    "attempts": 0,
    "failing_since": None,
    "next_attempt": None,
}
"""A stream, before what it tells of itself."""


def _time(wall_ns: int | None) -> str | None:
    return None if not wall_ns else timestamp(wall_ns)

"""Who got an event, and who did not and why: one answer for each consumer.

What is known is how far each consumer has come, where it began, its filter as it is now, its state
and its dead letters.  No list is kept of what each one got: an event that its place has passed, and
that its filter lets through, was taken.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, Protocol

from kevmond.events.event import timestamp
from kevmond.events.filters import EventFilter
from kevmond.history.reasons import Reason, decide
from kevmond.sinks.health import RESTING
from kevmond.sinks.webhookfacts import kind_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kevmond.events.event import Event, Record
    from kevmond.history.condition import Condition
    from kevmond.journal.journal import Journal
    from kevmond.journal.letters import StoredLetter
    from kevmond.sinks.fleet import Fleet
    from kevmond.sinks.health import SinkStatistics
    from kevmond.sinks.runner import SinkRunner

PAGE: Final = 256
"""Dead letters read at once."""


class Follower(Protocol):
    """A caller who follows the events."""

    @property
    def name(self) -> str:
        """Name of the stream."""
        ...

    @property
    def condition(self) -> Condition:
        """What it asked for."""
        ...

    @property
    def began(self) -> int:
        """Position behind which it began."""
        ...

    @property
    def position(self) -> int:
        """Position up to which it was written to."""
        ...


async def explain(
    record: Record,
    journal: Journal,
    fleet: Fleet,
    *,
    off: Iterable[str] = (),
    followers: Iterable[Follower] = (),
) -> list[dict[str, Any]]:
    """Return what became of an event at every consumer, as JSON has it.

    `off` are the sinks of the configuration that are switched off.  JournalError if the dead
    letters cannot be read.
    """
    answers = []
    for name in fleet.names():
        runner = fleet.runner(name)
        if runner is not None:
            answers.append(await _of_sink(record, journal, runner))
    for name in off:
        why = f"it is switched off in the configuration (sinks.{name}.enabled)"
        answers.append(_answer(name, "sink", None, "paused", why=why, at=None))
    answers += [_of_stream(record.event, each) for each in followers]
    return answers


async def _of_sink(record: Record, journal: Journal, runner: SinkRunner) -> dict[str, Any]:
    settings, event = runner.settings, record.event
    figures = runner.statistics()
    reason = decide(EventFilter(settings.filter), event)
    letter = await _letter(journal, runner.cursor_name, event)
    began = journal.began(runner.cursor_name)
    if letter is not None:
        verdict = "dead-letter"
        why = (
            f"it was given up at {timestamp(letter.buried_ns)} and is dead letter "
            f"{letter.number}: {_story(letter.story)}"
        )
    elif event.seq > figures.position:
        verdict, why = _ahead(reason, figures)
    elif began is not None and event.seq <= began:
        verdict, why = "before-it-began", f"it began with what came after position {began}"
    elif not reason.passes:
        verdict, why = "filtered", f"{reason.why} (by the filter as it is now)"
    else:
        verdict, why = "delivered", _delivered(reason, figures, began)
    kind = kind_of(settings.type)
    return _answer(runner.name, kind, settings.type, verdict, why=why, at=figures.position)


def _ahead(reason: Reason, figures: SinkStatistics) -> tuple[str, str]:
    """Tell what awaits an event that a sink has not come to, or not done with."""
    if not reason.passes:
        return "filtered", f"{reason.why}; it will be passed over"
    if figures.state in RESTING:
        because = "" if figures.last_error is None else f": {figures.last_error}"
        return "paused", f"it is {figures.state.value}{because}; the event waits until it goes on"
    parts = [f"it has come to position {figures.position}"]
    if figures.attempts:
        parts.append(f"{figures.attempts} attempts failed")
    if figures.attempts and figures.last_error is not None:
        parts.append(f"the last error was: {figures.last_error}")
    if figures.next_attempt_ns is not None:
        parts.append(f"the next attempt is at {timestamp(figures.next_attempt_ns)}")
    return "waiting", "; ".join(parts)


def _delivered(reason: Reason, figures: SinkStatistics, began: int | None) -> str:
    parts = [f"its place has passed it, and {reason.why}"]
    if began is None:
        parts.append("whether it came before this consumer began is not known")
    if figures.counters.dropped:
        parts.append(
            f"of all its events it refused {figures.counters.dropped} for good in this run, and "
            "which those were is not kept"
        )
    return "; ".join(parts)


def _of_stream(event: Event, follower: Follower) -> dict[str, Any]:
    reason = decide(follower.condition.filter, event)
    fits = reason.passes and follower.condition.fits(event)
    if event.seq <= follower.began:
        verdict, why = "before-it-began", f"it follows from position {follower.began} on"
    elif not fits:
        verdict = "filtered"
        why = f"it asked for {follower.condition}" if reason.passes else reason.why
    elif event.seq <= follower.position:
        verdict, why = "delivered", f"it was written to the caller, and {reason.why}"
    else:
        verdict, why = "waiting", f"the caller has come to position {follower.position}"
    at = follower.position
    return _answer(follower.name, "stream", "stream", verdict, why=why, at=at)


def _story(story: str) -> str:
    """Return why a letter was given up."""
    try:
        told = json.loads(story)
        return f"{told['why']} (attempts: {told['attempts']})"
    except (ValueError, TypeError, KeyError):
        return story


async def _letter(journal: Journal, consumer: str, event: Event) -> StoredLetter | None:
    """Return the dead letter of an event, if a consumer has one of it."""
    after = 0
    while journal.letter_counts().get(consumer):
        letters = await journal.letters(consumer, after=after, limit=PAGE)
        for letter in letters:
            if letter.seq == event.seq and letter.event_id == event.id:
                return letter
        if len(letters) < PAGE:
            break
        after = letters[-1].number
    return None


def _answer(
    name: str, kind: str, sink_type: str | None, verdict: str, *, why: str, at: int | None
) -> dict[str, Any]:
    return {
        "name": name,
        "kind": kind,
        "type": sink_type,
        "verdict": verdict,
        "why": why,
        "at": at,
    }

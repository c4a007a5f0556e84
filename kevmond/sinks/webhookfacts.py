"""What is told of a webhook: figures for programs, and mistakes in its settings for people."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from kevmond.errors import ConfigError
from kevmond.events.event import timestamp
from kevmond.mistakes import mistakes
from kevmond.sinks import registry
from kevmond.sinks.health import State

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from kevmond.secret import Secret
    from kevmond.sinks.base import SinkSettings
    from kevmond.sinks.roll import Entry
    from kevmond.sinks.runner import SinkRunner


TYPE: Final = "webhook"
"""Type of the sink."""


def kind_of(sink_type: str) -> str:
    """Return what a consumer of a type of sink is called: "webhook" or "sink"."""
    return TYPE if sink_type == TYPE else "sink"


def checked(table: Mapping[str, Any], state_dir: Path) -> SinkSettings:
    """Return the settings of a webhook's table; ConfigError with one line for every mistake."""
    model = registry.load(TYPE).Settings
    try:
        return model.model_validate(dict(table), context={"state_dir": state_dir})
    except ValidationError as error:
        raise ConfigError("\n".join(mistakes(model, error))) from error


def secrets_of(settings: SinkSettings) -> tuple[Secret, ...]:
    """Return the references to a webhook's secrets, the newest first."""
    return tuple(getattr(settings, "secret", ()))


def overview(
    name: str,
    settings: SinkSettings,
    *,
    entry: Entry,
    configured: bool,
    runner: SinkRunner | None,
    dead_letters: int,
    replay: dict[str, Any] | None,
) -> dict[str, Any]:
    """Return state and figures of a webhook, as JSON has them; times are RFC 3339 in UTC."""
    facts: dict[str, Any] = {
        "name": name,
        "origin": "configuration" if configured else "subscription",
        "url": getattr(settings, "url", None),
        "format": getattr(settings, "format", None),
        "filter": [str(rule) for rule in settings.filter],
        "signed": bool(secrets_of(settings)),
        "rotation_ends": _time(entry.rotation_ends_ns),
        "created": entry.created,
        "standing": entry.standing,
        "reason": entry.reason,
        "since": entry.since,
        "dead_letters": dead_letters,
        "replay": replay,
    }
    if runner is None:
        return {**facts, "state": State.STOPPED.value, "lag": 0}
    figures = runner.statistics()
    counters = figures.counters
    return {
        **facts,
        "state": figures.state.value,
        "position": figures.position,
        "lag": figures.lag,
        "delivered": counters.delivered,
        "filtered": counters.filtered,
        "retried": counters.retried,
        "buried": counters.buried,
        "dropped": counters.dropped,
        "missed": counters.missed,
        "last_error": figures.last_error,
        "attempts": runner.attempts,
        "failing_since": _time(runner.head_since_ns),
        "next_attempt": _time(runner.next_attempt_ns),
    }


def settings_facts(settings: SinkSettings) -> dict[str, Any]:
    """Return settings as JSON has them; secrets stand as references."""
    facts: dict[str, Any] = settings.model_dump(mode="json", exclude={"filter"})
    return {**facts, "filter": [str(rule) for rule in settings.filter]}


def letters_facts(letters: Sequence[Any]) -> list[dict[str, Any]]:
    """Return dead letters with their stories."""
    return [
        {
            "number": letter.number,
            "seq": letter.seq,
            "event_id": letter.event_id,
            "buried": _time(letter.buried_ns),
            "story": _json(letter.story),
            "event": _json(letter.line),
        }
        for letter in letters
    ]


def _time(wall_ns: int | None) -> str | None:
    return None if wall_ns is None else timestamp(wall_ns)


def _json(text: str | bytes) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text if isinstance(text, str) else text.decode("utf-8", "replace")

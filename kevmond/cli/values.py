"""What several commands read from their options, with errors that name the nearest right word."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from kevmond.events.filters import EventFilter


def event_filter(rules: Sequence[str]) -> EventFilter:
    """Filter that passes what any of the rules passes; all events if there are none."""
    from kevmond.errors import FilterError
    from kevmond.events.filters import EventFilter

    try:
        return EventFilter(rules)
    except FilterError as error:
        raise click.BadParameter(str(error), param_hint="'--filter'") from error


def seconds(text: str | None, option: str) -> float | None:
    """Seconds of text such as "90", "10s" or "5m"; None stays None."""
    if text is None:
        return None
    from pydantic import TypeAdapter, ValidationError

    from kevmond.units import Duration

    number = text if text[-1:].isalpha() else f"{text}s"
    try:
        return TypeAdapter(Duration).validate_python(number)
    except ValidationError as error:
        reason = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise click.BadParameter(reason, param_hint=f"'{option}'") from error


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a hint naming the nearest known words, or nothing if none is near."""
    near = difflib.get_close_matches(word, known, 3, 0.6)
    return f"; did you mean {' or '.join(near)}?" if near else ""

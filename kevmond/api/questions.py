"""Questions about the past, read from a request's query; ConfigError names what is wrong."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from kevmond.errors import ConfigError
from kevmond.history.condition import Condition
from kevmond.units import moment

if TYPE_CHECKING:
    from collections.abc import Collection

    from aiohttp import web

CONDITION: Final = ("filter", "interface", "type", "text")
"""Keys of a condition."""
_DIGITS: Final = 18
"""Most that a number has: positions go up to 2^63."""


def check(request: web.Request, known: Collection[str]) -> None:
    """Refuse keys that mean nothing here, which a mistyped one would do in silence."""
    for key in request.query:
        if key not in known:
            raise ConfigError(f"{key}: no such parameter here; there are {', '.join(known)}")


def condition(request: web.Request) -> Condition:
    """Return which events are asked for; FilterError if a rule is wrong."""
    query = request.query
    return Condition(
        query.getall("filter", []),
        interface=",".join(query.getall("interface", [])),
        types=",".join(query.getall("type", [])),
        text=query.get("text", ""),
    )


def whole(key: str, text: str | None) -> int | None:
    """Return a number that is not negative; None if there is none."""
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS):
        raise ConfigError(f"{key}: not a number: {text[:80]!r}")
    return int(text)


def when(request: web.Request, key: str) -> int | None:
    """Return a time in nanoseconds since the epoch; None if none is given."""
    text = request.query.get(key)
    if not text:
        return None
    try:
        return moment(text, time.time_ns())
    except ConfigError as error:
        raise ConfigError(f"{key}: {error}") from error


def choice(request: web.Request, key: str, known: Collection[str]) -> str:
    """Return one of a few words; the first of them if none is given."""
    text = request.query.get(key) or next(iter(known))
    if text not in known:
        raise ConfigError(f"{key}: {text!r} is none of {', '.join(known)}")
    return text

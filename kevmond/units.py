"""Durations, sizes and times as people write them."""

from __future__ import annotations

import datetime as dt
import re
from typing import Annotated, Any, Final

from pydantic import BeforeValidator

from kevmond.errors import ConfigError

_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_BYTES: Final = {
    "B": 1,
    "KiB": 1 << 10,
    "MiB": 1 << 20,
    "GiB": 1 << 30,
    "TiB": 1 << 40,
    "kB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
}
_QUANTITY: Final = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]+)\s*")


def _quantity(value: Any, units: dict[str, Any], what: str) -> Any:
    if not isinstance(value, str):
        return value
    match = _QUANTITY.fullmatch(value)
    if match is None or match[2] not in units:
        raise ValueError(f"not a {what}: {value!r}; write a number and one of {', '.join(units)}")
    return float(match[1]) * units[match[2]]


def _seconds(value: Any) -> Any:
    return _quantity(value, _SECONDS, "duration")


def _bytes(value: Any) -> Any:
    found = _quantity(value, _BYTES, "size")
    return int(found) if isinstance(found, float) else found


Duration = Annotated[float, BeforeValidator(_seconds)]
"""Seconds; also text such as "250ms", "10s", "5m", "12h", "7d"."""

Size = Annotated[int, BeforeValidator(_bytes)]
"""Bytes; also text such as "64KiB", "10MiB", "1GB"."""


def moment(text: str, now_ns: int) -> int:
    """Read a time: RFC 3339, or how long ago ("90s", "2h"); nanoseconds since the epoch.

    A time without a zone is local.  Raises ConfigError.
    """
    try:
        return now_ns - int(_seconds(text) * 1e9)
    except (ValueError, OverflowError):
        pass
    try:
        when = dt.datetime.fromisoformat(text).astimezone()
        return int(when.timestamp() * 1_000_000) * 1000
    except (ValueError, OverflowError) as error:
        raise ConfigError(
            f"not a time: {text!r}; write 2026-11-24T08:09:31Z, or how long ago: 90s, 2h, 1d"
        ) from error


def counted(number: int, word: str = "event") -> str:
    """Return how many there are of something, in words: "1 event", "2 events"."""
    return f"{number} {word}" if number == 1 else f"{number} {word}s"

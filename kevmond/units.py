"""Durations and sizes as people write them in a configuration."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

from pydantic import BeforeValidator

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

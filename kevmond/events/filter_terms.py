"""One key of a filter rule: values, globs, negation, thresholds, and the names they may use.

A term is what stands behind one key ("link-*", "!awdl*", 12, ">=warning").  Terms are checked
against the catalogue of events when a rule is made, and compiled to one test each.
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import cache
from typing import TYPE_CHECKING, Final

from kevmond.events.event import Severity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

CODED: Final = ("vendor", "class", "subclass", "code")
"""Keys that have a number and perhaps a name."""
ORIGINS: Final = ("kernel", "control", "own")
OWN_PREFIX: Final = "kevmond."
"""What the type of every record begins with that kevmond wrote about itself."""

U32_MAX: Final = 0xFFFFFFFF
_LISTED: Final = 12
_GLOB: Final = frozenset("*?[")
_LEVELS: Final = {severity.value: level for level, severity in enumerate(Severity)}
_COMPARISONS: Final[Mapping[str, Callable[[int, int], bool]]] = {
    ">=": lambda level, limit: level >= limit,
    "<=": lambda level, limit: level <= limit,
    ">": lambda level, limit: level > limit,
    "<": lambda level, limit: level < limit,
}


@dataclass(frozen=True, slots=True)
class Value:
    """One value behind a key."""

    text: str
    number: int | None = None
    negated: bool = False

    def __str__(self) -> str:
        return f"!{self.text}" if self.negated else self.text

    @property
    def is_glob(self) -> bool:
        """True if it is a pattern and not a name."""
        return not _GLOB.isdisjoint(self.text)

    @property
    def is_everything(self) -> bool:
        """True if it says nothing at all."""
        return self.text == "*"

    def matches_text(self, text: str | None) -> bool:
        """Tell whether a name is meant; only "*" means a name that is not known."""
        if self.is_everything:
            return True
        if text is None:
            return False
        return fnmatchcase(text, self.text) if self.is_glob else text == self.text


def read_value(key: str, given: int | str) -> Value:
    """Read a value as it was written; ValueError if it cannot be meant for this key."""
    if isinstance(given, int):
        return _numbered(key, given, negated=False)
    text = given.strip()
    negated = text.startswith("!")
    if negated:
        text = text[1:].strip()
    if not text:
        raise ValueError(f"{key}: a value is empty")
    if negated and text == "*":
        raise ValueError(f"{key}: '!*' refuses every event")
    if key in CODED:
        try:
            return _numbered(key, int(text, 0), negated=negated)
        except ValueError:
            if text[0].isdigit() or text[0] == "-":
                raise ValueError(f"{key}: no number from 0 to 4294967295: {text!r}") from None
    if key == "severity":
        text = text.lower()
        _check_severity(text, negated=negated)
    return Value(text, negated=negated)


def _numbered(key: str, number: int, *, negated: bool) -> Value:
    if key not in CODED:
        raise ValueError(f"{key}: takes names, not the number {number}")
    if not 0 <= number <= U32_MAX:
        raise ValueError(f"{key}: no number from 0 to 4294967295: {number}")
    return Value(str(number), number, negated)


def unknown(key: str, text: str, names: Iterable[str]) -> ValueError:
    """Return an error about a name that does not exist, with the one that was perhaps meant."""
    known = sorted(names)
    near = get_close_matches(text, known, 1, 0.5)
    if near:
        return ValueError(f"{key}: unknown name {text!r}; the nearest known one is {near[0]!r}")
    some = ", ".join(known[:_LISTED]) + (", ..." if len(known) > _LISTED else "")
    return ValueError(f"{key}: unknown name {text!r}; known are {some}")


# -- severity ----------------------------------------------------------------------------------


def _threshold(text: str) -> tuple[str, str]:
    for comparison in _COMPARISONS:
        if text.startswith(comparison):
            return comparison, text[len(comparison) :].strip()
    return "", text


def _check_severity(text: str, *, negated: bool) -> None:
    comparison, level = _threshold(text)
    if level not in _LEVELS and (comparison or level != "*"):
        raise unknown("severity", level, _LEVELS)
    covered = len(severities(text))
    if covered == (len(_LEVELS) if negated else 0):
        raise ValueError(f"severity: no event has {'!' if negated else ''}{text}")


@cache
def severities(text: str) -> frozenset[str]:
    """All levels that a severity or threshold covers."""
    comparison, level = _threshold(text)
    if comparison:
        limit, compare = _LEVELS[level], _COMPARISONS[comparison]
        return frozenset(name for name, this in _LEVELS.items() if compare(this, limit))
    return frozenset(_LEVELS) if level == "*" else frozenset({level})


def levels(values: tuple[Value, ...]) -> frozenset[str]:
    """Return the levels that a term lets through; ValueError if none.

    Thresholds hold together, so that two of them are a range; levels that are named add to it.
    """
    plain = [value.text for value in values if not value.negated]
    limits = [severities(text) for text in plain if _threshold(text)[0]]
    named = [severities(text) for text in plain if not _threshold(text)[0]]
    wanted = frozenset(_LEVELS)
    if plain:
        wanted = wanted.intersection(*limits) if limits else frozenset[str]()
        wanted = wanted.union(*named)
    allowed = wanted.difference(*(severities(value.text) for value in values if value.negated))
    if not allowed:
        raise ValueError(f"severity: no event has all of {', '.join(map(str, values))}")
    return allowed


# -- tests -------------------------------------------------------------------------------------


def _covers(value: Value, number: int | None, text: str | None) -> bool:
    if value.number is not None:
        return value.number == number
    return value.matches_text(text)


def compile_term(key: str, values: tuple[Value, ...]) -> Callable[[int | None, str | None], bool]:
    """Return a test of (number, name): one of the plain values, and none of the negated ones."""
    if key == "severity":
        return _compile_severity(values)
    wanted = tuple(value for value in values if not value.negated)
    unwanted = tuple(value for value in values if value.negated)

    def test(number: int | None, text: str | None) -> bool:
        if wanted and not any(_covers(value, number, text) for value in wanted):
            return False
        return not any(_covers(value, number, text) for value in unwanted)

    return test


def _compile_severity(values: tuple[Value, ...]) -> Callable[[int | None, str | None], bool]:
    allowed = levels(values)

    def test(number: int | None, text: str | None) -> bool:
        del number
        return text in allowed

    return test

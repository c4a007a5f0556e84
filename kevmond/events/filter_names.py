"""The names a filter rule may use, checked against the catalogue when the rule is made.

A name that does not exist would match nothing, silently and for ever; so it is an error that tells
the nearest one that does.  Numbers are always right: kernels post codes that no table knows.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from kevmond.events import catalogue
from kevmond.events.decoder import MALFORMED_TYPE
from kevmond.events.filter_terms import ORIGINS, U32_MAX, Value, unknown
from kevmond.events.kinds import APPLE
from kevmond.events.own import OWN
from kevmond.events.revive import UNREADABLE

if TYPE_CHECKING:
    from collections.abc import Mapping

_NUMERIC_GLOB: Final = re.compile(r"[\d*?\[\]!-]*")
"""A word of a glob that may stand for a number."""


def checked(key: str, value: Value) -> Value:
    """Return the value with its name as the catalogue writes it; ValueError if no name is meant.

    C macros ("KEV_DL_LINK_ON") are taken for the names they stand for.
    """
    if value.number is not None or value.is_everything or key in {"interface", "severity"}:
        return value
    if key == "vendor":
        return _checked_vendor(value)
    names = _names(key)
    word = _macros(key).get(value.text.upper(), value.text.lower())
    meant = Value(word, negated=value.negated)
    if any(meant.matches_text(name) for name in names):
        return meant
    if key == "type" and meant.is_glob and _may_be_numbered(word):
        return meant
    numbered = _numbered_type(word) if key == "type" else None
    if numbered is None:
        raise unknown(key, value.text, names)
    return Value(numbered, negated=value.negated)


def never(terms: Mapping[str, tuple[Value, ...]]) -> ValueError:
    """Return the error of a rule whose names exist and never come together."""
    shown = " ".join(f"{key}={','.join(map(str, values))}" for key, values in terms.items())
    for key in ("code", "subclass"):
        places = sorted(
            {
                f"{kind.class_name}.{kind.subclass_name}"
                for kind in catalogue.kinds()
                for value in terms.get(key, ())
                if value.number is None
                and value.matches_text(kind.code_name if key == "code" else kind.subclass_name)
            }
        )
        if places:
            return ValueError(
                f"{key}: no event has all of {shown}; that {key} is in {', '.join(places)}"
            )
    return ValueError(f"no event has all of {shown}")


def _checked_vendor(value: Value) -> Value:
    text = value.text
    if text.lower() == catalogue.VENDOR_NAME:
        return Value(catalogue.VENDOR_NAME, negated=value.negated)
    if value.is_glob or "." in text:
        return value
    raise ValueError(
        f"vendor: unknown name {text!r}; write {catalogue.VENDOR_NAME!r}, a code, a third party's"
        f" string such as 'org.mklinux.nke', or a glob such as {text + '*'!r}"
    )


def _numbered_type(text: str) -> str | None:
    """Return the type that `catalogue.type_of` makes of these words and numbers; None if none is.

    So "network.dl.13" is "network.dl.link-on": a number never hides that there is a name.
    """
    first, *rest = text.split(".")
    if first.startswith("vendor-"):
        words = [first.removeprefix("vendor-"), *rest]
    else:
        classes = {entry.word: entry.number for entry in catalogue.CLASSES.values()}
        kev_class = classes.get(first)
        subclasses = {
            entry.word: str(entry.number)
            for entry in catalogue.SUBCLASSES.values()
            if entry.kev_class == kev_class
        }
        first = first.removeprefix("class-") if kev_class is None else str(kev_class)
        words = [str(APPLE), first, *(subclasses.get(word, word) for word in rest[:1]), *rest[1:]]
    numbers = [int(word) for word in words if word.isdecimal()]
    if len(words) != len(numbers) or len(numbers) != 4 or max(numbers) > U32_MAX:  # noqa: PLR2004 - vendor, class, subclass, code
        return None
    return catalogue.type_of(*numbers)


def _may_be_numbered(glob: str) -> bool:
    """Tell whether a glob may match the type of an event that has no name (`catalogue.type_of`)."""
    first, *rest = glob.split(".")
    numeric = [bool(_NUMERIC_GLOB.fullmatch(word)) for word in rest]
    if all(numeric) and _NUMERIC_GLOB.fullmatch(first.removeprefix("vendor").removeprefix("class")):
        return True
    classes = {
        entry.number
        for entry in catalogue.CLASSES.values()
        if Value(first).matches_text(entry.word)
    }
    if not classes or not all(numeric[1:]):
        return False
    return (
        not rest
        or numeric[0]
        or any(
            entry.kev_class in classes and Value(rest[0]).matches_text(entry.word)
            for entry in catalogue.SUBCLASSES.values()
        )
    )


def _names(key: str) -> set[str]:
    match key:
        case "class":
            return {entry.word for entry in catalogue.CLASSES.values()}
        case "subclass":
            return {entry.word for entry in catalogue.SUBCLASSES.values()}
        case "code":
            return {kind.code_name for kind in catalogue.kinds()}
        case "type":
            return {kind.type for kind in catalogue.kinds()} | {*OWN, UNREADABLE, MALFORMED_TYPE}
        case _:
            return set(ORIGINS)


def _macros(key: str) -> dict[str, str]:
    match key:
        case "class":
            return {entry.macro: entry.word for entry in catalogue.CLASSES.values()}
        case "subclass":
            return {entry.macro: entry.word for entry in catalogue.SUBCLASSES.values()}
        case "code":
            return {
                macro: kind.code_name
                for kind in catalogue.kinds()
                for macro in (kind.macro, kind.alias)
            }
        case _:
            return {}

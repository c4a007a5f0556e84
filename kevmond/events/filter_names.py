"""The names a filter rule may use, checked against the catalogue when the rule is made.

A name that does not exist would match nothing, silently and for ever; so it is an error that tells
the nearest one that does.  Numbers are always right: kernels post codes that no table knows.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from kevmond.events import catalogue
from kevmond.events.decoder import MALFORMED_TYPE
from kevmond.events.filter_terms import ORIGINS, Value, unknown
from kevmond.events.own import OWN
from kevmond.events.revive import UNREADABLE

if TYPE_CHECKING:
    from collections.abc import Mapping

_NUMBERED: Final = re.compile(
    r"vendor-\d+(\.\d+){3}|class-\d+(\.\d+){2}|[a-z0-9]+\.(\d+\.\d+|[a-z0-9]+\.\d+)"
)
"""Types of events whose code, subclass or class has no name (`catalogue.type_of`)."""
_NUMBERED_PREFIXES: Final = ("vendor-", "class-")


def checked(key: str, value: Value) -> Value:
    """Return the value with its name as the catalogue writes it; ValueError if no name is meant.

    C macros ("KEV_DL_LINK_ON") are taken for the names they stand for.
    """
    if value.number is not None or value.is_everything or key in {"interface", "severity"}:
        return value
    if key == "vendor":
        return _checked_vendor(value)
    names = _names(key)
    if value.is_glob:
        if not any(value.matches_text(name) for name in names) and not (
            key == "type" and _may_be_numbered(value.text)
        ):
            raise unknown(key, value.text, names)
        return value
    word = _macros(key).get(value.text.upper(), value.text.lower())
    if word not in names and not (key == "type" and _NUMBERED.fullmatch(word)):
        raise unknown(key, value.text, names)
    return Value(word, negated=value.negated)


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
    if value.is_glob or "." in text or text == catalogue.VENDOR_NAME:
        return value
    raise ValueError(
        f"vendor: unknown name {text!r}; write {catalogue.VENDOR_NAME!r}, a code, a third party's"
        f" string such as 'org.mklinux.nke', or a glob such as {text + '*'!r}"
    )


def _may_be_numbered(glob: str) -> bool:
    fixed = re.split(r"[*?\[]", glob, maxsplit=1)[0]
    return fixed.startswith(_NUMBERED_PREFIXES) or any(
        prefix.startswith(fixed) for prefix in _NUMBERED_PREFIXES
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

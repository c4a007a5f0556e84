"""What the kernel has to deliver so that a filter sees all that it wants.

A kernel filter (struct kev_request, sys/kern_event.h) is one vendor, class and subclass, where 0 is
a wildcard and wildcards nest.  So a filter is covered by the narrowest such triple that contains
every event its rules can match; "any vendor, one class" cannot be said and becomes "everything".
Names of classes, subclasses and codes are Apple's, so a rule that uses one means Apple's events.
"""

from __future__ import annotations

import re
from functools import cache, reduce
from itertools import product
from typing import TYPE_CHECKING, Final, NamedTuple

from kevmond.events import catalogue
from kevmond.events.decoder import MALFORMED_TYPE
from kevmond.events.filter_terms import OWN_PREFIX, U32_MAX, Value, compile_term
from kevmond.events.kinds import APPLE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping


class Triple(NamedTuple):
    """Vendor, class, subclass; 0 is any."""

    vendor: int = 0
    kev_class: int = 0
    subclass: int = 0


EVERYTHING: Final = Triple()
_ANY_VALUE: Final = (None,)


def join(triples: Iterable[Triple]) -> Triple | None:
    """Return the narrowest triple that contains all of these; None if there are none."""
    return reduce(_join, triples, None)


def _join(one: Triple | None, other: Triple) -> Triple:
    if one is None or one == other:
        return other
    if one.vendor != other.vendor or 0 in (one.vendor, other.vendor):
        return EVERYTHING
    if one.kev_class != other.kev_class or 0 in (one.kev_class, other.kev_class):
        return Triple(one.vendor)
    return Triple(one.vendor, one.kev_class)


def _meet(one: Triple, other: Triple) -> Triple | None:
    """Return what two nested triples have in common, or None if nothing."""
    for mine, yours in zip(one, other, strict=True):
        if mine == 0 or yours == 0:
            return other if mine == 0 else one
        if mine != yours:
            return None
    return one


def cover(
    terms: Mapping[str, tuple[Value, ...]], vendor_codes: Mapping[str, int]
) -> frozenset[Triple]:
    """Return triples that together contain every kernel event a rule can match.

    Empty if it can match none: it wants kevmond's own records only, or names that never come
    together.  `vendor_codes` tells the codes of third parties known by name.
    """
    if is_own_only(terms):
        return frozenset()
    wanted = [_alternatives(terms, key) for key in ("vendor", "class", "subclass", "code", "type")]
    found: set[Triple] = set()
    for vendor, kev_class, subclass, code, event_type in product(*wanted):
        for coded in _by_codes(vendor, kev_class, subclass, code, vendor_codes):
            for typed in _by_type(event_type):
                both = _meet(coded, typed)
                if both is not None:
                    found.add(both)
    return frozenset(found)


def is_own_only(terms: Mapping[str, tuple[Value, ...]]) -> bool:
    """Tell whether no kernel event can match, by the rule's origin or type."""
    if "origin" in terms and not compile_term("origin", terms["origin"])(None, "kernel"):
        return True
    types = [value for value in terms.get("type", ()) if not value.negated]
    return bool(types) and all(is_own_type(value) for value in types)


def is_own_type(value: Value) -> bool:
    """Tell whether a type (or glob) is one that only kevmond's own records have."""
    return not _type_cover(value.text)


def _alternatives(
    terms: Mapping[str, tuple[Value, ...]], key: str
) -> tuple[Value, ...] | tuple[None]:
    """Return the plain values of a key, one of which must match; negated ones only take away."""
    plain = tuple(value for value in terms.get(key, ()) if not value.negated)
    if not plain or any(value.is_everything for value in plain):
        return _ANY_VALUE
    return plain


def _fits(value: Value | None, number: int, word: str) -> bool:
    if value is None:
        return True
    return value.number == number if value.number is not None else value.matches_text(word)


def _named(value: Value | None) -> bool:
    return value is not None and value.number is None


def _number(value: Value | None) -> int:
    return 0 if value is None or value.number is None else value.number


def _by_codes(
    vendor: Value | None,
    kev_class: Value | None,
    subclass: Value | None,
    code: Value | None,
    vendor_codes: Mapping[str, int],
) -> Iterator[Triple]:
    if _named(kev_class) or _named(subclass) or _named(code):
        if _fits(vendor, APPLE, catalogue.VENDOR_NAME):
            yield from _apple(kev_class, subclass, code)
        return
    if vendor is None or (vendor.number is None and vendor.is_glob):
        yield EVERYTHING
        return
    number = vendor.number
    if number is None:
        known = APPLE if vendor.text == catalogue.VENDOR_NAME else vendor_codes.get(vendor.text)
        number = known or 0
    yield _nested(number, _number(kev_class), _number(subclass))


def _apple(kev_class: Value | None, subclass: Value | None, code: Value | None) -> Iterator[Triple]:
    if _named(code):
        for kind in catalogue.kinds():
            if (
                _fits(kev_class, kind.kev_class, kind.class_name)
                and _fits(subclass, kind.subclass, kind.subclass_name)
                and _fits(code, kind.code, kind.code_name)
            ):
                yield Triple(APPLE, kind.kev_class, kind.subclass)
    elif _named(subclass):
        for entry in catalogue.SUBCLASSES.values():
            of_class = catalogue.CLASSES[entry.kev_class]
            if _fits(kev_class, of_class.number, of_class.word) and _fits(
                subclass, entry.number, entry.word
            ):
                yield Triple(APPLE, entry.kev_class, entry.number)
    else:
        for named in catalogue.CLASSES.values():
            if _fits(kev_class, named.number, named.word):
                yield Triple(APPLE, named.number, _number(subclass))


# -- dotted types: `class.subclass.code`, or `vendor-N.class.subclass.code` -----------------------


def _by_type(value: Value | None) -> tuple[Triple, ...]:
    return (EVERYTHING,) if value is None else _type_cover(value.text)


@cache
def _type_cover(pattern: str) -> tuple[Triple, ...]:
    """Return what contains all kernel events of a type; nothing for kevmond's own types."""
    whole, cut = _fixed_words(pattern)
    if not whole:
        return _class_prefix(cut)
    first, second, third = (*whole, "", "")[:3]
    if f"{first}." == OWN_PREFIX:
        return ()
    if first.startswith("vendor-"):
        return (
            _nested(_decimal(first.removeprefix("vendor-")), _decimal(second), _decimal(third)),
        )
    by_word = {named.word: named.number for named in catalogue.CLASSES.values()}
    kev_class = by_word.get(first) or _decimal(first.removeprefix("class-"))
    if not kev_class:
        return (EVERYTHING,)
    subclasses = {
        entry.word: entry.number
        for entry in catalogue.SUBCLASSES.values()
        if entry.kev_class == kev_class
    }
    if len(whole) == 1 and cut and not cut[0].isdecimal():
        return tuple(
            Triple(APPLE, kev_class, number)
            for word, number in subclasses.items()
            if word.startswith(cut)
        )
    return (Triple(APPLE, kev_class, subclasses.get(second) or _decimal(second)),)


def _fixed_words(pattern: str) -> tuple[list[str], str]:
    """Return the words before the first wildcard, and the beginning of the one that it cuts.

    A wildcard may stand for dots too, so nothing behind the first one is certain.
    """
    fixed = re.split(r"[*?\[]", pattern, maxsplit=1)[0]
    words = fixed.split(".")
    return (words, "") if fixed == pattern else (words[:-1], words[-1])


def _class_prefix(prefix: str) -> tuple[Triple, ...]:
    for numbered in ("vendor-", "class-"):
        if numbered.startswith(prefix) or prefix.startswith(numbered):
            return (EVERYTHING,)
    if MALFORMED_TYPE.startswith(prefix):
        return (EVERYTHING,)
    return tuple(
        Triple(APPLE, named.number)
        for named in catalogue.CLASSES.values()
        if named.word.startswith(prefix)
    )


def _nested(vendor: int, kev_class: int, subclass: int) -> Triple:
    """Return the triple as the kernel reads it: behind a wildcard there are only wildcards."""
    if not vendor:
        return EVERYTHING
    return Triple(vendor, kev_class, subclass if kev_class else 0)


def _decimal(word: str) -> int:
    """Return the number that a word is; a wildcard if it is none, or none the kernel knows."""
    number = int(word) if word.isdecimal() else 0
    return number if number <= U32_MAX else 0

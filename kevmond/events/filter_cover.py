"""What the kernel has to deliver so that a filter sees all that it wants.

A kernel filter (struct kev_request, sys/kern_event.h) is one vendor, class and subclass, where 0 is
a wildcard and wildcards nest.  So a filter is covered by the narrowest such triple that contains
every event its rules can match; "any vendor, one class" cannot be said and becomes "everything".
Names of classes, subclasses and codes are Apple's, so a rule that uses one means Apple's events.
"""

from __future__ import annotations

from functools import cache, reduce
from itertools import product
from typing import TYPE_CHECKING, Final, NamedTuple

from kevmond.events import catalogue
from kevmond.events.filter_terms import OWN_PREFIX, Value
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
    origins = [value for value in terms.get("origin", ()) if not value.negated]
    if origins and not any(value.matches_text("kernel") for value in origins):
        return True
    types = [value for value in terms.get("type", ()) if not value.negated]
    return bool(types) and all(value.text.startswith(OWN_PREFIX) for value in types)


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
    if number == 0:
        yield EVERYTHING
        return
    number_of_class = _number(kev_class)
    yield Triple(number, number_of_class, _number(subclass) if number_of_class else 0)


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
    fixed = pattern[: min((pattern.find(c) for c in "*?[" if c in pattern), default=len(pattern))]
    words = fixed.split(".")
    first, whole = words[0], len(words) > 1 or fixed == pattern
    if not whole:
        return _class_prefix(first)
    if first.startswith("vendor-"):
        vendor = _ending(first)
        return (Triple(vendor) if vendor else EVERYTHING,)
    by_word = {named.word: named.number for named in catalogue.CLASSES.values()}
    kev_class = by_word.get(first) or (_ending(first) if first.startswith("class-") else 0)
    if not kev_class:
        return (EVERYTHING,) if fixed != pattern else ()
    if len(words) < 3:  # noqa: PLR2004 - the second word is not whole, or not there
        return (Triple(APPLE, kev_class),)
    subclasses = {
        entry.word: entry.number
        for entry in catalogue.SUBCLASSES.values()
        if entry.kev_class == kev_class
    }
    subclass = subclasses.get(words[1]) or (int(words[1]) if words[1].isdecimal() else 0)
    return (Triple(APPLE, kev_class, subclass),)


def _class_prefix(prefix: str) -> tuple[Triple, ...]:
    for numbered in ("vendor-", "class-"):
        if numbered.startswith(prefix) or prefix.startswith(numbered):
            return (EVERYTHING,)
    return tuple(
        Triple(APPLE, named.number)
        for named in catalogue.CLASSES.values()
        if named.word.startswith(prefix)
    )


def _ending(word: str) -> int:
    digits = word.rpartition("-")[2]
    return int(digits) if digits.isdecimal() else 0

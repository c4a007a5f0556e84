"""The filter language: which events a consumer wants, in one form everywhere.

A filter is a list of rules.  A rule names keys, all of which must hold; a rule may say `drop`.
An event passes if a keeping rule matches it (or there is none) and no dropping rule does.

Records of kevmond's own pass every filter, so that no loss is hidden by accident, with one
exception: a dropping rule that names them, by a type beginning with `kevmond.` or by origin.

See docs/filters.md.
"""

from __future__ import annotations

import re
import shlex
from operator import attrgetter
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    StrictInt,
    StrictStr,
    ValidationError,
    model_validator,
)

from kevmond.errors import FilterError
from kevmond.events.control import CONTROL_PREFIX
from kevmond.events.filter_cover import EVERYTHING, Triple, cover, is_own_only, is_own_type, join
from kevmond.events.filter_names import checked, never
from kevmond.events.filter_terms import OWN_PREFIX, Value, compile_term, levels, read_value, unknown
from kevmond.kernel.base import KernelFilter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from kevmond.events.event import Event

KEYS: Final = ("vendor", "class", "subclass", "code", "type", "interface", "severity", "origin")
_DECISIONS_KEPT: Final = 4096
_NO_CODES: Final[Mapping[str, int]] = MappingProxyType({})
_ASSIGNMENT: Final = re.compile(r"([A-Za-z_-]+)(!=|>=|<=|=|>|<)(.*)", re.DOTALL)
_decisive: Final = attrgetter(
    "vendor", "vendor_name", "class_", "subclass", "code", "type", "interface", "severity"
)


def _listed(given: Any) -> Any:
    if isinstance(given, str):
        return given.split(",")
    values = given if isinstance(given, (list, tuple)) else [given]
    for value in values:
        if isinstance(value, bool) or not isinstance(value, (int, str)):
            # A ValueError is what pydantic reports with the key.
            raise ValueError(f"takes names and numbers, not {value!r}")  # noqa: TRY004
    return values


Values = Annotated[tuple[StrictInt | StrictStr, ...], BeforeValidator(_listed), Field(min_length=1)]
"""A name, number, glob or negation, or a list of them."""


class Rule(BaseModel):
    """One rule; every key that is given must hold.

    A value is a name ("network"), a number (1), a glob ("link-*") or one of these negated
    ("!awdl*"); of a list one plain value must match and no negated one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    vendor: Values | None = None
    """Vendor: "apple", a code, or a third party's string ("org.mklinux.nke")."""
    class_: Values | None = Field(default=None, alias="class")
    """Class: "network", "system", ..."""
    subclass: Values | None = None
    """Subclass: "dl", "inet", ..."""
    code: Values | None = None
    """Code: "link-on", "new-addr", ..."""
    type: Values | None = None
    """Dotted type: "network.dl.link-*"."""
    interface: Values | None = None
    """BSD name: "en0", "utun*"."""
    severity: Values | None = None
    """Level ("notice") or threshold (">=warning")."""
    origin: Values | None = None
    """"kernel", "control" for what comes over control channels, or "own" for what kevmond writes
    about itself."""
    drop: bool = False
    """Refuse what matches instead of keeping it."""

    _terms: dict[str, tuple[Value, ...]] = PrivateAttr(default_factory=dict)

    @model_validator(mode="after")
    def _understand(self) -> Rule:
        for key in KEYS:
            given = self._given(key)
            if given is not None:
                values = tuple(read_value(key, one) for one in given)
                self._terms[key] = tuple(checked(key, value) for value in values)
        if "severity" in self._terms:
            levels(self._terms["severity"])
        if not is_own_only(self._terms) and not cover(self._terms, _NO_CODES):
            raise never(self._terms)
        return self

    def _given(self, key: str) -> tuple[int | str, ...] | None:
        return getattr(self, "class_" if key == "class" else key)  # type: ignore[no-any-return]

    @property
    def terms(self) -> Mapping[str, tuple[Value, ...]]:
        """The values of each key that is given."""
        return self._terms

    @property
    def names_own_records(self) -> bool:
        """True if it is said that kevmond's own records are meant, and not by accident."""
        types, origins = self._terms.get("type", ()), self._terms.get("origin", ())
        return (
            is_own_only(self._terms)
            or any(not value.negated and is_own_type(value) for value in types)
            or any(not value.negated and value.text == "own" for value in origins)
        )

    def __str__(self) -> str:
        words = ["drop"] if self.drop else []
        for key in KEYS:
            given = self._given(key)
            if given is not None:
                words.append(shlex.quote(f"{key}={','.join(map(str, given))}"))
        return " ".join(words) or "(everything)"


class EventFilter:
    """Rules compiled; `EventFilter()` lets everything pass."""

    __slots__ = ("_decided", "_drop", "_drop_own", "_keep", "_trivial", "rules")

    def __init__(self, rules: Iterable[Rule | Mapping[str, Any] | str] = ()) -> None:
        """Take rules as models, as tables of a configuration, or as text; raises FilterError."""
        self.rules: tuple[Rule, ...] = tuple(
            _rule(given, number) for number, given in enumerate(rules, 1)
        )
        drop = [rule for rule in self.rules if rule.drop]
        self._keep = [_test_of(rule) for rule in self.rules if not rule.drop]
        self._drop = [_test_of(rule) for rule in drop]
        self._drop_own = [_test_of(rule) for rule in drop if rule.names_own_records]
        self._trivial = not self.rules
        self._decided: dict[tuple[Any, ...], bool] = {}

    def matches(self, event: Event) -> bool:
        """Tell whether an event passes."""
        if self._trivial:
            return True
        key = _decisive(event)
        decided = self._decided.get(key)
        if decided is None:
            if len(self._decided) >= _DECISIONS_KEPT:
                self._decided.clear()
            decided = self._decided[key] = self._decide(event)
        return decided

    def kernel_filter(self, vendor_codes: Mapping[str, int] = _NO_CODES) -> KernelFilter:
        """Return the narrowest kernel filter that covers the rules; see `narrowest`."""
        return narrowest((self,), vendor_codes)

    def cover(self, vendor_codes: Mapping[str, int] = _NO_CODES) -> frozenset[Triple]:
        """Return the vendors, classes and subclasses that the rules can match."""
        if not self._keep:
            return frozenset({EVERYTHING})
        return frozenset[Triple]().union(
            *(cover(rule.terms, vendor_codes) for rule in self.rules if not rule.drop)
        )

    def _decide(self, event: Event) -> bool:
        if event.type.startswith(OWN_PREFIX):
            return not any(matches(event) for matches in self._drop_own)
        if any(matches(event) for matches in self._drop):
            return False
        return not self._keep or any(matches(event) for matches in self._keep)

    def __repr__(self) -> str:
        return f"EventFilter([{', '.join(repr(str(rule)) for rule in self.rules)}])"


def narrowest(
    filters: Iterable[EventFilter], vendor_codes: Mapping[str, int] = _NO_CODES
) -> KernelFilter:
    """Return the narrowest kernel filter that delivers all that any of these filters wants.

    Everything, if there is no filter or none wants kernel events.  `vendor_codes`: codes of third
    parties known by name; a vendor whose code is not known yet cannot be asked for alone.
    """
    found = join(triple for one in filters for triple in sorted(one.cover(vendor_codes)))
    return KernelFilter(*(found or EVERYTHING))


def parse_rule(text: str) -> Rule:
    """Read a rule as it is written on a command line; raises FilterError.

        class=network subclass=dl code=link-* interface=en*
        severity>=warning type!=network.power.*
        drop interface=awdl*,llw*

    `key!=value` negates each value; `,` separates the values of a list.
    """
    table: dict[str, Any] = {}
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise FilterError(f"rule {text!r}: {error}") from error
    for word in words:
        if word == "drop":
            table["drop"] = True
            continue
        match = _ASSIGNMENT.fullmatch(word)
        if match is None:
            raise FilterError(f"rule {text!r}: {word!r} is not KEY=VALUE; keys: {', '.join(KEYS)}")
        key, sign, value = match[1].lower(), match[2], match[3]
        if key == "drop" and sign == "=":
            table["drop"] = value
            continue
        if key == "drop" or (sign not in {"=", "!="} and key != "severity"):
            only = (
                "'drop' stands alone" if key == "drop" else f"only severity is compared with {sign}"
            )
            raise FilterError(f"rule {text!r}: {key}: {only}")
        mark = {"=": "", "!=": "!"}.get(sign, sign)
        table.setdefault(key, []).extend(mark + part for part in value.split(","))
    return _made(table, f"rule {text!r}")


def _rule(given: Rule | Mapping[str, Any] | str, number: int) -> Rule:
    if isinstance(given, Rule):
        return given
    if isinstance(given, str):
        return parse_rule(given)
    shown = " ".join(f"{key}={value}" for key, value in given.items())
    return _made(given, f"rule {number} ({shown})")


def _made(table: Mapping[str, Any], what: str) -> Rule:
    try:
        return Rule.model_validate(dict(table))
    except ValidationError as error:
        first = error.errors()[0]
        key = str(first["loc"][0]) if first["loc"] else ""
        if first["type"] == "extra_forbidden":
            text = str(unknown("key", key, (*KEYS, "drop"))).replace(
                "key: unknown name", "unknown key", 1
            )
        elif first["type"] == "value_error":
            text = f"{key}: " * bool(key) + str(first["ctx"]["error"])
        else:
            text = f"{key}: {first['msg']}"
        raise FilterError(f"{what}: {text}") from error


# -- one test a key ------------------------------------------------------------------------------


def _origin(event: Event) -> str:
    if event.type.startswith(OWN_PREFIX):
        return "own"
    return "control" if event.type.startswith(CONTROL_PREFIX) else "kernel"


_READ: Final[Mapping[str, Callable[[Event], tuple[int | None, str | None]]]] = {
    "vendor": lambda event: (event.vendor, event.vendor_name),
    "class": lambda event: (event.class_, event.class_name),
    "subclass": lambda event: (event.subclass, event.subclass_name),
    "code": lambda event: (event.code, event.code_name),
    "type": lambda event: (None, event.type),
    "interface": lambda event: (None, event.interface),
    "severity": lambda event: (None, event.severity.value),
    "origin": lambda event: (None, _origin(event)),
}


def _test_of(rule: Rule) -> Callable[[Event], bool]:
    """Compile a rule: every key that it gives must hold."""
    tests = [(_READ[key], compile_term(key, values)) for key, values in rule.terms.items()]
    return lambda event: all(holds(*read(event)) for read, holds in tests)

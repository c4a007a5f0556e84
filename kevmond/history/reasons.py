"""What a filter does with an event, in words: the rule that decides, or why none does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from kevmond.events.filter_terms import OWN_PREFIX
from kevmond.events.filters import EventFilter

if TYPE_CHECKING:
    from kevmond.events.event import Event
    from kevmond.events.filters import Rule


class Reason(NamedTuple):
    """A decision."""

    passes: bool
    why: str


def decide(found: EventFilter, event: Event) -> Reason:
    """Return what a filter does with an event, as `EventFilter.matches` does."""
    if not found.rules:
        return Reason(passes=True, why="there is no filter")
    for number, rule in enumerate(found.rules, 1):
        if rule.drop and not EventFilter([rule]).matches(event):
            return Reason(passes=False, why=f"rule {number} drops it ({rule})")
    if event.type.startswith(OWN_PREFIX):
        why = "kevmond's own records pass every filter that does not drop them by name"
        return Reason(passes=True, why=why)
    misses = []
    for number, rule in enumerate(found.rules, 1):
        if rule.drop:
            continue
        if EventFilter([rule]).matches(event):
            return Reason(passes=True, why=f"rule {number} lets it pass ({rule})")
        misses.append(f"rule {number} ({rule}): {_miss(rule, event)}")
    if not misses:
        return Reason(passes=True, why="no rule drops it")
    return Reason(passes=False, why=f"no rule lets it pass; {'; '.join(misses)}")


def _miss(rule: Rule, event: Event) -> str:
    """Tell which keys of a rule do not hold."""
    table: dict[str, Any] = rule.model_dump(by_alias=True, exclude_none=True, exclude={"drop"})
    missed = [key for key in table if not EventFilter([{key: table[key]}]).matches(event)]
    return ", ".join(f"its {key} is {_value(key, event)}" for key in missed)


def _value(key: str, event: Event) -> str:
    if key == "origin":
        return "another"
    attribute = "class_" if key == "class" else key
    number, word = getattr(event, attribute), getattr(event, f"{key}_name", None)
    told = number if word is None else word
    return "none" if told is None else str(told)

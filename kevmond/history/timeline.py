"""How the interfaces were over time: lanes of spans, of which each has one state."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from kevmond.events.event import timestamp

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kevmond.history.interfaces import Transition

MOST_SPANS: Final = 2_000
"""In one lane; of a link that flaps for long the latest are told."""

_KINDS: Final = {"interface": 0, "link": 1, "address": 2}

_Key = tuple[str, str, str]


def lanes(transitions: Iterable[Transition], since_ns: int) -> list[dict[str, Any]]:
    """Return the lanes of what was between `since_ns` and now, from transitions in their order.

    A span that began before begins at `since_ns`; one that still goes on has no end.
    """
    spans: dict[_Key, list[dict[str, Any]]] = {}
    begun: dict[_Key, tuple[int, str]] = {}

    def end(key: _Key, until_ns: int | None) -> None:
        begin_ns, state = begun.pop(key)
        if until_ns is None or until_ns > since_ns:
            spans.setdefault(key, []).append(
                {
                    "from": timestamp(max(begin_ns, since_ns)),
                    "to": None if until_ns is None else timestamp(until_ns),
                    "state": state,
                }
            )

    for wall_ns, *names, state in transitions:
        key = (names[0], names[1], names[2])
        if key in begun:
            end(key, wall_ns)
        if state is not None:
            begun[key] = (wall_ns, state)
    for key in list(begun):
        end(key, None)
    return [
        {
            "interface": key[0],
            "kind": key[1],
            "label": key[2],
            "spans": found[-MOST_SPANS:],
            "cut": len(found) > MOST_SPANS,
        }
        for key, found in sorted(spans.items(), key=lambda item: _order(item[0]))
    ]


def natural(name: str) -> tuple[str, int, str]:
    """Return a key that sorts en2 before en10."""
    found = re.match(r"(\D*)(\d*)(.*)", name, re.DOTALL)
    assert found is not None
    return found[1], int(found[2][:9] or -1), found[3]


def _order(key: _Key) -> tuple[Any, ...]:
    return natural(key[0]), _KINDS[key[1]], key[2]

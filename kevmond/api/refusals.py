"""What the API refused, by kind: said at the first time, then each time the number has doubled.

Whoever knocks a million times writes no million lines.
"""

from __future__ import annotations

from typing import Any, Final

AGAIN: Final = 64
"""Refusals of one kind after which it is said for the second time."""
MOST_KINDS: Final = 64
"""Kinds that are counted each for itself; what comes beyond is counted together."""

LONGEST: Final = 200
"""Characters of a fact that are said."""
TOO_LONG: Final = "a request to the API was too long"
TOO_SLOW: Final = "a request to the API came too slowly"


class Refusals:
    """Counts refusals, and says them in the log."""

    def __init__(self, log: Any) -> None:
        self._log = log
        self._counts: dict[tuple[str, object], int] = {}
        self.counts: dict[str, int] = {}
        """How often each thing was refused, by the text that says so."""

    def note(self, text: str, who: object = None, *, level: str = "warning", **facts: Any) -> None:
        """Count a refusal; `who` tells callers apart, `facts` are those of this one.

        What comes from outside is cut short, and without what a terminal would obey.
        """
        key = (text, who)
        if key not in self._counts and len(self._counts) >= MOST_KINDS:
            key = (text, ...)
        count = self._counts.get(key, 0) + 1
        self._counts[key] = count
        self.counts[text] = self.counts.get(text, 0) + 1
        if count == 1:
            more = {}
        elif count >= AGAIN and count & (count - 1) == 0:
            more = {"times": count}
        else:
            return
        told = {key: _tame(fact) if isinstance(fact, str) else fact for key, fact in facts.items()}
        getattr(self._log, level)(text, **told, **more)


def _tame(text: str) -> str:
    return "".join(each if each.isprintable() else "?" for each in text[:LONGEST])

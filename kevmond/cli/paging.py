"""Events of the past, a page at a time, each as the very line that the journal has."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from kevmond.api.client import ApiUnreachable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from kevmond.api.client import ApiClient

PAGE: Final = 1000
"""Most events in a page."""
_HEAD: Final = '{"events":['


class Page(NamedTuple):
    """One answer of GET /v1/events."""

    lines: list[bytes]
    """Events as they stand in it."""
    facts: dict[str, Any]
    """The rest of it."""


def page_of(text: str) -> Page:
    """Take an answer apart; ValueError if it is none."""
    if not text.startswith(_HEAD):
        raise ValueError("not a page of events")
    lines, at = [], len(_HEAD)
    decoder = json.JSONDecoder()
    while text[at] != "]":
        at += text[at] == ","
        _, end = decoder.raw_decode(text, at)
        lines.append(text[at:end].encode())
        at = end
    return Page(lines, json.loads(f"{_HEAD}{text[at:]}"))


class Walk:
    """All events that fit a query, or so many, in one order; iterate over it, once, by pages."""

    def __init__(
        self,
        client: ApiClient,
        query: Mapping[str, Any],
        *,
        most: int | None = None,
        newest_first: bool = False,
    ) -> None:
        self.more = False
        """Whether there were more than so many."""
        self._client = client
        self._query = dict(query)
        self._left = most
        self._newest_first = newest_first

    def __iter__(self) -> Iterator[list[bytes]]:
        query = {**self._query, "order": "desc" if self._newest_first else "asc"}
        while self._left is None or self._left > 0:
            query["limit"] = PAGE if self._left is None else min(self._left, PAGE)
            page = self._ask(query)
            self.more = page.facts["more"]
            if page.lines:
                yield page.lines
            if not self.more:
                return
            if self._left is not None:
                self._left -= len(page.lines)
            query["before" if self._newest_first else "after"] = page.facts["last"]
            # What comes meanwhile is not waited for, or there might be no end of it.
            query.setdefault("before", page.facts["newest"] + 1)

    def _ask(self, query: Mapping[str, Any]) -> Page:
        text = self._client.text("events", query=query)
        try:
            return page_of(text)
        except (ValueError, IndexError) as error:
            raise ApiUnreachable(f"{self._client.path}: the answer is no page of events") from error

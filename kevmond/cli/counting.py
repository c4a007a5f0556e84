"""Counts of events as tables with bars."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, Final

import click

from kevmond.cli.pretty import printable, table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    Facts = dict[str, Any]

_BAR: Final = 40
"""Length of the longest bar."""
_GAP: Final = 3
"""Most empty stretches that are told one by one."""


def by_name(facts: Facts) -> Iterator[str]:
    """Yield a table of names and how many there were of each, most first."""
    found = facts["by"]
    most, total = max(found.values(), default=0), facts["total"]
    rows = [
        (printable(name), str(count), f"{100 * count / total:.0f} %", bar(count, most))
        for name, count in found.items()
    ]
    yield from _table(("NAME", "EVENTS", "SHARE", ""), [*rows, ("(all)", str(total), "", "")])


def over_time(facts: Facts) -> Iterator[str]:
    """Yield a table of stretches of time, by their beginnings in local time."""
    buckets, length = facts["buckets"], facts["bucket"]
    most = max((one["count"] for one in buckets), default=0)
    rows = []
    expected = None
    for one in buckets:
        begin = dt.datetime.fromisoformat(one["time"])
        empty = 0 if expected is None else (begin - expected) // dt.timedelta(seconds=length)
        if empty > _GAP:
            rows.append((f"  ... {empty} x", "0", ""))
        else:
            rows += [
                (_clock(begin - dt.timedelta(seconds=length * back), length), "0", "")
                for back in range(empty, 0, -1)
            ]
        rows.append((_clock(begin, length), str(one["count"]), bar(one["count"], most)))
        expected = begin + dt.timedelta(seconds=length)
    yield from _table(("FROM", "EVENTS", ""), rows)


def bar(count: int, most: int) -> str:
    """Return a bar whose length tells a number beside the greatest one; what is there is seen."""
    return "#" * max(1, round(_BAR * count / most)) if count else ""


def _clock(when: dt.datetime, length: int) -> str:
    seconds = ":%S" if length % 60 else ""
    return f"{when.astimezone():%Y-%m-%d %H:%M{seconds}}"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    right = {at for at, head in enumerate(heads) if head in {"EVENTS", "SHARE"}}
    for number, cells in enumerate(table([heads, *rows], right=right)):
        line = "  ".join(cells).rstrip()
        yield click.style(line, bold=True) if number == 0 else line

"""How many events there were: by type, interface or severity, and over time."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

from kevmond.errors import ConfigError
from kevmond.events.event import timestamp
from kevmond.history.query import Walk

if TYPE_CHECKING:
    from kevmond.events.event import Event
    from kevmond.history.query import Wanted
    from kevmond.journal.paging import History

LOOKED: Final = 200_000
"""Records that are looked at, the newest ones."""
MOST_BUCKETS: Final = 10_000
NONE: Final = "(none)"
"""Name of what has no interface."""

By = Literal["type", "interface", "severity"]
BY: Final[tuple[str, ...]] = get_args(By)


def name_of(event: Event, by: By) -> str:
    """Return what an event counts as."""
    if by == "type":
        return event.type
    return (event.interface or NONE) if by == "interface" else event.severity.value


async def count(
    history: History, turns: asyncio.Lock, wanted: Wanted, *, by: By, bucket: int
) -> dict[str, Any]:
    """Return figures as JSON has them; `wanted` is newest first, `bucket` in seconds (0: none).

    Buckets begin at multiples of their length since the epoch, and only those are told in which
    something was.  ConfigError if there are too many.
    """
    total: Counter[str] = Counter()
    buckets: defaultdict[int, Counter[str]] = defaultdict(Counter)
    walk = Walk(history, turns, wanted, most=LOOKED)
    async with contextlib.aclosing(walk.blocks()) as blocks:
        async for records in blocks:
            async with turns:  # it may be the first look at them, which decodes them
                for record in records:
                    name = name_of(record.event, by)
                    total[name] += 1
                    if bucket:
                        buckets[record.wall_ns // (bucket * 10**9)][name] += 1
                await asyncio.sleep(0)
            if len(buckets) > MOST_BUCKETS:
                raise ConfigError(
                    f"bucket: {bucket} s makes more than {MOST_BUCKETS} of them; make them longer"
                )
    return {
        "bucket": bucket,
        "total": total.total(),
        "by": dict(total.most_common()),
        "buckets": [
            {
                "time": timestamp(number * bucket * 10**9),
                "count": found.total(),
                "by": dict(found.most_common()),
            }
            for number, found in sorted(buckets.items())
        ],
        "cut": walk.cut,
        "looked_at": walk.looked,
        "looked_from": None if walk.reached_ns is None else timestamp(walk.reached_ns),
    }

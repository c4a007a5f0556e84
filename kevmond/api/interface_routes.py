"""/v1/interfaces: what the machine's interfaces are like now, and were over time."""

from __future__ import annotations

import time
from typing import Final

from aiohttp import web

from kevmond.api.answers import PAST, answer
from kevmond.api.questions import check, when

SINCE_NS: Final = 3600 * 10**9
"""How far a timeline goes back, unless `since` says another time."""


def routes() -> list[web.RouteDef]:
    """Return what is served here."""
    return [
        web.get("/v1/interfaces", _interfaces),
        web.get("/v1/interfaces/timeline", _timeline),
    ]


async def _interfaces(request: web.Request) -> web.Response:
    """List the interfaces as they are now, and since when, by what the journal holds."""
    check(request, ())
    return answer(await request.app[PAST].machine.interfaces())


async def _timeline(request: web.Request) -> web.Response:
    """Tell when links were up and down and which addresses there were, as lanes of spans."""
    check(request, ("since",))
    since_ns, now_ns = when(request, "since"), time.time_ns()
    since_ns = now_ns - SINCE_NS if since_ns is None else since_ns
    return answer(await request.app[PAST].machine.timeline(since_ns, now_ns))

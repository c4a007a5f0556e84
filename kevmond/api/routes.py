"""Every route of the API, by families: JSON in, JSON out, under /v1/, and the live page's files.

Imports aiohttp, so it is imported by the first caller only (`serving`).
"""

from __future__ import annotations

import os
from typing import Final

from aiohttp import web

from kevmond import __version__
from kevmond.api import (
    event_routes,
    interface_routes,
    openapi_routes,
    page_routes,
    status_routes,
    webhook_routes,
)
from kevmond.api.answers import answer

FAMILIES: Final = (
    event_routes,
    interface_routes,
    webhook_routes,
    status_routes,
    openapi_routes,
    page_routes,
)
"""Modules whose `routes()` are served."""


def routes() -> list[web.RouteDef]:
    """Return all that is served."""
    return [
        web.get("/v1/", _root),
        *(route for family in FAMILIES for route in family.routes()),
    ]


async def _root(_request: web.Request) -> web.Response:
    """Tell who answers."""
    return answer({"name": "kevmond", "version": __version__, "pid": os.getpid()})

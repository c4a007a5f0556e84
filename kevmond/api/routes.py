"""The application: every route under /v1/, JSON in, JSON out.

Imports aiohttp, so it is imported by the first caller only (`server`).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from kevmond import __version__
from kevmond.api import webhook_routes
from kevmond.api.answers import MOST_BYTES, SERVICES, answer, errors

if TYPE_CHECKING:
    from collections.abc import Callable

    from kevmond.api.services import Services

FAMILIES: Final = (webhook_routes,)
"""Modules whose `routes()` are served."""


def make_app(
    services: Services, log: Any, *, heard: Callable[[web.Request], None]
) -> web.Application:
    """Return the application; `heard` is told of each request whose headers are there."""
    app = web.Application(middlewares=[errors(log, heard)], client_max_size=MOST_BYTES)
    app[SERVICES] = services
    app.add_routes([web.get("/v1/", _root)])
    for family in FAMILIES:
        app.add_routes(family.routes())
    return app


async def _root(_request: web.Request) -> web.Response:
    return answer({"name": "kevmond", "version": __version__, "pid": os.getpid()})

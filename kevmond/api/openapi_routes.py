"""/v1/openapi.json: the API's own description."""

from __future__ import annotations

import json
from typing import Final

from aiohttp import web

from kevmond.worker import Worker

_made: Final[list[bytes]] = []
"""The description, once somebody has asked for it."""


def routes() -> list[web.RouteDef]:
    """Return what is served here."""
    return [web.get("/v1/openapi.json", _openapi)]


async def _openapi(_request: web.Request) -> web.Response:
    """Describe the API (OpenAPI 3.1)."""
    if not _made:
        worker = Worker("openapi")
        try:
            _made.append(await worker.run(_make))
        finally:
            worker.stop()
    return web.Response(body=_made[0], content_type="application/json", charset="utf-8")


def _make() -> bytes:
    from kevmond.api.openapi import document  # noqa: PLC0415 - who asks for it loads it
    from kevmond.api.routes import routes as served  # noqa: PLC0415 - which imports us

    return json.dumps(document(served())).encode()

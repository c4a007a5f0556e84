"""/v1/status and its kin: how the daemon is, its metrics, and the configuration in force."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from kevmond.api.answers import API, SERVICES, answer
from kevmond.api.metrics import Figures, exposition
from kevmond.api.moment import Moment, look
from kevmond.api.ownuse import OwnUse
from kevmond.api.status import health, status
from kevmond.api.stream import STREAMS

if TYPE_CHECKING:
    from collections.abc import Mapping

_USE: Final = OwnUse()
"""Of this process, whoever asks."""


def routes() -> list[web.RouteDef]:
    """Return what is served here."""
    return [
        web.get("/v1/status", _status),
        web.get("/v1/health", _health),
        web.get("/v1/metrics", metrics),
        web.get("/v1/config", _config),
        web.post("/v1/reload", _reload),
    ]


async def metrics(request: web.Request) -> web.Response:
    """Metrics for Prometheus: text, or OpenMetrics where the Accept header asks for that."""
    figures = Figures(_look(request), _USE.look(), _api(request))
    body, kind = exposition(figures, request.headers.get("Accept", ""))
    return web.Response(body=body, headers={"Content-Type": kind})


async def _status(request: web.Request) -> web.Response:
    """How the daemon is, why, and its figures: kernel, events, journal, consumers, own use."""
    return answer(
        status(
            _look(request),
            use=_USE.facts(),
            api=_api(request),
            config_file=request.app[SERVICES].config()["file"],
        )
    )


async def _health(request: web.Request) -> web.Response:
    """Whether all is well: 200 if it is, 503 if not, with the problems."""
    found = health(_look(request), _api(request))
    return answer(found, status=200 if found["health"] == "ok" else 503)


async def _config(request: web.Request) -> web.Response:
    """Tell the configuration in force and the file that it is from; secrets are references."""
    return answer(request.app[SERVICES].config())


async def _reload(request: web.Request) -> web.Response:
    """Read the configuration anew, as SIGHUP does; the answer tells what became of it."""
    report = await request.app[SERVICES].reload()
    if report["state"] == "applied":
        return answer(report)
    error = "\n".join(report["problems"])
    hint = "nothing was changed; `kevmond config check` looks at the file without the daemon"
    return answer({**report, "error": error, "hint": hint}, status=422)


def _look(request: web.Request) -> Moment:
    streams = request.app.get(STREAMS)
    return look(request.app[SERVICES], () if streams is None else streams.facts())


def _api(request: web.Request) -> Mapping[str, Any]:
    """Return what the server tells of itself; nothing where it is none."""
    api = request.app.get(API)
    return {} if api is None else api.facts()

"""/v1/webhooks: subscriptions that come, change and go while the daemon runs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web
from pydantic import Field

from kevmond.api.answers import SERVICES, Body, answer, read
from kevmond.api.questions import whole
from kevmond.errors import ConfigError
from kevmond.sinks.replay import Wanted
from kevmond.sinks.subscriptions import OVERLAP
from kevmond.units import Duration, moment

if TYPE_CHECKING:
    from kevmond.sinks.subscriptions import Subscriptions

PAGE: Final = 100
"""Dead letters in one answer, unless `limit` says another number."""
MOST_PAGE: Final = 1000


class AddBody(Body):
    """POST /v1/webhooks."""

    name: str | None = None
    settings: dict[str, Any]
    secret: str | None = None
    generate: bool = False


class RotateBody(Body):
    """POST /v1/webhooks/NAME/rotate-secret."""

    secret: str | None = None
    overlap: Duration = Field(default=OVERLAP, ge=0)


class DisableBody(Body):
    """POST /v1/webhooks/NAME/disable."""

    reason: str | None = Field(default=None, max_length=500)


class ReplayBody(Body):
    """POST /v1/webhooks/NAME/replay: one of the three."""

    event_id: str | None = None
    since: str | None = None
    until: str | None = None
    failed: bool = False

    def wanted(self, now_ns: int) -> Wanted:
        """Return what is wanted; ConfigError if it is not one thing."""
        span = self.since is not None or self.until is not None
        if (self.event_id is not None) + span + self.failed != 1:
            raise ConfigError("say what to replay: an event's id, since and until, or failed")
        since = None if self.since is None else moment(self.since, now_ns)
        until = None if self.until is None else moment(self.until, now_ns)
        if since is not None and until is not None and since > until:
            raise ConfigError("since is later than until")
        return Wanted(self.event_id, since, until, self.failed)


def routes() -> list[web.RouteDef]:
    """Return what is served here."""
    one = "/v1/webhooks/{name}"
    return [
        web.get("/v1/webhooks", _list),
        web.post("/v1/webhooks", _add),
        web.get(one, _show),
        web.delete(one, _remove),
        web.post(f"{one}/test", _test),
        web.post(f"{one}/pause", _pause),
        web.post(f"{one}/resume", _resume),
        web.post(f"{one}/disable", _disable),
        web.post(f"{one}/rotate-secret", _rotate),
        web.post(f"{one}/replay", _replay),
        web.get(f"{one}/failures", _failures),
    ]


async def _list(request: web.Request) -> web.Response:
    """List all webhooks, with their states and figures."""
    return answer({"webhooks": _of(request).listing()})


async def _add(request: web.Request) -> web.Response:
    """Subscribe an endpoint; it is delivered to from now on."""
    body = await read(request, AddBody)
    made = await _of(request).add(
        body.settings, name=body.name, secret=body.secret, generate=body.generate
    )
    return answer(made, status=201)


async def _show(request: web.Request) -> web.Response:
    """Show one webhook, its settings too."""
    return answer(_of(request).show(_name(request)))


async def _remove(request: web.Request) -> web.Response:
    """Unsubscribe: forget its place, its secrets and its dead letters."""
    force = request.query.get("force", "") in {"1", "true"}
    return answer(await _of(request).remove(_name(request), force=force))


async def _test(request: web.Request) -> web.Response:
    """Send one `kevmond.test` event, and tell what the receiver says."""
    return answer(await _of(request).test(_name(request)))


async def _pause(request: web.Request) -> web.Response:
    """Stop delivering until `resume`; what comes waits in the journal."""
    return answer(await _of(request).pause(_name(request)))


async def _resume(request: web.Request) -> web.Response:
    """Deliver again, from where it stopped, whatever stopped it."""
    return answer(await _of(request).resume(_name(request)))


async def _disable(request: web.Request) -> web.Response:
    """Stop delivering, and have that said as an error, until `resume`."""
    body = await read(request, DisableBody)
    return answer(await _of(request).disable(_name(request), body.reason))


async def _rotate(request: web.Request) -> web.Response:
    """Sign with a new secret, and for a while with the one before too."""
    body = await read(request, RotateBody)
    changed = await _of(request).rotate_secret(
        _name(request), secret=body.secret, overlap=body.overlap
    )
    return answer(changed)


async def _replay(request: web.Request) -> web.Response:
    """Deliver once more: one event, a stretch of time, or the dead letters."""
    body = await read(request, ReplayBody)
    job = await _of(request).replay(_name(request), body.wanted(time.time_ns()))
    return answer({"name": _name(request), "replay": job}, status=202)


async def _failures(request: web.Request) -> web.Response:
    """List events that were given up, each with the story of its attempts."""
    after = whole("after", request.query.get("after")) or 0
    limit = whole("limit", request.query.get("limit"))
    limit = PAGE if limit is None else min(max(1, limit), MOST_PAGE)
    found = await _of(request).failures(_name(request), after=after, limit=limit)
    return answer({"name": _name(request), "failures": found, "more": len(found) == limit})


def _of(request: web.Request) -> Subscriptions:
    return request.app[SERVICES].subscriptions


def _name(request: web.Request) -> str:
    return request.match_info["name"]

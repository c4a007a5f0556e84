"""The routes under /v1/: JSON in, JSON out; a mistake is {"error": ..., "hint": ...} and a 4xx.

Imports aiohttp, so it is imported by the first caller only (`server`).
"""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING, Any, Final, TypeVar

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kevmond import __version__
from kevmond.errors import ConfigError, KevmondError
from kevmond.sinks.replay import Wanted, moment
from kevmond.sinks.subscriptions import OVERLAP, Subscriptions
from kevmond.sinks.webhookbook import ConflictError, SubscriptionError, UnknownWebhookError
from kevmond.units import Duration

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from kevmond.api.server import Services

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

MOST_BYTES: Final = 256 << 10
"""Longest body of a request."""
PAGE: Final = 100
"""Dead letters in one answer, unless `limit` says another number."""
MOST_PAGE: Final = 1000
READ: Final = 10.0
"""Seconds within which a request has to be there as a whole."""

SUBSCRIPTIONS: Final = web.AppKey("subscriptions", Subscriptions)

Model = TypeVar("Model", bound="_Body")


class _Body(BaseModel):
    """A request's body."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class AddBody(_Body):
    """POST /v1/webhooks."""

    name: str | None = None
    settings: dict[str, Any]
    secret: str | None = None
    generate: bool = False


class RotateBody(_Body):
    """POST /v1/webhooks/NAME/rotate-secret."""

    secret: str | None = None
    overlap: Duration = Field(default=OVERLAP, ge=0)


class DisableBody(_Body):
    """POST /v1/webhooks/NAME/disable."""

    reason: str | None = Field(default=None, max_length=500)


class ReplayBody(_Body):
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


class _CallerGone(Exception):  # noqa: N818 - nobody is there to be told
    """The caller hung up in the middle of its request."""


def make_app(
    services: Services, log: Any, *, heard: Callable[[web.Request], None]
) -> web.Application:
    """Return the application; `heard` is told of each request whose headers are there."""
    app = web.Application(middlewares=[_errors(log, heard)], client_max_size=MOST_BYTES)
    app[SUBSCRIPTIONS] = services.subscriptions
    one = "/v1/webhooks/{name}"
    app.add_routes(
        [
            web.get("/v1/", _root),
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
    )
    return app


# ---------------------------------------------------------------------- handlers


async def _root(_request: web.Request) -> web.Response:
    return _answer({"name": "kevmond", "version": __version__, "pid": os.getpid()})


async def _list(request: web.Request) -> web.Response:
    return _answer({"webhooks": _of(request).listing()})


async def _add(request: web.Request) -> web.Response:
    body = await _read(request, AddBody)
    made = await _of(request).add(
        body.settings, name=body.name, secret=body.secret, generate=body.generate
    )
    return _answer(made, status=201)


async def _show(request: web.Request) -> web.Response:
    return _answer(_of(request).show(_name(request)))


async def _remove(request: web.Request) -> web.Response:
    force = request.query.get("force", "") in {"1", "true"}
    return _answer(await _of(request).remove(_name(request), force=force))


async def _test(request: web.Request) -> web.Response:
    return _answer(await _of(request).test(_name(request)))


async def _pause(request: web.Request) -> web.Response:
    return _answer(await _of(request).pause(_name(request)))


async def _resume(request: web.Request) -> web.Response:
    return _answer(await _of(request).resume(_name(request)))


async def _disable(request: web.Request) -> web.Response:
    body = await _read(request, DisableBody)
    return _answer(await _of(request).disable(_name(request), body.reason))


async def _rotate(request: web.Request) -> web.Response:
    body = await _read(request, RotateBody)
    changed = await _of(request).rotate_secret(
        _name(request), secret=body.secret, overlap=body.overlap
    )
    return _answer(changed)


async def _replay(request: web.Request) -> web.Response:
    body = await _read(request, ReplayBody)
    job = await _of(request).replay(_name(request), body.wanted(time.time_ns()))
    return _answer({"name": _name(request), "replay": job}, status=202)


async def _failures(request: web.Request) -> web.Response:
    after, limit = _number(request, "after", 0), _number(request, "limit", PAGE)
    limit = min(max(1, limit), MOST_PAGE)
    found = await _of(request).failures(_name(request), after=after, limit=limit)
    return _answer({"name": _name(request), "failures": found, "more": len(found) == limit})


# ---------------------------------------------------------------------- what they share


def _of(request: web.Request) -> Subscriptions:
    return request.app[SUBSCRIPTIONS]


def _name(request: web.Request) -> str:
    return request.match_info["name"]


def _number(request: web.Request, key: str, default: int) -> int:
    text = request.query.get(key, "")
    if not text:
        return default
    if not (text.isascii() and text.isdigit()):
        raise ConfigError(f"{key}: not a number: {text!r}")
    return int(text)


async def _read(request: web.Request, model: type[Model]) -> Model:
    try:
        async with asyncio.timeout(READ):
            data = await request.read()
    except TimeoutError:
        raise web.HTTPRequestTimeout from None
    except ConnectionError as error:
        raise _CallerGone from error
    except web.RequestPayloadError as error:
        raise ConfigError(f"body: cannot be read: {error}") from error
    try:
        return model.model_validate_json(data or b"{}")
    except ValidationError as error:
        told = []
        for problem in error.errors(include_url=False):
            key = ".".join(str(part) for part in problem["loc"]) or "body"
            told.append(f"{key}: {problem['msg'].removeprefix('Value error, ')}")
        raise ConfigError("\n".join(told)) from error


def _answer(facts: dict[str, Any], status: int = 200) -> web.Response:
    return web.json_response(facts, status=status)


def _hint(error: web.HTTPException) -> str:
    """Return what to do about a request that HTTP itself refuses."""
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return f"a request's body may have {MOST_BYTES >> 10} KiB"
    if isinstance(error, web.HTTPMethodNotAllowed):
        return f"this path takes {', '.join(sorted(error.allowed_methods))}"
    if isinstance(error, web.HTTPRequestTimeout):
        return f"a request has to be there as a whole within {READ:g} s"
    return f"this daemon is kevmond {__version__}; is the caller of another version?"


def _status(error: KevmondError) -> int:
    if isinstance(error, UnknownWebhookError):
        return 404
    return 409 if isinstance(error, ConflictError) else 422


def _errors(log: Any, heard: Callable[[web.Request], None]) -> Any:
    """Return the middleware that turns every error into JSON."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        heard(request)
        try:
            return await handler(request)
        except web.HTTPException as error:
            text = f"{request.method} {request.path}: {error.reason}"
            return _answer({"error": text, "hint": _hint(error)}, status=error.status)
        except _CallerGone:
            log.debug("a caller of the API hung up", path=request.path)
            return _answer({"error": "the request is cut off", "hint": ""}, status=400)
        except KevmondError as error:
            hint = error.hint if isinstance(error, SubscriptionError) else ""
            return _answer({"error": str(error), "hint": hint}, status=_status(error))
        except Exception as error:  # noqa: BLE001 - told to the caller, and in the log
            text = f"{type(error).__name__}: {error}"
            log.error("a request to the API failed", path=request.path, error=text)  # noqa: TRY400 - one line
            return _answer({"error": text, "hint": "a bug: please report it"}, status=500)

    return middleware

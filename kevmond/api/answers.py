"""What every route shares: reading a request, answering in JSON, and mistakes told as JSON.

A mistake is {"error": ..., "hint": ...} and a 4xx.  Imports aiohttp, so it is imported by the first
caller only (`server`).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from aiohttp import web
from pydantic import BaseModel, ConfigDict, ValidationError

from kevmond import __version__
from kevmond.api.refusals import TOO_LONG, TOO_SLOW
from kevmond.api.services import Services
from kevmond.errors import ConfigError, KevmondError
from kevmond.history.past import Past
from kevmond.sinks.webhookbook import ConflictError, SubscriptionError, UnknownWebhookError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from kevmond.api.refusals import Refusals

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

MOST_BYTES: Final = 256 << 10
"""Longest body of a request."""
READ: Final = 10.0
"""Seconds within which a request has to be there as a whole."""

SERVICES: Final = web.AppKey("services", Services)
"""What of the daemon a handler may ask: `request.app[SERVICES]`."""
PAST: Final = web.AppKey("past", Past)
"""What callers ask about the past, and share, whatever socket they came by."""
CLOSING: Final = web.AppKey("closing", asyncio.Event)
"""Set when the server begins to close, before it waits for anybody: answers that have no end of
their own, such as streams, watch it and end."""
API: Final[web.AppKey[Api]] = web.AppKey("api")
"""The server itself."""

_ONLY_LOOK: Final = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing: their work ends when the caller hangs up."""

Model = TypeVar("Model", bound="Body")


class Api(Protocol):
    """What handlers may ask of the server that they run in."""

    def facts(self) -> dict[str, Any]:
        """Return the state of the server: where it listens, its callers, what it refused."""

    def open_page(self) -> str:
        """Return the live page's address with its token in it, after making sure that it listens.

        Raises ApiError if it cannot listen.
        """


class Body(BaseModel):
    """A request's body."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class CallerGone(Exception):  # noqa: N818 - nobody is there to be told
    """The caller hung up in the middle of its request."""


class HintedError(KevmondError):
    """A mistake; `hint` says what would help."""

    status = 422

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class NotHereError(HintedError):
    """What was asked for is not there."""

    status = 404


class RefusedError(HintedError):
    """It cannot be done as things are."""

    status = 409


class DeniedError(HintedError):
    """A request that is not looked at, whatever it asks for, with the status that says so."""

    def __init__(self, status: int, message: str, hint: str) -> None:
        super().__init__(message, hint)
        self.status = status


async def read(request: web.Request, model: type[Model]) -> Model:
    """Return the body of a request; ConfigError names what is wrong with it."""
    try:
        async with asyncio.timeout(READ):
            data = await request.read()
    except TimeoutError:
        raise web.HTTPRequestTimeout from None
    except ConnectionError as error:
        raise CallerGone from error
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


def answer(facts: dict[str, Any], status: int = 200) -> web.Response:
    """Return an answer in JSON."""
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
    if isinstance(error, ConflictError):
        return 409
    return error.status if isinstance(error, HintedError) else 422


def errors(log: Any, heard: Callable[[web.Request], None], refusals: Refusals) -> Any:
    """Return the middleware that turns every error into JSON."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        heard(request)
        try:
            if request.method in _ONLY_LOOK:
                return await handler(request)
            return await _to_its_end(handler(request))
        except web.HTTPException as error:
            return _of_http(request, error, refusals)
        except CallerGone:
            log.debug("a caller of the API hung up", path=request.path)
            return answer({"error": "the request is cut off", "hint": ""}, status=400)
        except KevmondError as error:
            return _of_ours(error)
        except Exception as error:  # noqa: BLE001 - told to the caller, and in the log
            return _of_bug(request, error, log)

    return middleware


async def _to_its_end(work: Awaitable[web.StreamResponse]) -> web.StreamResponse:
    """Do what changes something, also if the caller hangs up: no change is left half made."""
    task = asyncio.ensure_future(work)
    _under_way.add(task)
    task.add_done_callback(_ended)
    return await asyncio.shield(task)


def _ended(task: asyncio.Future[web.StreamResponse]) -> None:
    _under_way.discard(task)
    if not task.cancelled():
        task.exception()  # told to the caller, if that is still there


_under_way: Final[set[asyncio.Future[web.StreamResponse]]] = set()


def _of_http(
    request: web.Request, error: web.HTTPException, refusals: Refusals
) -> web.StreamResponse:
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        refusals.note(TOO_LONG, path=request.path)
    elif isinstance(error, web.HTTPRequestTimeout):
        refusals.note(TOO_SLOW, path=request.path)
    text = f"{request.method} {request.path}: {error.reason}"
    told = answer({"error": text, "hint": _hint(error)}, status=error.status)
    if isinstance(error, web.HTTPMethodNotAllowed):
        told.headers["Allow"] = ", ".join(sorted(error.allowed_methods))
    return told


def _of_ours(error: KevmondError) -> web.StreamResponse:
    hint = error.hint if isinstance(error, (SubscriptionError, HintedError)) else ""
    told = answer({"error": str(error), "hint": hint}, status=_status(error))
    if told.status == 401:  # noqa: PLR2004 - RFC 9110, section 15.5.2
        told.headers["WWW-Authenticate"] = "Bearer"
    return told


def _of_bug(request: web.Request, error: Exception, log: Any) -> web.StreamResponse:
    text = f"{type(error).__name__}: {error}"
    log.error("a request to the API failed", path=request.path, error=text)
    if request.writer.output_size:  # half an answer is out: its end must not look like one
        raise ConnectionAbortedError(text) from error
    return answer({"error": text, "hint": "a bug: please report it"}, status=500)

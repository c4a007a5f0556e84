"""What a request has to show before it is looked at, and what every answer says to browsers.

A web page of anybody's, open in a browser on this machine, can send requests to loopback.  Against
that stand: the names by which we are called (Host: no other name that was made to point here), the
page that asks (Origin: none but our own), and on TCP a token that only who ran `kevmond open` has.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Final

from aiohttp import web

from kevmond.api.answers import DeniedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection

    from aiohttp.typedefs import Middleware

    from kevmond.api.refusals import Refusals

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
    Used = Callable[[int], None]

CSP: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Content-Security-Policy: nothing but our own files."""
HEADERS: Final = {
    "Content-Security-Policy": CSP,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Server": "kevmond",
}
"""Headers of every answer."""

_NAMES: Final = ("127.0.0.1", "localhost", "[::1]")
_LOCAL: Final = ("kevmond", "", *_NAMES)
"""Names by which the Unix socket may be called: HTTP/1.0 needs none."""
_HTTP: Final = 80
"""The port that browsers leave out."""


async def prepare(request: web.Request, response: web.StreamResponse) -> None:
    """Give an answer its headers; what the API tells is kept nowhere."""
    response.headers.update(HEADERS)
    if request.path.startswith("/v1/") or "Cache-Control" not in response.headers:
        response.headers["Cache-Control"] = "no-store"


def local_gate(refusals: Refusals) -> Middleware:
    """Return the middleware of the Unix socket, whose callers the kernel has told.

    Who forwards a TCP port to the socket has browsers for callers, and a page elsewhere may have a
    name that leads here (DNS rebinding): so only names of this machine, and our own, are heeded.
    """

    @web.middleware
    async def gate(request: web.Request, handler: Handler) -> web.StreamResponse:
        _check_target(request)
        host = _host(request).lower()
        if host not in _LOCAL and host.rpartition(":")[0] not in _LOCAL:
            raise _wrong_name(request, refusals)
        _check_origin(request, refusals)
        return await handler(request)

    return gate


def loopback_gate(
    refusals: Refusals,
    *,
    token: str | None = None,
    public: Collection[str] = (),
    used: Used | None = None,
) -> Middleware:
    """Return the middleware of a loopback port.

    With a `token`, whatever is served needs it, but for the `public` paths.  `used` is told 1 when
    a request that has it begins, and -1 when it has ended.
    """
    awaited = None if token is None else f"Bearer {token}".encode()

    @web.middleware
    async def gate(request: web.Request, handler: Handler) -> web.StreamResponse:
        _check_target(request)
        if _host(request).lower() not in _names_of(request):
            raise _wrong_name(request, refusals)
        _check_origin(request, refusals)
        if awaited is None or _is_public(request, public):
            return await handler(request)
        _check_token(request, awaited, refusals)
        if used is None:
            return await handler(request)
        used(1)
        try:
            return await handler(request)
        finally:
            used(-1)

    return gate


def _check_target(request: web.Request) -> None:
    """Refuse what would have a proxy ask another server (RFC 9112, section 3.2)."""
    if not request.raw_path.startswith("/"):
        raise DeniedError(400, "the request's target is no path", "this is a server, no proxy")


def _host(request: web.Request) -> str:
    """Return the name by which we are called.

    Not `request.host`: where there is none, that asks the resolver, and the loop waits for it.
    """
    return request.headers.get("Host", "")


def _names_of(request: web.Request) -> set[str]:
    """Return the names by which a caller of this connection may have meant us."""
    here = request.transport.get_extra_info("sockname") if request.transport else None
    if not isinstance(here, tuple):
        return set()
    names = {f"{name}:{here[1]}" for name in _NAMES}
    return names | set(_NAMES) if here[1] == _HTTP else names


def _wrong_name(request: web.Request, refusals: Refusals) -> DeniedError:
    refusals.note("the API was called by a name that is not its own", host=_host(request))
    return DeniedError(
        421,
        f"this is not {_host(request)!r}",
        "call it 127.0.0.1, localhost or [::1], with its port",
    )


def _check_origin(request: web.Request, refusals: Refusals) -> None:
    """Refuse what another web page's scripts and forms send."""
    origin = request.headers.get("Origin")
    if origin is not None and origin != f"http://{_host(request)}":
        refusals.note("the API refused a request of another web page", origin=origin)
        raise DeniedError(
            403,
            f"pages of {origin} may not ask this daemon",
            "`kevmond open` opens the one that may",
        )


def _is_public(request: web.Request, public: Collection[str]) -> bool:
    if request.path.startswith("/v1/"):
        return False
    found = request.match_info
    if found.http_exception is not None:  # no such path, which is all that it will be told
        return True
    resource = found.route.resource
    return resource is not None and resource.canonical in public


def _check_token(request: web.Request, awaited: bytes, refusals: Refusals) -> None:
    given = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
    if not hmac.compare_digest(given, awaited):
        what = "a wrong token" if given else "no token"
        refusals.note(f"the API refused a request with {what}", path=request.path)
        hint = "`kevmond open` prints an address with the token of this run"
        raise DeniedError(401, f"the request has {what}", hint)

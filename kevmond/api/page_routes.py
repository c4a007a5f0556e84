"""The live page: its files, which are part of this package, and the way to open it.

The files are read once, when the API is loaded: an upgrade beside a running daemon does not mix
two versions, and no request names a file to be opened.
"""

from __future__ import annotations

import functools
import hashlib
from importlib import resources
from typing import TYPE_CHECKING, Final

from aiohttp import web

from kevmond.api.answers import API, RefusedError, answer
from kevmond.api.listener import ApiError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from importlib.abc import Traversable

FOLDER: Final = "page"
INDEX: Final = "index.html"
TYPES: Final = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
}
"""What is served, by the ends of names; nothing else in the folder is."""
_TEXT: Final = {"text/html", "text/css", "text/javascript"}


@functools.cache
def files() -> dict[str, bytes]:
    """Return the page's files by their paths."""
    found = dict(_walk(resources.files(__package__).joinpath(FOLDER), "/"))
    index = found.get(f"/{INDEX}")
    return found if index is None else {"/": index, **found}


def routes() -> list[web.RouteDef]:
    """Return what is served here."""
    served = [web.get(path, _serve(path, data)) for path, data in files().items()]
    return [web.post("/v1/page", _open), *served]


def _walk(folder: Traversable, prefix: str) -> Iterator[tuple[str, bytes]]:
    if not folder.is_dir():
        return
    for each in sorted(folder.iterdir(), key=lambda found: found.name):
        if each.is_dir():
            yield from _walk(each, f"{prefix}{each.name}/")
        elif _type(each.name) is not None:
            yield f"{prefix}{each.name}", each.read_bytes()


def _type(path: str) -> str | None:
    _, dot, end = path.rpartition(".")
    return TYPES.get(dot + end)


def _serve(path: str, data: bytes) -> Callable[[web.Request], Awaitable[web.Response]]:
    tag = hashlib.sha256(data).hexdigest()[:32]
    kind = _type(path) or TYPES[".html"]
    charset = "utf-8" if kind in _TEXT else None

    async def serve(request: web.Request) -> web.Response:
        """Return a file of the live page."""
        known = {each.value for each in request.if_none_match or ()}
        if known & {tag, "*"}:
            response = web.Response(status=304)
        else:
            response = web.Response(body=data, content_type=kind, charset=charset)
        response.etag = tag
        response.headers["Cache-Control"] = "no-cache"
        return response

    return serve


async def _open(request: web.Request) -> web.Response:
    """Open the live page, and return its address with the token of this run."""
    try:
        return answer({"url": request.app[API].open_page()})
    except ApiError as error:
        raise RefusedError(str(error)) from error

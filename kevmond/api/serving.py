"""The applications of the API, one for each kind of listening socket.

Imports aiohttp, so it is imported, in a thread, by the first caller only (`site`).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong

from kevmond.api.answers import API, CLOSING, MOST_BYTES, PAST, SERVICES, errors
from kevmond.api.gate import local_gate, loopback_gate, prepare
from kevmond.api.refusals import TOO_LONG
from kevmond.api.stream import STREAMS
from kevmond.api.streams import Streams
from kevmond.history.past import Past

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable

    from aiohttp.typedefs import Middleware

    from kevmond.api.answers import Api
    from kevmond.api.gate import Used
    from kevmond.api.refusals import Refusals
    from kevmond.api.services import Services

    Heard = Callable[[web.Request], None]

FINISH: Final = 1.0
"""Seconds that a request under way has when the server closes."""
KEEP_ALIVE: Final = 5.0
"""Seconds that a connection stays open for another request."""
LINGER: Final = 1.0
"""Seconds for which the rest of a body that nobody wants is still read."""
LONGEST_LINE: Final = 8 << 10
"""Most bytes of the line with the path, and of any one header."""
MOST_HEADERS: Final = 64


class Maker:
    """Makes applications over the same services."""

    def __init__(
        self,
        services: Services,
        *,
        api: Api,
        closing: asyncio.Event,
        refusals: Refusals,
        log: Any,
    ) -> None:
        self._services = services
        self._api = api
        self._closing = closing
        self._past = Past(services)
        self._streams = Streams(services, closing, log)
        self._refusals = refusals
        self._log = log

    def local(self, heard: Heard) -> web.AppRunner:
        """Return what is served at the Unix socket."""
        from kevmond.api.routes import routes  # noqa: PLC0415 - metrics alone need none of it

        return self._runner(heard, local_gate(self._refusals), routes())

    def page(self, heard: Heard, token: str, used: Used) -> web.AppRunner:
        """Return what is served on loopback: the same, by token, and the page's files without."""
        from kevmond.api import page_routes  # noqa: PLC0415 - as above
        from kevmond.api.routes import routes  # noqa: PLC0415 - as above

        gate = loopback_gate(
            self._refusals, token=token, public=frozenset(page_routes.files()), used=used
        )
        return self._runner(heard, gate, routes())

    def metrics(self, heard: Heard) -> web.AppRunner:
        """Return what is served to Prometheus, and nothing else."""
        from kevmond.api.status_routes import metrics  # noqa: PLC0415 - as above

        return self._runner(heard, loopback_gate(self._refusals), [web.get("/metrics", metrics)])

    def _runner(
        self, heard: Heard, gate: Middleware, served: Iterable[web.RouteDef]
    ) -> web.AppRunner:
        app = web.Application(
            middlewares=[errors(self._log, heard, self._refusals), gate],
            client_max_size=MOST_BYTES,
        )
        app[SERVICES] = self._services
        app[CLOSING] = self._closing
        app[PAST] = self._past
        app[STREAMS] = self._streams
        app[API] = self._api
        app.on_response_prepare.append(prepare)
        app.add_routes(served)
        return web.AppRunner(
            app,
            handle_signals=False,
            handler_cancellation=True,  # who hangs up has nothing looked for any more
            access_log=None,
            shutdown_timeout=FINISH,
            keepalive_timeout=KEEP_ALIVE,
            lingering_time=LINGER,
            max_line_size=LONGEST_LINE,
            max_field_size=LONGEST_LINE,
            max_headers=MOST_HEADERS,
            logger=_logger(self._log, self._refusals),
        )


class _Troubles(logging.Handler):
    """Takes what aiohttp says of requests that it could not make sense of: one line each."""

    def __init__(self, log: Any, refusals: Refusals) -> None:
        super().__init__()
        self._log = log
        self._refusals = refusals

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, LineTooLong) or "Too many headers" in str(error):
            self._refusals.note(TOO_LONG, line=LONGEST_LINE, headers=MOST_HEADERS)
            return
        text = record.getMessage() if error is None else f"{type(error).__name__}: {error}"
        self._log.debug("the API could not make sense of a request", error=" ".join(text.split()))


def _logger(log: Any, refusals: Refusals) -> logging.Logger:
    """Return a logger of nobody else's, whose lines become the daemon's own."""
    logger = logging.Logger("kevmond.api")  # noqa: LOG001 - one for each log, unknown to others
    logger.addHandler(_Troubles(log, refusals))
    return logger

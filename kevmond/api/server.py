"""The server: accepts, looks who it is, and hands over to aiohttp, which the first caller loads.

A daemon that nobody asks anything pays for one socket and one descriptor watched by the loop.
"""

from __future__ import annotations

import asyncio
import errno
import logging
from typing import TYPE_CHECKING, Any, Final

from kevmond.api.listener import Listener
from kevmond.api.peer import may_ask, peer_of
from kevmond.worker import Worker

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from pathlib import Path

    from aiohttp import web

    from kevmond.api.services import Services

MOST: Final = 32
"""Connections at once; more are closed as soon as they come."""
FINISH: Final = 1.0
"""Seconds that a request under way has when the server closes."""
READ: Final = 10.0
"""Seconds within which a new connection has to bring its first request's headers."""
KEEP_ALIVE: Final = 5.0
"""Seconds that a connection stays open for another request."""
LINGER: Final = 1.0
"""Seconds for which the rest of a body that nobody wants is still read."""
PAUSE: Final = 1.0
"""Seconds without accepting after an error such as EMFILE."""


class ApiServer:
    """Serves from `start` to `aclose`."""

    def __init__(self, path: Path, services: Services, *, log: Any) -> None:
        self._path = path
        self._services = services
        self._log = log
        self._listener: Listener | None = None
        self._waiting: list[socket.socket] = []
        self._loading: asyncio.Task[None] | None = None
        self._handing: set[asyncio.Task[None]] = set()
        self._runner: web.AppRunner | None = None
        self._refused: set[int] = set()
        self._silent: dict[asyncio.BaseTransport, asyncio.TimerHandle] = {}
        """Connections that have not asked anything yet, and when they are closed for that."""
        self._full = False
        self._again: asyncio.TimerHandle | None = None

    @property
    def loaded(self) -> bool:
        """Whether somebody has connected, and HTTP is loaded."""
        return self._runner is not None

    async def start(self) -> None:
        """Listen; ApiError, which says what to do, if that cannot be."""
        self._listener = Listener(self._path)
        self._watch()

    async def aclose(self) -> None:
        """Stop listening, let requests under way finish for a moment, and close."""
        listener, self._listener = self._listener, None
        if self._again is not None:
            self._again.cancel()
        for timer in self._silent.values():
            timer.cancel()
        self._silent.clear()
        if listener is not None:
            asyncio.get_running_loop().remove_reader(listener.socket)
            listener.close()
        tasks = [*self._handing, *([self._loading] if self._loading else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for connection in self._waiting:
            connection.close()
        self._waiting.clear()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    # ------------------------------------------------------------------ connections

    def _watch(self) -> None:
        self._again = None
        if self._listener is not None:
            asyncio.get_running_loop().add_reader(self._listener.socket, self._accept)

    def _accept(self) -> None:
        listener = self._listener
        if listener is None:
            return
        try:
            while True:
                connection, _ = listener.socket.accept()
                self._take(connection)
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError as error:
            symbol = errno.errorcode.get(error.errno or 0, str(error))
            self._log.error("the API cannot accept", error=symbol, again_in=PAUSE)
            loop = asyncio.get_running_loop()
            loop.remove_reader(listener.socket)
            self._again = loop.call_later(PAUSE, self._watch)

    def _take(self, connection: socket.socket) -> None:
        try:
            connection.setblocking(False)
            peer = peer_of(connection)
        except OSError as error:
            self._log.warning("the API refused a caller it does not know", error=str(error))
            connection.close()
            return
        if not may_ask(peer):
            if peer.uid not in self._refused:
                self._refused.add(peer.uid)
                self._log.warning(
                    "the API refused another user; only this daemon's user and root may ask",
                    uid=peer.uid,
                    pid=peer.pid,
                )
            connection.close()
        elif self._connections() >= MOST:
            if not self._full:
                self._full = True
                self._log.warning("the API has too many callers; more are turned away", most=MOST)
            connection.close()
        else:
            self._full = False
            self._waiting.append(connection)
            self._serve()

    def _connections(self) -> int:
        server = self._runner.server if self._runner is not None else None
        served = 0 if server is None else len(server.connections)
        return len(self._waiting) + len(self._handing) + served

    def _serve(self) -> None:
        """Hand what waits over to aiohttp, as soon as that is there."""
        loop = asyncio.get_running_loop()
        if self._runner is None:
            if self._loading is None:
                self._loading = loop.create_task(self._load(), name="load the API")
            return
        while self._waiting:
            task = loop.create_task(self._hand_over(self._waiting.pop()), name="API caller")
            self._handing.add(task)
            task.add_done_callback(self._handing.discard)

    async def _load(self) -> None:
        worker = Worker("load-api")
        try:
            runner = await worker.run(_make_runner, self._services, self._log, self._heard)
            await runner.setup()
            self._runner = runner
            self._serve()
        except Exception as error:  # noqa: BLE001 - whatever it is, the daemon goes on without
            self._log.error("the API cannot be loaded", error=f"{type(error).__name__}: {error}")
            while self._waiting:
                self._waiting.pop().close()
        finally:
            self._loading = None
            worker.stop()

    async def _hand_over(self, connection: socket.socket) -> None:
        assert self._runner is not None
        server = self._runner.server
        assert server is not None
        loop = asyncio.get_running_loop()
        try:
            transport, _ = await loop.connect_accepted_socket(server, connection)
        except OSError:
            connection.close()
        else:
            self._silent[transport] = loop.call_later(READ, self._too_late, transport)

    def _heard(self, request: web.Request) -> None:
        """Let a connection stay that has asked something; HTTP's own time limits hold from then."""
        timer = self._silent.pop(request.transport, None) if request.transport else None
        if timer is not None:
            timer.cancel()

    def _too_late(self, transport: asyncio.Transport) -> None:
        del self._silent[transport]
        transport.abort()


class _Troubles(logging.Handler):
    """Takes what aiohttp says of requests that it could not make sense of: one line each."""

    def __init__(self, log: Any) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        text = record.getMessage() if error is None else f"{type(error).__name__}: {error}"
        self._log.debug("the API could not make sense of a request", error=" ".join(text.split()))


def _logger(log: Any) -> logging.Logger:
    """Return a logger of nobody else's, whose lines become the daemon's own."""
    logger = logging.Logger("kevmond.api")  # noqa: LOG001 - one for each log, unknown to others
    logger.addHandler(_Troubles(log))
    return logger


def _make_runner(
    services: Services, log: Any, heard: Callable[[web.Request], None]
) -> web.AppRunner:
    """Import aiohttp, which takes a while, and make the application; runs in a thread."""
    from aiohttp import web  # noqa: PLC0415 - loaded by the first caller

    from kevmond.api.routes import make_app  # noqa: PLC0415 - as above

    return web.AppRunner(
        make_app(services, log, heard=heard),
        handle_signals=False,
        access_log=None,
        shutdown_timeout=FINISH,
        keepalive_timeout=KEEP_ALIVE,
        lingering_time=LINGER,
        logger=_logger(log),
    )

"""A site: sockets that listen, their callers, and the application that the first caller loads.

A daemon that nobody asks anything pays for the sockets and their descriptors watched by the loop.
"""

from __future__ import annotations

import asyncio
import errno
from typing import TYPE_CHECKING, Any, Final, Protocol

from kevmond.api.caller import Caller
from kevmond.api.refusals import TOO_SLOW
from kevmond.worker import Worker

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable, Sequence

    from aiohttp import web

    from kevmond.api.refusals import Refusals

    Heard = Callable[[web.Request], None]

READ: Final = 10.0
"""Seconds within which a new connection has to bring its first request's headers."""
STUCK: Final = 90.0
"""Seconds within which a caller has to take some of an answer that waits for it."""
LOOK: Final = 30.0
"""Seconds between two looks for such callers, while there are any callers."""
BURST: Final = 32
"""Callers taken before other work gets its turn."""
PAUSE: Final = 1.0
"""Seconds without accepting after an error such as EMFILE."""


class Listening(Protocol):
    """A listening socket, and what it takes to let go of it."""

    @property
    def socket(self) -> socket.socket:
        """The socket, which does not block."""

    def close(self) -> None:
        """Let go of it."""


class Site:
    """Takes callers from `listen` on; ends with `aclose`."""

    def __init__(
        self,
        name: str,
        *,
        most: int,
        admit: Callable[[socket.socket], Awaitable[bool]],
        make: Callable[[Heard], web.AppRunner],
        log: Any,
        refusals: Refusals,
    ) -> None:
        """`name` is said in the log; `most` is the number of callers at once.

        `admit` tells whether a new caller may ask; `make`, which runs in a thread, makes the
        application, given what is to be told of each request whose headers are there.
        """
        self.name = name
        self._most = most
        self._admit = admit
        self._make = make
        self._log = log
        self._refusals = refusals
        self._listening: list[Listening] = []
        self._again: dict[Listening, asyncio.TimerHandle] = {}
        self._coming: set[socket.socket] = set()
        """Connections that have no protocol yet."""
        self._entering: set[asyncio.Task[None]] = set()
        self._loading: asyncio.Task[web.AppRunner | None] | None = None
        self._runner: web.AppRunner | None = None
        self._silent: dict[asyncio.Transport, asyncio.TimerHandle] = {}
        """Connections that have not asked anything yet, and when they are closed for that."""
        self._unasked: set[Caller] = set()
        """Connections that nothing has come from."""
        self._held: dict[asyncio.Transport, tuple[int, float]] = {}
        """What waits for callers who take none of it, and since when."""
        self._looking: asyncio.TimerHandle | None = None

    @property
    def loaded(self) -> bool:
        """Whether somebody has connected, and the application is there."""
        return self._runner is not None

    @property
    def listens(self) -> bool:
        """Whether callers can come."""
        return bool(self._listening)

    @property
    def callers(self) -> int:
        """Number of connections now."""
        return len(self._coming) + len(self._unasked) + len(self._served())

    @property
    def requests(self) -> int:
        """Number of requests so far."""
        server = self._runner.server if self._runner is not None else None
        return 0 if server is None else server.requests_count

    # ------------------------------------------------------------------ life

    def listen(self, sockets: Sequence[Listening]) -> None:
        """Take callers of these sockets too."""
        for each in sockets:
            self._listening.append(each)
            self._watch(each)

    def deafen(self) -> None:
        """Stop listening; callers that are there stay."""
        sockets, self._listening = self._listening, []
        for each in sockets:
            timer = self._again.pop(each, None)
            if timer is not None:
                timer.cancel()
            asyncio.get_running_loop().remove_reader(each.socket)
            each.close()

    def hang_up(self, after: float) -> None:
        """Close every connection of now, so many seconds from now."""
        callers: list[Caller | asyncio.Transport] = [*self._unasked, *self._served()]

        def close() -> None:
            for transport in callers:
                transport.abort()

        if callers:
            asyncio.get_running_loop().call_later(after, close)

    async def aclose(self) -> None:
        """Stop listening, let requests under way finish for a moment, and close."""
        self.deafen()
        if self._looking is not None:
            self._looking.cancel()
        for timer in self._silent.values():
            timer.cancel()
        self._silent.clear()
        tasks = [*self._entering, *([self._loading] if self._loading else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        callers: list[Caller | asyncio.Transport] = [*self._unasked, *self._served()]
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        for transport in callers:
            transport.abort()
        for _ in range(2 if callers else 0):  # turns of the loop in which their ends are told
            await asyncio.sleep(0)

    # ------------------------------------------------------------------ connections

    def _watch(self, listening: Listening) -> None:
        self._again.pop(listening, None)
        asyncio.get_running_loop().add_reader(listening.socket, self._accept, listening)

    def _accept(self, listening: Listening) -> None:
        try:
            for _ in range(BURST):
                connection, _ = listening.socket.accept()
                self._take(connection)
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError as error:
            symbol = errno.errorcode.get(error.errno or 0, str(error))
            self._refusals.note(
                "the API cannot accept", level="error", error=symbol, again_in=PAUSE
            )
            loop = asyncio.get_running_loop()
            loop.remove_reader(listening.socket)
            self._again[listening] = loop.call_later(PAUSE, self._watch, listening)

    def _take(self, connection: socket.socket) -> None:
        if self.callers >= self._most:
            self._refusals.note(
                "the API has too many callers; more are turned away",
                self.name,
                site=self.name,
                most=self._most,
            )
            connection.close()
            return
        connection.setblocking(False)
        self._coming.add(connection)
        entering = self._enter(connection)
        task = asyncio.get_running_loop().create_task(entering, name="API caller")
        self._entering.add(task)
        task.add_done_callback(self._entering.discard)

    async def _enter(self, connection: socket.socket) -> None:
        """Let a caller in, and hand it over to aiohttp as soon as that is there."""
        loop = asyncio.get_running_loop()
        caller: Caller | None = None
        try:
            server = await self._server() if await self._admit(connection) else None
            if server is not None:
                caller = Caller(server, self._unasked)
                self._coming.discard(connection)
                transport, _ = await loop.connect_accepted_socket(lambda: caller, connection)
                self._silent[transport] = loop.call_later(READ, self._too_late, transport)
                if self._looking is None:
                    self._looking = loop.call_later(LOOK, self._look)
                return
        except (OSError, asyncio.CancelledError):
            if caller is not None:
                caller.forget()
                caller.abort()
        finally:
            self._coming.discard(connection)
        connection.close()

    async def _server(self) -> web.Server | None:
        """Return aiohttp's server, loaded if need be; None if it cannot be."""
        runner = self._runner or await asyncio.shield(self._load())
        return None if runner is None else runner.server

    def _load(self) -> asyncio.Task[web.AppRunner | None]:
        if self._loading is None:
            loop = asyncio.get_running_loop()
            self._loading = loop.create_task(self._load_now(), name="load the API")
        return self._loading

    async def _load_now(self) -> web.AppRunner | None:
        worker = Worker("load-api")
        try:
            runner = await worker.run(self._make, self._heard)
            await runner.setup()
            self._runner = runner
        except Exception as error:  # noqa: BLE001 - whatever it is, the daemon goes on without
            self._refusals.note(
                "the API cannot be loaded", level="error", error=f"{type(error).__name__}: {error}"
            )
            return None
        finally:
            self._loading = None
            worker.stop()
        return runner

    def _served(self) -> list[asyncio.Transport]:
        """Return the connections that HTTP has."""
        server = self._runner.server if self._runner is not None else None
        found = [] if server is None else [each.transport for each in server.connections]
        return [each for each in found if each is not None]

    # ------------------------------------------------------------------ those who let us wait

    def _heard(self, request: web.Request) -> None:
        """Let a connection stay that has asked something; HTTP's own time limits hold from then."""
        transport = request.transport
        timer = self._silent.pop(transport, None) if transport is not None else None
        if timer is not None:
            timer.cancel()

    def _too_late(self, transport: asyncio.Transport) -> None:
        del self._silent[transport]
        if transport.is_closing():
            return
        if isinstance(transport.get_protocol(), Caller):  # browsers connect on the off chance
            self._log.debug("a caller of the API asked nothing", site=self.name, seconds=READ)
        else:
            self._refusals.note(TOO_SLOW, seconds=READ)
        transport.abort()

    def _look(self) -> None:
        """Cut off who takes none of its answer, so that answers do not pile up in memory."""
        loop = asyncio.get_running_loop()
        now, before, self._held = loop.time(), self._held, {}
        served = self._served()
        for transport in served:
            size = transport.get_write_buffer_size()
            if not size:
                continue
            same, since = before.get(transport, (0, now))
            if same != size:
                since = now
            if now - since >= STUCK:
                self._refusals.note(
                    "a caller of the API does not take its answer", waiting=size, seconds=STUCK
                )
                transport.abort()
            else:
                self._held[transport] = (size, since)
        self._looking = loop.call_later(LOOK, self._look) if served or self._unasked else None

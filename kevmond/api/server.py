"""The server: where it listens, who may ask there, and what becomes of that at a reload.

Three sites: the Unix socket, always; the live page on loopback, always or while somebody looks;
metrics on loopback.  What can go wrong here is said, and everything else goes on.
"""

from __future__ import annotations

import asyncio
import secrets
import threading
from typing import TYPE_CHECKING, Any, Final

from kevmond.api.listener import ApiError, Listener, find_group, inherit
from kevmond.api.peer import is_member, may_ask, peer_of
from kevmond.api.refusals import Refusals
from kevmond.api.settings import ApiSettings
from kevmond.api.site import Site
from kevmond.worker import Worker

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from aiohttp import web

    from kevmond.api.listener import Group
    from kevmond.api.ports import Port
    from kevmond.api.services import Services
    from kevmond.api.serving import Maker
    from kevmond.api.site import Heard

MOST_LOCAL: Final = 128
"""Callers at once at the Unix socket; streams stay for long."""
MOST_PAGE: Final = 48
"""Callers at once of the live page.  Any user of this machine can connect to loopback, so these
take no places of the others."""
MOST_METRICS: Final = 8
"""Callers at once of the metrics port."""


class ApiServer:
    """Serves from `start` to `aclose`."""

    def __init__(
        self,
        path: Path,
        services: Services,
        *,
        log: Any,
        settings: ApiSettings | None = None,
        sockets: Iterable[int] = (),
    ) -> None:
        """`sockets` are descriptors of Unix sockets that listen already, made by launchd."""
        self._path = path
        self._services = services
        self._log = log
        self._settings = settings or ApiSettings()
        self._descriptors = list(sockets)
        self._refusals = Refusals(log)
        self._closing = asyncio.Event()
        self._token = secrets.token_urlsafe(32)
        self._worker = Worker("groups")
        self._listener: Listener | None = None
        self._there = False  # whether there is a socket at the path
        self._group: Group | None = None
        self._local = Site(
            "unix",
            most=MOST_LOCAL,
            admit=self._admit,
            make=lambda heard: self._maker().local(heard),
            log=log,
            refusals=self._refusals,
        )
        self._page: Port | None = None
        self._metrics: Port | None = None
        self._made: Maker | None = None
        self._making = threading.Lock()
        self._problems: list[str] = []

    # ------------------------------------------------------------------ life

    async def start(self) -> None:
        """Listen; what cannot be listened at is said in the log."""
        await self.apply(self._settings)

    async def apply(self, settings: ApiSettings) -> list[str]:
        """Listen as the settings say, and try again what failed before; return what fails now."""
        self._settings = settings
        problems = []
        for step in (self._apply_local, self._apply_group, self._apply_page, self._apply_metrics):
            try:
                if not self._closing.is_set():
                    await step()
            except ApiError as error:
                problems.append(str(error))
                self._log.error("the API is not served as it should be", error=str(error))
        self._problems = problems
        return problems

    async def aclose(self) -> None:
        """Stop listening, let requests under way finish for a moment, and close."""
        self._closing.set()
        ports = [port for port in (self._page, self._metrics) if port is not None]
        await asyncio.gather(self._local.aclose(), *(port.aclose() for port in ports))
        self._worker.stop()

    # ------------------------------------------------------------------ what handlers ask

    @property
    def loaded(self) -> bool:
        """Whether somebody has connected to the Unix socket, and HTTP is loaded."""
        return self._local.loaded

    def facts(self) -> dict[str, Any]:
        """Return where the server listens and cannot, its callers, and what it refused."""
        page, metrics = self._page, self._metrics
        sites = [self._local, *(port.site for port in (page, metrics) if port is not None)]
        return {
            "socket": str(self._path) if self._local.listens else None,
            "group": self._group.name if self._group is not None else None,
            "page_port": page.number if page is not None else None,
            "metrics_port": metrics.number if metrics is not None else None,
            "callers": sum(site.callers for site in sites),
            "most_callers": MOST_LOCAL,
            "requests": sum(site.requests for site in sites),
            "refused": dict(self._refusals.counts),
            "problems": list(self._problems),
        }

    def open_page(self) -> str:
        """Return the live page's address, with the token, and see that it listens."""
        if self._closing.is_set():
            raise ApiError("the daemon is stopping")
        page = self._page_port()
        kept = page.number is not None and not page.on_demand
        number = page.number if kept else page.open_on_demand()
        return f"http://127.0.0.1:{number}/#token={self._token}"

    # ------------------------------------------------------------------ listening

    async def _apply_local(self) -> None:
        if self._there:
            return
        descriptors, self._descriptors = self._descriptors, []
        try:
            inherited = inherit(descriptors)
        except ApiError as error:
            self._log.error("the API's socket is not taken over", error=str(error))
            inherited = []
        self._local.listen(inherited)
        if not any(each.is_at(self._path) for each in inherited):
            self._listener = Listener(self._path)
            self._group = None  # it is private yet
            self._local.listen([self._listener])
        self._there = True

    async def _apply_group(self) -> None:
        name = self._settings.group
        if name == (self._group.name if self._group is not None else None):
            return
        self._group = None
        group = None if name is None else await self._worker.run(find_group, name)
        if self._listener is not None and not self._closing.is_set():
            self._listener.open_to(group)  # one of launchd's has the mode that its plist says
        self._group = group

    async def _apply_page(self) -> None:
        http = self._settings.http
        if http.enabled:
            self._page_port().open(http.port)
        elif self._page is not None and not self._page.on_demand:
            self._page.close()

    async def _apply_metrics(self) -> None:
        number = self._settings.metrics.port
        if number is not None:
            self._metrics_port().open(number)
        elif self._metrics is not None:
            self._metrics.close()

    def _page_port(self) -> Port:
        if self._page is None:
            from kevmond.api.ports import Port  # noqa: PLC0415 - few need it

            site = self._loopback_site(
                "page",
                MOST_PAGE,
                lambda heard: self._maker().page(heard, self._token, port.used),
            )
            self._page = port = Port(site, "api.http.port")
        return self._page

    def _metrics_port(self) -> Port:
        if self._metrics is None:
            from kevmond.api.ports import Port  # noqa: PLC0415 - few need it

            site = self._loopback_site(
                "metrics", MOST_METRICS, lambda heard: self._maker().metrics(heard)
            )
            self._metrics = Port(site, "api.metrics.port")
        return self._metrics

    def _loopback_site(self, name: str, most: int, make: Callable[[Heard], web.AppRunner]) -> Site:
        return Site(
            name, most=most, admit=_anybody, make=make, log=self._log, refusals=self._refusals
        )

    def _maker(self) -> Maker:
        """Return what makes applications, one for all sites; called in their threads."""
        from kevmond.api.serving import Maker  # noqa: PLC0415 - loaded by the first caller

        with self._making:
            if self._made is None:
                self._made = Maker(
                    self._services,
                    api=self,
                    closing=self._closing,
                    refusals=self._refusals,
                    log=self._log,
                )
            return self._made

    # ------------------------------------------------------------------ who may ask

    async def _admit(self, connection: socket.socket) -> bool:
        """Tell whether a caller at the Unix socket may ask."""
        try:
            peer = peer_of(connection)
        except OSError as error:
            self._refusals.note("the API refused a caller it does not know", error=str(error))
            return False
        group = self._group
        if may_ask(peer, group.gid if group is not None else None):
            return True
        if group is not None and await self._worker.run(is_member, peer.uid, group.gid):
            return True
        rest = " and root" if group is None else f", root, and the group {group.name}"
        self._refusals.note(
            f"the API refused another user; only this daemon's user{rest} may ask",
            peer.uid,
            uid=peer.uid,
            pid=peer.pid,
        )
        return False


async def _anybody(_connection: socket.socket) -> bool:
    """Let in whoever connects to loopback: each request shows what it may."""
    return True

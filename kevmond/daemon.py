"""The daemon: rooms wired together, in three phases - start, wait, stop.

Start opens from the ground up: journal, kernel, sinks, and capture last, so that nothing is read
that cannot be kept.  Stop goes the other way: reading ends first, then the sinks deliver what the
journal holds, then the journal closes.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from kevmond.api.listener import SOCKET
from kevmond.api.server import ApiServer
from kevmond.api.services import Services
from kevmond.capture.reach import opens_ways
from kevmond.capture.reader import Capture
from kevmond.capture.socket import REPLAY
from kevmond.clock import SystemClock
from kevmond.config.loader import Loaded
from kevmond.config.settle import settle
from kevmond.errors import ConfigError, KevmondError
from kevmond.events import own
from kevmond.events.filters import EventFilter
from kevmond.events.own import own_record
from kevmond.journal.journal import Journal
from kevmond.kernel.select import open_kernel
from kevmond.service.logging import configure
from kevmond.service.signals import handled
from kevmond.sinks.fleet import Fleet, enabled
from kevmond.sinks.subscriptions import Subscriptions

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

    from kevmond.clock import Clock
    from kevmond.control.fleet import ControlFleet
    from kevmond.events.own_payload import OwnPayload
    from kevmond.journal.notices import Notice

GRACE: Final = 1.0
"""Seconds, out of the deadline for all of them, that a stop gives to a reload under way and to
control channels; what hangs there keeps no sink from delivering."""
JOURNAL_DEADLINE: Final = 5.0
"""Seconds that the journal has to write what is pending and close."""

_LOST: Final = ("lost", "damaged")
"""Notices of the journal that are losses."""


Load = Callable[[Path | None], Loaded]
"""Reads the configuration; it is given the state folder that is in use already, if one is."""


def run(load: Load) -> int:
    """Run the daemon until it is told to stop or its recording ends; return the exit code.

    `load` reads the configuration: once now, and again at every SIGHUP.
    """
    import uvloop  # noqa: PLC0415 - only here, so that everything else runs on any loop

    os.umask(0o077)  # whatever is written is private unless a setting says otherwise
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(Daemon(load).serve())


class Daemon:
    """One run: made, served once, done."""

    def __init__(self, load: Load, *, clock: Clock | None = None) -> None:
        self._load = load
        self._loaded = load(None)
        self._clock = clock or SystemClock()
        self._log: Any = configure(self._loaded.settings.daemon.log_level)
        self._stop_reason: asyncio.Future[str] | None = None
        self._reloads: set[asyncio.Task[Any]] = set()
        self._reloaded: dict[str, Any] | None = None
        self._turn = asyncio.Lock()
        self._controls: ControlFleet | None = None
        self._early: list[OwnPayload] | None = []
        """Own records made before the run's first one; None once that is written."""

    # ------------------------------------------------------------------ three phases

    async def serve(self) -> int:
        """Start, wait for the end, stop."""
        loop = asyncio.get_running_loop()
        self._stop_reason = loop.create_future()
        self._started_ns = self._clock.monotonic_ns()
        with handled(loop, stop=self._stop, reload=self._reload_soon):
            async with self._turn:
                await self._start()
            try:
                await asyncio.shield(self._stop_reason)
            finally:
                stopped = self._stop_reason
                await self._shut_down(stopped.result() if stopped.done() else "cancelled")
        return 0

    async def _start(self) -> None:
        self._loaded = settle(self._loaded, self._load)
        settings = self._loaded.settings
        self._journal = Journal.open(settings.journal, on_notice=self._notice, clock=self._clock)
        self._fleet = Fleet(self._journal, self._say, dead_letters=self._journal)
        state_dir = settings.daemon.state_dir
        self._webhooks = Subscriptions(
            self._journal,
            self._fleet,
            state_dir=state_dir,
            say=self._say,
            log=self._log,
            changed=self._refilter,
        )
        try:
            self._kernel = open_kernel(settings.kernel.source)
            story = self._load_story()
            self._webhooks.load()
            self._capture = Capture(
                self._kernel,
                self._journal,
                settings.capture,
                filters=self._filters(),
                clock=self._clock,
                log=self._log,
                heard=self._heard,
            )
            self._api = ApiServer(
                state_dir / SOCKET,
                self._services(),
                log=self._log,
                settings=settings.api,
                sockets=self._handed_over(),
            )
            await self._fleet.apply(settings.sinks, settings.daemon.drain_deadline)
            await self._capture.start()
        except BaseException:
            await self._fleet.drain(0)
            await self._journal.aclose(JOURNAL_DEADLINE)
            raise
        early, self._early = self._early or [], None
        for payload in early:
            self._say(payload)
        await self._webhooks.start()
        await self._api.start()
        await self._apply_controls()
        self._story = self._tell(story)
        self._ending = asyncio.get_running_loop().create_task(self._await_end(), name="capture")

    def _services(self) -> Services:
        """Return what may be asked of this daemon over its API."""
        return Services(
            subscriptions=self._webhooks,
            journal=self._journal,
            fleet=self._fleet,
            capture=self._capture,
            kernel=self._kernel.name,
            started_ns=self._clock.wall_ns(),
            config=self._config_in_force,
            reload=self._reload_for_caller,
            reloaded=lambda: self._reloaded,
        )

    def _handed_over(self) -> list[int]:
        """Return the API's sockets that launchd made, if it did."""
        from kevmond.service.activation import SOCKET_KEY, activated  # noqa: PLC0415 - once, at the start

        try:
            return activated(SOCKET_KEY)
        except KevmondError as error:
            self._log.error("launchd's socket is not taken over", error=str(error))
            return []

    async def _await_end(self) -> None:
        await self._capture.finished
        self._stop("end of events")

    async def _shut_down(self, reason: str) -> None:
        now = asyncio.get_running_loop().time
        end = now() + self._loaded.settings.daemon.drain_deadline
        try:
            await self._api.aclose()
            await self._webhooks.aclose()
            if self._reloads:  # what is being changed is finished, if it can be
                await asyncio.wait(self._reloads, timeout=max(0.0, min(GRACE, end - now())))
            background = [task for task in (self._story, self._ending, *self._reloads) if task]
            for task in background:
                task.cancel()
            await asyncio.gather(*background, return_exceptions=True)
            if self._controls is not None:  # before the rest: what they still say is delivered
                await self._controls.aclose(max(0.0, min(GRACE, end - now())))
            await self._capture.stop()
            uptime = (self._clock.monotonic_ns() - self._started_ns) / 1e9
            events = self._capture.statistics().delivered
            self._say(own.Stop(reason=reason, events=events, uptime=round(uptime, 3)))
        finally:
            await self._fleet.drain(max(0.0, end - now()))
            await self._journal.aclose(JOURNAL_DEADLINE)
        pending = self._journal.statistics().pending
        if pending:
            self._log.error(
                "the journal's disk did not take its last records; the next run counts them as "
                "missed",
                records=pending,
            )

    # ------------------------------------------------------------------ what others tell us

    def _stop(self, reason: str) -> None:
        if self._stop_reason is not None and not self._stop_reason.done():
            self._stop_reason.set_result(reason)

    def _say(self, payload: OwnPayload) -> None:
        """Put a record of kevmond's own into the stream."""
        if self._early is not None:
            self._early.append(payload)
            return
        journal = self._journal
        record = own_record(
            self._capture.context, payload, seq=journal.next_seq, wall_ns=self._clock.wall_ns()
        )
        journal.append([record])

    def _notice(self, notice: Notice) -> None:
        """Put what the journal tells of itself into the stream."""
        if notice.kind in _LOST:
            self._say(
                own.Loss(
                    lost=notice.count,
                    total=notice.total,
                    source="journal",
                    consumer=notice.cursor,
                    detail=notice.text,
                )
            )
        else:
            self._say(own.Journal(state=notice.kind, detail=notice.text, lost=notice.count))

    def _heard(self, raws: Sequence[bytes] | None) -> None:
        """Have sinks that wait for their next attempt try now, if the network may be another."""
        if self._fleet.waits and (raws is None or opens_ways(raws)):
            self._fleet.nudge()

    async def _refilter(self) -> None:
        """Ask the kernel for what is wanted now: a subscription came, changed or went."""
        async with self._turn:
            await self._capture.apply(self._loaded.settings.capture, filters=self._filters())

    # ------------------------------------------------------------------ control channels

    async def _apply_controls(self) -> None:
        """Make the channels those of the configuration; a daemon without any has no part of them.

        A recording has no controls, so there are no channels beside one.
        """
        settings = self._loaded.settings.control
        if self._kernel.name == REPLAY or (self._controls is None and not settings):
            return
        if self._controls is None:
            from kevmond.control.fleet import ControlFleet  # noqa: PLC0415 - few need them

            self._controls = ControlFleet(self._kernel, self._say, self._log)
        await self._controls.apply(settings)

    # ------------------------------------------------------------------ the embedded kernel

    def _load_story(self) -> Callable[[], Coroutine[Any, Any, None]] | None:
        """Return what lets the embedded simulated kernel tell its story; others have their own."""
        if self._loaded.settings.kernel.source not in {"auto", "simulated"}:
            return None
        from kevmond import stories  # noqa: PLC0415 - only an embedded kernel needs them
        from kevmond.kernel.simulated.model import SimulatedKernel  # noqa: PLC0415 - as above

        kernel = self._kernel
        if not isinstance(kernel, SimulatedKernel):
            return None
        settings = self._loaded.settings.kernel
        story = stories.load(settings.story)

        async def tell() -> None:
            try:
                await stories.play(story, kernel, speed=settings.speed, loop=settings.loop)
            except KevmondError as error:
                self._log.error("the story ended early", story=settings.story, error=str(error))

        return tell

    @staticmethod
    def _tell(story: Callable[[], Coroutine[Any, Any, None]] | None) -> asyncio.Task[None] | None:
        if story is None:
            return None
        return asyncio.get_running_loop().create_task(story(), name="story")

    # ------------------------------------------------------------------ SIGHUP

    async def _reload_for_caller(self) -> dict[str, Any]:
        """Reload for a caller of the API, to the end even if that one hangs up."""
        task = self._reload_soon()
        if task is None:
            return self._report("refused", problems=["the daemon is stopping"])
        return await asyncio.shield(task)

    def _reload_soon(self) -> asyncio.Task[dict[str, Any]] | None:
        if self._stop_reason is None or self._stop_reason.done():
            return None
        task = asyncio.get_running_loop().create_task(self._reload(), name="reload")
        self._reloads.add(task)
        task.add_done_callback(self._reloads.discard)
        return task

    async def _reload(self) -> dict[str, Any]:
        """Check the configuration, swap what can be swapped, and say what became of it."""
        async with self._turn:
            if self._stop_reason is None or self._stop_reason.done():
                return self._report("refused", problems=["the daemon is stopping"])
            try:
                loaded = self._load(self._loaded.settings.daemon.state_dir)
                return await self._swap(loaded)
            except ConfigError as error:
                problems = str(error).splitlines()
                self._log.error("configuration refused; the old one stays", problems=problems)
                self._say(own.Config(state="refused", changes=problems, file=self._file()))
            except Exception as error:  # noqa: BLE001 - a mistake of ours must not go unsaid
                problems = [f"{type(error).__name__}: {error}"]
                self._log.error("reload failed", error=problems[0])
            return self._report("refused", problems=problems)

    async def _swap(self, loaded: Loaded) -> dict[str, Any]:
        from kevmond.config.changes import compare  # noqa: PLC0415 - only a reload needs it

        changes = compare(self._loaded.settings, loaded.settings)
        self._loaded = changes.keep_running(self._loaded, loaded)
        settings = self._loaded.settings
        self._log = configure(settings.daemon.log_level)
        applied = list(changes.applied)
        if any(key.startswith("sinks.") for key in applied):
            await self._fleet.apply(settings.sinks, settings.daemon.drain_deadline)
        await self._capture.apply(settings.capture, filters=self._filters())
        await self._apply_controls()
        failed = await self._fleet.reopen()
        self._say(own.Config(state="applied", changes=applied, file=self._file()))
        for line in failed:
            self._log.error("a sink could not reopen", sink=line)
        failed += await self._api.apply(settings.api)
        late = list(changes.needs_restart)
        if late:
            self._say(own.Config(state="needs-restart", changes=late, file=self._file()))
        return self._report("applied", applied=applied, needs_restart=late, problems=failed)

    def _report(self, state: str, **lists: list[str]) -> dict[str, Any]:
        """Say what became of a reload; `Services.reload` tells the shape."""
        self._reloaded = {
            "state": state,
            "applied": [],
            "needs_restart": [],
            "problems": [],
            "file": self._file(),
            **lists,
        }
        return self._reloaded

    def _config_in_force(self) -> dict[str, Any]:
        settings = self._loaded.settings.model_dump(mode="json", by_alias=True, exclude_none=True)
        return {"file": self._file(), "settings": settings}

    def _file(self) -> str | None:
        return str(self._loaded.path) if self._loaded.path is not None else None

    def _filters(self) -> list[EventFilter]:
        """Return what the sinks want; the kernel is asked for no more than all of it together."""
        configured = enabled(self._loaded.settings.sinks).values()
        return [*(EventFilter(sink.filter) for sink in configured), *self._webhooks.filters()]

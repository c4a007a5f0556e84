"""Keeps a channel to a control for as long as there is one, and tells what happens to it.

Mirrors the life of a kernel control (bsd/kern/kern_control.c): it is registered under a number
that may be another each time, refuses whom it likes, and can only be deregistered once every client
has closed.  A client learns of all that from the kernel's events and from the control's own words.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from kevmond.backoff import Backoff
from kevmond.control.channel import CLOSE_PATIENCE, ControlChannel
from kevmond.control.connecting import ControlAbsent
from kevmond.control.conversation import conversation
from kevmond.control.hints import advice, joined, said
from kevmond.control.presence import Presence
from kevmond.control.sample import ProtocolError
from kevmond.errors import KernelError, KernelGone
from kevmond.events.control import (
    ControlConnected,
    ControlDisconnected,
    ControlError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from kevmond.control.conversation import Conversation
    from kevmond.control.registrations import Registrations
    from kevmond.control.settings import ControlSettings
    from kevmond.events.own_payload import OwnPayload
    from kevmond.kernel.base import Kernel

    Reason = Literal["goodbye", "stopped", "changed", "failed", "deregistered"]
    State = Literal["waiting", "connecting", "connected", "away", "retrying", "stopped"]

SLOW_HANDLER: Final = 10.0
"""Seconds after which a control that does not answer a connect is told of."""

_STREAM: Final = {"auto": None, "dgram": False, "stream": True}


@dataclass(frozen=True, slots=True)
class ChannelStatistics:
    """A watched channel in figures; counters are since the start."""

    name: str
    control: str
    state: State
    """waiting: there is no such control; connecting; connected; away: it asked to be let go of;
    retrying: connecting fails; stopped."""
    control_id: int | None
    """Number of the control, where one is registered."""
    unit: int | None
    """Unit of the connection, if there is one."""
    connections: int
    messages: int
    lost: int
    errors: int
    """Attempts that failed, and connections that did."""
    last_error: str | None


class ControlWatch:
    """Watches one control from `start` to `aclose`; nothing that happens to it ends the watch."""

    def __init__(
        self,
        name: str,
        settings: ControlSettings,
        kernel: Kernel,
        registrations: Registrations,
        *,
        say: Callable[[OwnPayload], None],
        log: Any,
    ) -> None:
        """`say` puts a record into the stream.

        ConfigError if the section can mean no control.
        """
        self.name = name
        self._settings = settings
        self._target = settings.target(name)
        self._control = str(self._target)
        self._presence = Presence(name, self._target, kernel, tell=say, log=log)
        self._kernel = kernel
        self._registrations = registrations
        self._say = say
        self._log = log
        self._backoff = Backoff(settings.retry_initial, settings.retry_maximum)
        self._task: asyncio.Task[None] | None = None
        self._leave: Callable[[], None] | None = None
        self._link: _Link | None = None
        self._state: State = "connecting"
        self._attempts = 0
        self._told: str | None = None  # the error that this outage was told with
        self._connections = 0
        self._messages = 0
        self._lost = 0
        self._errors = 0
        self._last_error: str | None = None

    # ------------------------------------------------------------------ from outside

    def start(self) -> None:
        """Begin, in a task of its own; registrations must be listened to already."""
        self._leave = self._registrations.listen(self._presence.heard)
        self._task = asyncio.get_running_loop().create_task(
            self._run(), name=f"control {self.name}"
        )

    async def aclose(
        self,
        reason: Literal["stopped", "changed"] = "stopped",
        timeout: float = CLOSE_PATIENCE,  # noqa: ASYNC109 - it gives up, nothing fails
    ) -> None:
        """Close the channel and end the watch, in about `timeout` seconds whatever hangs."""
        if self._leave is not None:
            self._leave()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        await self._close(reason, timeout=timeout)
        self._state = "stopped"

    def statistics(self) -> ChannelStatistics:
        """State and counters, as they are now."""
        link = self._link
        return ChannelStatistics(
            name=self.name,
            control=self._control,
            state=self._state,
            control_id=self._presence.control_id,
            unit=link.channel.unit if link is not None else None,
            connections=self._connections,
            messages=self._messages + (link.channel.messages if link is not None else 0),
            lost=self._lost + (link.talk.lost if link is not None else 0),
            errors=self._errors,
            last_error=self._last_error,
        )

    # ------------------------------------------------------------------ the life of a channel

    async def _run(self) -> None:
        while True:
            try:
                channel = await self._connect()
            except ControlAbsent:
                await self._await_registration()
            except KernelError as error:
                self._trouble(error)
                await self._retry()
            except Exception as error:  # noqa: BLE001 - a mistake of ours: said, and the watch goes on
                self._mistake(error)
                await self._retry()
            else:
                await self._talk(channel)

    async def _connect(self) -> ControlChannel:
        self._state = "connecting"
        self._attempts += 1
        settings, presence = self._settings, self._presence
        slow = asyncio.get_running_loop().call_later(SLOW_HANDLER, self._slow)
        try:
            await presence.look()  # by itself, so that it is known even if it refuses us
            if self._target.name and presence.control_id is None:
                raise ControlAbsent(f"CTLIOCGINFO {self._target.name!r}", "ENOENT")
            channel = await ControlChannel.connect(
                self._kernel,
                self._target,
                stream=False if settings.speaks_sample(self._control) else _STREAM[settings.type],
                send_space=settings.send_space,
                receive_space=settings.receive_space,
            )
        except ControlAbsent:
            presence.found(None)
            raise
        finally:
            slow.cancel()
        presence.attached(channel.control_id)
        return channel

    async def _talk(self, channel: ControlChannel) -> None:
        """Hold the connection until it ends, and stay away for as long as that calls for."""
        talk = conversation(self.name, channel, self._settings, self._say, self._trouble)
        self._link = link = _Link(channel, talk, self._presence.changes)
        try:
            await talk.greet()
            self._connected(link)
            await talk.listen()
        except ProtocolError as error:
            await self._fail(link, KernelError("recv", "EPROTO", str(error)), tell=True)
        except KernelError as error:
            await self._fail(link, error, tell=not link.told)
        except Exception as error:  # noqa: BLE001 - a mistake of ours: said, and the watch goes on
            self._mistake(error)
            await self._fail(link, KernelError("recv", "EIO", str(error)), tell=False)
        else:
            self._backoff.reset()
            await self._close("goodbye")
            await self._stay_away("away", link.changes, self._settings.goodbye_wait)

    async def _fail(self, link: _Link, error: KernelError, *, tell: bool) -> None:
        """Let go of a connection that is of no use."""
        if link.age() > self._settings.retry_maximum:
            self._backoff.reset()  # it was well; one that never lasts is not tried without end
        if tell:
            self._trouble(error)
        else:
            self._note(error)
        await self._close("deregistered" if self._presence.doubtful else "failed", str(error))
        if isinstance(error, KernelGone):
            self._presence.found(None)  # its controls went with it, and no event tells that
        await self._stay_away("retrying", link.changes, self._backoff.next())

    def _connected(self, link: _Link) -> None:
        channel = link.channel
        link.told = True
        self._state = "connected"
        self._connections += 1
        self._say(
            ControlConnected(
                channel=self.name,
                control=self._control,
                control_id=channel.control_id,
                unit=channel.unit,
                stream=channel.stream,
                send_space=channel.send_space,
                receive_space=channel.receive_space,
                protocol=link.talk.protocol,
                version=link.talk.version,
                attempts=self._attempts,
            )
        )
        self._attempts = 0
        self._told = None

    async def _close(
        self,
        reason: Reason,
        detail: str | None = None,
        timeout: float = CLOSE_PATIENCE,  # noqa: ASYNC109 - it gives up, nothing fails
    ) -> None:
        """Close the connection, if there is one, and say so if it was said to be there.

        If this is cancelled, the next call goes on with it.
        """
        link = self._link
        if link is None:
            return
        if link.reason is None:
            link.reason, link.detail = reason, detail
            self._presence.leaving()
        await link.talk.aclose(timeout)
        self._link = None
        self._messages += link.channel.messages
        self._lost += link.talk.lost
        if link.told:
            self._say(
                ControlDisconnected(
                    channel=self.name,
                    control=self._control,
                    unit=link.channel.unit,
                    reason=link.reason,
                    messages=link.channel.messages,
                    lost=link.talk.lost,
                    detail=link.detail or link.talk.remark,
                )
            )
        self._presence.detached()

    # ------------------------------------------------------------------ waiting

    async def _await_registration(self) -> None:
        """Wait until the control may be there."""
        self._state = "waiting"
        self._attempts = 0
        self._told = None
        self._backoff.reset()
        self._log.debug("no such kernel control yet", channel=self.name, control=self._control)
        await self._presence.news(self._settings.poll)

    async def _retry(self) -> None:
        """Wait before the next attempt."""
        await self._stay_away("retrying", self._presence.changes, self._backoff.next())

    async def _stay_away(self, state: State, since: int, seconds: float) -> None:
        """Wait, unless the control came or went since then: it is tried at once."""
        self._state = state
        if await self._presence.change(since, seconds):
            self._backoff.reset()

    # ------------------------------------------------------------------ telling

    def _note(self, error: Exception) -> None:
        self._errors += 1
        self._last_error = str(error)

    def _trouble(self, error: KernelError) -> None:
        """Say what fails: once an outage, and again when it is something else."""
        self._note(error)
        if error.symbol == self._told:
            return
        self._told = error.symbol
        self._say(
            ControlError(
                channel=self.name,
                control=self._control,
                call=error.call,
                symbol=error.symbol,
                attempt=self._attempts,
                detail=joined(said(error), advice(error)) or str(error),
            )
        )

    def _slow(self) -> None:
        hint = f"its handler has not answered for {SLOW_HANDLER:g} s; it is waited for"
        self._trouble(KernelError("connect", "ETIMEDOUT", hint))

    def _mistake(self, error: Exception) -> None:
        self._note(error)
        self._log.error(
            "a control channel failed", channel=self.name, error=f"{type(error).__name__}: {error}"
        )


class _Link:
    """A connection, and what is to be said of it."""

    __slots__ = ("_since", "changes", "channel", "detail", "reason", "talk", "told")

    def __init__(self, channel: ControlChannel, talk: Conversation, changes: int) -> None:
        self.channel = channel
        self.talk = talk
        self.changes = changes
        """How often the control had come or gone when it was made."""
        self.told = False
        """Whether it was said to be connected."""
        self.reason: Reason | None = None
        """Why it ends, once it does."""
        self.detail: str | None = None
        self._since = asyncio.get_running_loop().time()

    def age(self) -> float:
        """Seconds since it was made."""
        return asyncio.get_running_loop().time() - self._since

"""One connection of a watched channel: what is heard on it, as records, until it ends."""

from __future__ import annotations

import asyncio
import contextlib
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Final

from kevmond.control.quiet import Quiet
from kevmond.control.sample import MessageType, Subscription, version_text
from kevmond.control.session import SampleSession
from kevmond.control.telling import UNREAD, LossTeller, raw_message, sample_message
from kevmond.errors import KernelError, KevmondError
from kevmond.events.control import ControlGoodbye

if TYPE_CHECKING:
    from collections.abc import Callable

    from kevmond.control.channel import ControlChannel
    from kevmond.control.sample import Message
    from kevmond.control.settings import ControlSettings
    from kevmond.events.control import ControlPayload

HELLO_PATIENCE: Final = 5.0
"""Seconds that the other side has for its first message."""

QUIET: Final = 1.0
"""Seconds of quiet after a message, until the other side is asked what was lost."""
LAST_PATIENCE: Final = 1.0
"""Seconds that the other side has to tell that before the channel is closed."""


class Conversation(ABC):
    """Tells what comes on a channel; `greet`, `listen` and `aclose` are called in this order."""

    protocol: int | None = None
    """Version of the protocol that the other side speaks."""
    version: str | None = None
    """Version of the other side."""

    def __init__(
        self, name: str, channel: ControlChannel, tell: Callable[[ControlPayload], None], limit: int
    ) -> None:
        """`limit` is how many bytes of a message are shown."""
        self.channel = channel
        self._tell = tell
        self._name = name
        self._limit = limit

    @property
    def lost(self) -> int:
        """Messages lost within the kernel, as far as the protocol tells."""
        return 0

    @property
    def remark(self) -> str | None:
        """What is to be said of its end, where the protocol has no record for it."""
        return None

    @abstractmethod
    async def greet(self) -> None:
        """Find out whom we talk to; ProtocolError if it is not who we thought."""

    @abstractmethod
    async def listen(self) -> None:
        """Tell what comes until the other side says goodbye; KernelError if the socket dies."""

    @abstractmethod
    async def aclose(self, timeout: float) -> None:  # noqa: ASYNC109 - it gives up, nothing fails
        """Close the channel, and tell the rest of what came; twice is harmless."""


class RawConversation(Conversation):
    """Bytes as they are: the other side is never asked anything, and is held for ever."""

    @property
    def remark(self) -> str | None:
        """See `Conversation.remark`."""
        return UNREAD if self.channel.unread else None

    async def greet(self) -> None:
        """See `Conversation.greet`: anybody will do."""

    async def listen(self) -> None:
        """See `Conversation.listen`."""
        channel = self.channel
        async for data in channel:
            self._tell(raw_message(self._name, channel.name, channel.unit, data, self._limit))

    async def aclose(self, timeout: float) -> None:  # noqa: ASYNC109 - see the base
        """See `Conversation.aclose`."""
        await self.channel.aclose(timeout=timeout)
        await self.listen()


class SampleConversation(Conversation):
    """The sample kernel extension's protocol."""

    def __init__(
        self,
        name: str,
        channel: ControlChannel,
        tell: Callable[[ControlPayload], None],
        limit: int,
        *,
        subscription: Subscription,
        trouble: Callable[[KernelError], None],
    ) -> None:
        """`trouble` is told why there will be no notices, where `subscription` is refused."""
        super().__init__(name, channel, tell, limit)
        self._subscription = subscription
        self._trouble = trouble
        self._session: SampleSession | None = None
        self._losses = LossTeller(tell, name, channel.name, channel.unit)
        self._quiet = Quiet(QUIET, self._learn_losses)
        self._rest: asyncio.Task[None] | None = None

    @property
    def lost(self) -> int:
        """See `Conversation.lost`; what closing left unread counts as one."""
        return 0 if self._session is None else self._session.lost + self.channel.unread

    async def greet(self) -> None:
        """See `Conversation.greet`."""
        session = await SampleSession.open(self.channel, timeout=HELLO_PATIENCE)
        self._session = session
        self.protocol = session.hello.protocol
        self.version = version_text(session.hello.version)

    async def listen(self) -> None:
        """See `Conversation.listen`."""
        assert self._session is not None, "greeted before"
        self._quiet.heard()  # HELLO, at least
        if self._subscription:
            try:
                await self._session.subscribe(self._subscription)
            except KernelError as error:
                if self._session.is_over:
                    raise
                self._trouble(error)
        async for message in self._session:
            self._heard(message)

    async def aclose(self, timeout: float) -> None:  # noqa: ASYNC109 - see the base
        """See `Conversation.aclose`."""
        session = self._session
        if session is None:
            await self.channel.aclose(timeout=timeout)
            return
        await self._quiet.aclose()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        if self._rest is None:
            self._rest = loop.create_task(self._tell_rest(session), name="control rest")
            if not session.is_over and session.goodbye_reason is None:
                await self._learn_losses(min(LAST_PATIENCE, timeout / 2))
        await session.aclose(timeout=max(0, deadline - loop.time()))
        await self._rest
        await self._quiet.aclose()
        self._losses.note(session.lost)
        self._losses.flush()
        if self.channel.unread:
            self._losses.unread(self.lost)

    async def _tell_rest(self, session: SampleSession) -> None:
        try:
            async for message in session:
                self._heard(message)
        except KevmondError:  # what ended it was told already
            pass

    async def _learn_losses(self, patience: float = LAST_PATIENCE) -> None:
        """Find out what was lost since the last message: no other may come."""
        assert self._session is not None, "it was greeted"
        with contextlib.suppress(KevmondError):
            await self._session.learn_losses(timeout=patience)
        self._losses.note(self._session.lost)

    def _heard(self, message: Message) -> None:
        channel, session = self.channel, self._session
        assert session is not None, "it gave the message"
        self._quiet.heard()
        self._losses.note(session.lost)
        if message.type == MessageType.GOODBYE:
            self._tell(
                ControlGoodbye(
                    channel=self._name,
                    control=channel.name,
                    unit=channel.unit,
                    reason=session.goodbye_reason,
                )
            )
        else:
            self._tell(sample_message(self._name, channel.name, channel.unit, message, self._limit))


def conversation(
    name: str,
    channel: ControlChannel,
    settings: ControlSettings,
    tell: Callable[[ControlPayload], None],
    trouble: Callable[[KernelError], None],
) -> Conversation:
    """Make the kind of conversation that the settings want."""
    limit = settings.max_text
    if not settings.speaks_sample(channel.name):
        return RawConversation(name, channel, tell, limit)
    subscription = Subscription(0)
    for word in settings.subscribe:
        subscription |= Subscription[word.upper()]
    return SampleConversation(
        name, channel, tell, limit, subscription=subscription, trouble=trouble
    )

"""One connection of a watched channel: what is heard on it, as records, until it ends."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Final

from kevmond.control.sample import MessageType, Subscription, version_text
from kevmond.control.session import SampleSession
from kevmond.control.telling import LossTeller, raw_message, sample_message
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
    """Bytes as they are: the other side is never asked anything, and holds us for ever."""

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

    @property
    def lost(self) -> int:
        """See `Conversation.lost`."""
        return 0 if self._session is None else self._session.lost

    async def greet(self) -> None:
        """See `Conversation.greet`."""
        session = await SampleSession.open(self.channel, timeout=HELLO_PATIENCE)
        self._session = session
        self.protocol = session.hello.protocol
        self.version = version_text(session.hello.version)

    async def listen(self) -> None:
        """See `Conversation.listen`."""
        assert self._session is not None, "greeted before"
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
        if self._session is None:
            await self.channel.aclose(timeout=timeout)
            return
        await self._session.aclose(timeout=timeout)
        try:
            async for message in self._session:
                self._heard(message)
        except KevmondError:  # what ended it was told already
            pass
        self._losses.note(self._session.lost)
        self._losses.flush()

    def _heard(self, message: Message) -> None:
        channel, session = self.channel, self._session
        assert session is not None, "it gave the message"
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
    if settings.protocol == "raw":
        return RawConversation(name, channel, tell, limit)
    subscription = Subscription(0)
    for word in settings.subscribe:
        subscription |= Subscription[word.upper()]
    return SampleConversation(
        name, channel, tell, limit, subscription=subscription, trouble=trouble
    )

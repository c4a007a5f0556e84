"""The sample kernel extension's protocol on a channel: requests, answers, and what comes unasked.

See `kevmond.control.sample` for the messages (kext/include/foo.h).
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final

from kevmond.control.channel import CLOSE_PATIENCE
from kevmond.control.sample import (
    Goodbye,
    Hello,
    Message,
    MessageType,
    Option,
    ProtocolError,
    Result,
    Statistics,
    Subscription,
    Version,
    emit_event,
    subscribe,
)
from kevmond.errors import KernelError, KevmondError

if TYPE_CHECKING:
    from typing import Any, Self

    from kevmond.control.channel import ControlChannel

_UNASKED_MAX: Final = 1024
"""Messages that wait to be taken; more than that stay in the channel and the kernel."""
_U32: Final = 0xFFFFFFFF
_HALF: Final = 1 << 31


class Losses:
    """How many messages to us were lost, by the two proofs that each message carries.

    The other side numbers every message it tried to send, and tells how many it lost.  Both mean
    the same losses, so the larger figure counts, not their sum.
    """

    def __init__(self) -> None:
        self._next = 1
        self._missing = 0
        self._dropped = 0
        self._told = 0

    @property
    def total(self) -> int:
        """Messages lost so far."""
        return max(self._missing, self._dropped)

    def note(self, message: Message) -> None:
        """Take note of the next message received."""
        ahead = message.sequence - self._next
        if ahead >= 0:
            self._missing += ahead
            self._next = message.sequence + 1
        else:  # it came out of turn, so it was not missing after all
            self._missing = max(0, self._missing - 1)
        more = (message.dropped - self._told) & _U32
        if more < _HALF:
            self._dropped += more
            self._told = message.dropped


class SampleSession:
    """Speaks the protocol on a connected channel; made by `open`.

    Iterating gives what comes unasked; it ends with the other side's GOODBYE, or when the channel
    is closed, and raises what went wrong otherwise.  Requests can be made side by side.  What comes
    unasked is to be taken: with too much of it waiting nothing more is read, answers neither.
    """

    def __init__(self, channel: ControlChannel) -> None:
        self.channel = channel
        self.hello: Hello
        """What the other side said first."""
        self.goodbye_reason: str | None = None
        """Why it asked to be let go of, in a word; None: it did not."""
        self._losses = Losses()
        self._sequence = 0
        self._pending: dict[int, asyncio.Future[Message]] = {}
        self._unasked: deque[Message] = deque()
        self._error: KevmondError | None = None
        self._over = False
        self._loop = asyncio.get_running_loop()
        self._greeted: asyncio.Future[None] = self._loop.create_future()
        self._waiter: asyncio.Future[None] | None = None
        self._room: asyncio.Future[None] | None = None
        channel.closing.add_done_callback(lambda _: self._release())
        self._task = self._loop.create_task(self._read(), name="control session")

    @classmethod
    async def open(cls, channel: ControlChannel, *, timeout: float = 5.0) -> Self:  # noqa: ASYNC109 - it explains itself
        """Wait for HELLO and return the session; the channel is read by it alone from now on.

        ProtocolError if the other side says something else, or nothing for `timeout` seconds;
        KernelError if the socket dies.
        """
        session = cls(channel)
        try:
            async with asyncio.timeout(timeout):
                await session._greeted
        except BaseException as error:
            session._task.cancel()
            if isinstance(error, TimeoutError):
                text = f"no hello within {timeout:g} s: is this the sample's control?"
                raise ProtocolError(text) from None
            raise
        return session

    @property
    def lost(self) -> int:
        """Messages to us that were lost within the kernel, as far as it is known by now.

        A message tells of those before it, so the last ones of a burst show only with the next
        message: `learn_losses` has one sent.
        """
        return self._losses.total

    @property
    def is_over(self) -> bool:
        """Whether nothing will come any more."""
        return self._over

    # ------------------------------------------------------------------ requests

    async def request(
        self,
        kind: MessageType,
        payload: bytes = b"",
        *,
        timeout: float = 5.0,  # noqa: ASYNC109 - it names the errno
    ) -> Message:
        """Send a message and return the answer to it.

        KernelError with what the other side says to the sending, ETIMEDOUT without an answer in
        time (it may have been lost: see `lost`), or what ended the session.
        """
        if self._over:
            raise self._error or _closed(kind.word)
        data = Message(kind, self._sequence + 1, payload).pack()
        self._sequence += 1
        sequence = self._sequence
        answer: asyncio.Future[Message] = self._loop.create_future()
        self._pending[sequence] = answer
        deadline = self._loop.time() + timeout
        try:
            await self.channel.send(data, timeout=timeout)
            async with asyncio.timeout_at(deadline):
                return await answer
        except TimeoutError:
            hint = f"no answer within {timeout:g} s"
            if self._room is not None:
                hint += ": take what came unasked first"
            raise KernelError(kind.word, "ETIMEDOUT", hint) from None
        finally:
            del self._pending[sequence]

    async def echo(self, payload: bytes, *, timeout: float = 5.0) -> bytes:  # noqa: ASYNC109 - passed on
        """Send bytes there and back."""
        return (await self.request(MessageType.ECHO, payload, timeout=timeout)).payload

    async def emit_event(self, kev_class: int, subclass: int, code: int, data: bytes = b"") -> int:
        """Have a kernel event posted; return the vendor code that it bears."""
        payload = emit_event(kev_class, subclass, code, data)
        return await self._done(MessageType.EMIT_EVENT, payload)

    async def subscribe(self, mask: Subscription) -> Subscription:
        """Ask for notices; return those that will come."""
        return Subscription(await self._done(MessageType.SUBSCRIBE, subscribe(mask)))

    async def goodbye(self) -> None:
        """Ask for no more notices; closing the channel is what ends it."""
        await self._done(MessageType.GOODBYE, b"")

    async def learn_losses(self, *, timeout: float = 5.0) -> None:  # noqa: ASYNC109 - it names the errno
        """Have the other side tell how many messages were lost so far; see `lost`."""
        await self.request(MessageType.HELLO, timeout=timeout)

    async def command(self, number: int, argument: int | None = None) -> None:
        """Run command 1 or 2 (an option that is set), with a u32 as argument or nothing at all."""
        await self.channel.set_option(_command(number), argument)

    async def command_count(self, number: int) -> int:
        """Return how often command 1 or 2 was run."""
        return await self.channel.get_u32(_command(number))

    async def version(self) -> Version:
        """Ask for the other side's versions."""
        return Version.unpack(await self.channel.get_option(Option.VERSION))

    async def statistics(self) -> Statistics:
        """Ask for the other side's counters."""
        return Statistics.unpack(await self.channel.get_option(Option.STATISTICS))

    async def _done(self, kind: MessageType, payload: bytes) -> int:
        answer = await self.request(kind, payload)
        if answer.type != MessageType.RESULT:
            raise ProtocolError(f"{kind.word}: answered by {answer.word}, not by a result")
        result = Result.unpack(answer.payload)
        if result.symbol is not None:
            raise KernelError(kind.word, result.symbol)
        return result.detail

    # ------------------------------------------------------------------ what comes unasked

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Message:
        while not self._unasked:
            if self._error is not None:
                raise self._error
            if self._over or self.goodbye_reason is not None:
                raise StopAsyncIteration
            if self._waiter is not None:
                raise RuntimeError("a session's messages are for one consumer")
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        message = self._unasked.popleft()
        if len(self._unasked) <= _UNASKED_MAX // 2:
            self._release()
        return message

    async def aclose(self, *, timeout: float = CLOSE_PATIENCE) -> None:  # noqa: ASYNC109 - it gives up, nothing fails
        """Close the channel; iterating still gives what had come by then."""
        await self.channel.aclose(timeout=timeout)
        await asyncio.wait({self._task})

    # ------------------------------------------------------------------ reading

    async def _read(self) -> None:
        try:
            async for data in self.channel:
                self._take(Message.unpack(data))
                if len(self._unasked) >= _UNASKED_MAX and not self.channel.closing.done():
                    self._room = self._loop.create_future()
                    await self._room
        except KevmondError as error:
            self._error = error.with_traceback(None)
        finally:
            self._end()

    def _take(self, message: Message) -> None:
        self._losses.note(message)
        if message.reply_to:
            answer = self._pending.get(message.reply_to)
            if answer is not None and not answer.done():
                answer.set_result(message)
            return  # an answer that nobody waits for any more is nobody's news
        if message.type == MessageType.HELLO and not self._greeted.done():
            self.hello = Hello.unpack(message.payload)
            self._greeted.set_result(None)
            return
        if message.type == MessageType.GOODBYE:
            self.goodbye_reason = Goodbye.unpack(message.payload).word
        self._unasked.append(message)
        self._wake()

    def _release(self) -> None:
        """Read on, if that was stopped."""
        room, self._room = self._room, None
        if room is not None and not room.done():
            room.set_result(None)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _end(self) -> None:
        """Tell everybody who waits that nothing more will come."""
        self._over = True
        error = self._error or _closed("session")
        for answer in self._pending.values():
            _fail(answer, error)
        _fail(self._greeted, error)
        self._wake()


def _command(number: int) -> int:
    options = {1: Option.COMMAND_1, 2: Option.COMMAND_2}
    if number not in options:
        raise ValueError(f"command {number}: there are 1 and 2")
    return options[number]


def _fail(future: asyncio.Future[Any], error: KevmondError) -> None:
    """Raise `error` where `future` is waited for; if that is nowhere, it is no loss."""
    if not future.done():
        future.set_exception(error)
        future.exception()


def _closed(call: str) -> KernelError:
    return KernelError(call, "EBADF", "the channel is closed")

"""A channel to a kernel control: connected once, then messages both ways and options.

Mirrors a client of bsd/kern/kern_control.c.  The loop watches the socket and a callback reads it
until it is empty; everything that runs the control's handlers is done in the channel's thread.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final

from kevmond.control.calls import Calls
from kevmond.control.connecting import Attempt
from kevmond.control.outbox import Outbox
from kevmond.errors import KernelError, KernelGone

if TYPE_CHECKING:
    import struct
    from collections.abc import Callable
    from typing import Any, Self

    from kevmond.control.connecting import Connection
    from kevmond.control.target import ControlTarget
    from kevmond.kernel.control_base import ControlKernel, ControlSocket

CLOSE_PATIENCE: Final = 5.0
"""Seconds that closing waits for the control's handlers; the thread goes on without us then."""

READ_PATIENCE: Final = 1.0
"""Seconds that closing takes at most to read what waits; less if it has less time altogether."""

_BATCH: Final = 64
"""Most messages read before other work gets its turn."""
_OPTION_SIZE: Final = 4096
"""Buffer for an option whose length the control does not tell."""
_OPTION_MAX: Final = 64 << 20
"""The kernel takes no larger buffer."""


class ControlChannel:
    """One connection; made by `connect`, ended by `aclose`.

    Iterating gives the messages in order, to one consumer; an empty one is b"".  It ends after
    `aclose`, with what was read before, and raises KernelError if the socket died.  While `queue`
    messages wait to be taken nothing more is read: the kernel queues, and counts what it drops.
    """

    def __init__(
        self, connection: Connection, calls: Calls, target: ControlTarget, queue: int
    ) -> None:
        """Take a connected socket and begin to read it; see `connect`."""
        sock = connection.sock
        self.target = target
        self.name = str(target)
        """Name of the control; "id:unit" where it is connected to by number."""
        self.control_id = connection.address.control_id
        self.unit = connection.address.unit
        self.stream = sock.stream
        """Whether it is a byte stream: then what is read at once is no message."""
        self.send_space = connection.send_space
        """Longest message that can be sent, bytes."""
        self.receive_space = connection.receive_space
        """Bytes that the kernel queues for us."""
        self.messages = 0
        """Messages received."""
        self._loop = asyncio.get_running_loop()
        self.closing: asyncio.Future[None] = self._loop.create_future()
        """Done once `aclose` was called."""
        self.unread = False
        """Whether it was closed before all that waited was read: at least one message was lost."""
        self._sock = sock
        self._calls = calls
        self._outbox = Outbox(sock, calls, max(1, self.send_space) if self.stream else None)
        self._read_size = connection.read_size
        self._limit = queue
        self._queue: deque[bytes] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._error: KernelError | None = None
        self._question: asyncio.Task[None] | None = None
        self._ending: asyncio.Task[None] | None = None
        self._over = False
        self._fileno = sock.fileno()
        self._reading = False
        self._read(True)

    @classmethod
    async def connect(
        cls,
        kernel: ControlKernel,
        target: ControlTarget,
        *,
        stream: bool | None = None,
        send_space: int | None = None,
        receive_space: int | None = None,
        queue: int = 1024,
        prepare: Callable[[ControlSocket], None] | None = None,
    ) -> Self:
        """Connect; ControlAbsent if there is no such control, KernelError otherwise.

        `stream` is the type of socket; None finds out which the control wants.  The buffers are the
        control's own unless told otherwise: `send_space` bounds a message, `receive_space` what the
        kernel queues; the kernel grants what it can.  `prepare` is called on the fresh socket, in
        the channel's thread, just before it is connected.  This takes as long as the control's
        handler does: bound it with `asyncio.timeout`.
        """
        calls = Calls(kernel, f"control {target}")
        attempt = Attempt(
            kernel,
            target,
            stream=stream,
            send_space=send_space,
            receive_space=receive_space,
            prepare=prepare,
        )
        try:
            return cls(await calls.run(attempt.run), calls, target, queue)
        except BaseException:
            # Cancelled, perhaps: whatever the attempt comes to is closed when it is there.
            calls.abandon(attempt.close)
            raise

    # ------------------------------------------------------------------ messages

    async def send(self, data: bytes, *, timeout: float = 5.0) -> None:  # noqa: ASYNC109 - it names the errno
        """Send a message and return once the control took it.

        While the control has no room (ENOBUFS) it is offered again, for at most `timeout` seconds.
        KernelError with what the handler says, EMSGSIZE above `send_space`, ETIMEDOUT if there is
        no answer at all.  Messages go in the order of the calls, also those that wait together.
        """
        await self._outbox.send(data, timeout)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        while not self._queue:
            if self._over:
                raise StopAsyncIteration
            if self._error is not None:
                raise self._error
            if self._waiter is not None:
                raise RuntimeError("a channel's messages are for one consumer")
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        data = self._queue.popleft()
        if not self._reading and len(self._queue) <= self._limit // 2:
            self._resume()
        return data

    # ------------------------------------------------------------------ options

    async def get_option(self, option: int, size: int | None = None, request: bytes = b"") -> bytes:
        """Read an option of the control; `request` is what its handler finds in the buffer.

        Without a `size` the control is asked for it; one that does not tell gets 4096 bytes.
        """
        return await self._calls.run(self._get_option, option, size, bytes(request))

    async def set_option(self, option: int, value: bytes | int | None = None) -> None:
        """Set an option of the control: to bytes, to a number of 4 bytes, or to nothing at all."""
        data = _u32(value) if isinstance(value, int) else value
        await self._calls.run(self._sock.set_option, option, data)

    async def get_u32(self, option: int) -> int:
        """Read an option that is a number of 4 bytes; KernelError EPROTO if it is not."""
        data = await self.get_option(option, 4)
        _check_size(option, data, 4)
        return int.from_bytes(data, "little")

    async def get_text(self, option: int, size: int | None = None) -> str:
        """Read an option that is text, up to its NUL."""
        data = await self.get_option(option, size)
        return data.partition(b"\0")[0].decode(errors="replace")

    async def get_struct(self, option: int, layout: struct.Struct) -> tuple[Any, ...]:
        """Read an option that is a struct; KernelError EPROTO if it is shorter."""
        data = await self.get_option(option, layout.size)
        _check_size(option, data, layout.size)
        return layout.unpack(data)

    def _get_option(self, option: int, size: int | None, request: bytes) -> bytes:
        if size is None:
            size = self._ask_size(option)
        return self._sock.get_option(option, max(1, size, len(request)), request)

    def _ask_size(self, option: int) -> int:
        try:
            size = self._sock.option_size(option)
        except KernelError:  # asking with a buffer tells what is wrong, if anything is
            return _OPTION_SIZE
        return min(size, _OPTION_MAX) if size > 0 else _OPTION_SIZE

    # ------------------------------------------------------------------ the end

    async def aclose(self, *, timeout: float = CLOSE_PATIENCE) -> None:  # noqa: ASYNC109 - it gives up, nothing fails
        """Read what has come so far, however much, and close; twice is harmless.

        Closing runs the control's handler.  If that takes more than `timeout` seconds, the thread
        goes on with it alone.
        """
        if self._ending is None:
            self._read(False)
            self._outbox.close()
            self._ending = self._loop.create_task(
                self._end(min(READ_PATIENCE, timeout)), name="control close"
            )
            self.closing.set_result(None)
        await asyncio.wait({self._ending}, timeout=timeout)

    async def _end(self, patience: float) -> None:
        try:
            async with asyncio.timeout(patience):
                self.unread = await self._read_rest()
        except TimeoutError:
            self.unread = True
        finally:
            if self._question is not None:
                self._question.cancel()
            self._over = True
            self._wake()
            await self._calls.end(self._sock.close, CLOSE_PATIENCE)

    async def _read_rest(self) -> bool:
        """Read until nothing waits, or as much came as could wait when closing began.

        Returns whether more waits: that is of a control which goes on faster than it is read.
        """
        if self._question is not None:
            await asyncio.wait({self._question})
        left, count = self.receive_space, 0
        while self._error is None and left > 0:
            count += 1
            if count % _BATCH == 0:
                await asyncio.sleep(0)
            try:
                data = self._sock.receive(self._read_size)
            except BlockingIOError:
                if not await self._waits():
                    return False
                await self._readable()
                continue
            except KernelError as error:
                self._fail(error)
                break
            left -= max(1, len(data))
            if data:
                self._queue.append(data)
                self.messages += 1
                self._wake()
            else:
                await asyncio.wait({self._doubt()})
        return self._error is None and await self._waits()

    async def _waits(self) -> bool:
        """Ask the kernel if a message waits; a simulated one may be about to pass it on."""
        if self._calls.busy:  # in a handler, which may never return
            return False
        try:
            return await self._calls.run(self._sock.next_size) > 0
        except KernelError:
            return False

    async def _readable(self) -> None:
        readable = asyncio.Event()
        self._loop.add_reader(self._fileno, readable.set)
        try:
            await readable.wait()
        finally:
            self._loop.remove_reader(self._fileno)

    # ------------------------------------------------------------------ reading

    def _read(self, reading: bool) -> None:
        """Let the loop watch the socket, or not."""
        if reading is not self._reading:
            self._reading = reading
            if reading:
                self._loop.add_reader(self._fileno, self._drain)
            else:
                self._loop.remove_reader(self._fileno)

    def _resume(self) -> None:
        """Read again, unless something else forbids it."""
        if self._error is None and self._ending is None and self._question is None:
            self._read(True)

    def _drain(self) -> None:
        """Read until the socket is empty, or other work must have its turn."""
        receive, size, queue = self._sock.receive, self._read_size, self._queue
        try:
            for _ in range(_BATCH):
                data = receive(size)
                if not data:
                    self._doubt()
                    break
                queue.append(data)
                self.messages += 1
                if len(queue) >= self._limit:
                    self._read(False)
                    break
        except BlockingIOError:
            pass
        except KernelError as error:
            self._fail(error)
        if queue:
            self._wake()

    def _doubt(self) -> asyncio.Task[None]:
        """Find out whether the message was empty or the socket is dead, before reading on.

        Dead ones are readable for ever, so nobody watches meanwhile.
        """
        self._read(False)
        self._question = self._loop.create_task(self._ask(), name="control peer")
        return self._question

    async def _ask(self) -> None:
        try:
            await self._calls.run(self._sock.peer)
        except KernelGone as error:
            self._fail(error)
        except KernelError as error:
            self._fail(KernelError("recv", error.symbol, "the control let go of this connection"))
        else:
            self._queue.append(b"")
            self.messages += 1
            self._wake()
        finally:
            self._question = None
        if len(self._queue) < self._limit:
            self._resume()

    def _fail(self, error: KernelError) -> None:
        self._error = error.with_traceback(None)
        self._read(False)
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def _u32(value: int) -> bytes:
    return value.to_bytes(4, "little", signed=value < 0)


def _check_size(option: int, data: bytes, size: int) -> None:
    if len(data) != size:
        hint = f"{size} bytes expected, {len(data)} came"
        raise KernelError(f"getsockopt {option}", "EPROTO", hint)

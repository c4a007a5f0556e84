"""What waits to be sent on a channel, in order.

A control socket is always writable and its handler decides: it takes a message or refuses it.
ENOBUFS means "not now", and the only remedy is to come again later; waiting for writability would
spin (bsd/kern/kern_control.c, ctl_send; sbspace() of bsd/kern/uipc_socket2.c).
"""

from __future__ import annotations

import asyncio
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Final

from kevmond.backoff import Backoff
from kevmond.errors import KernelError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kevmond.control.calls import Calls
    from kevmond.kernel.control_base import ControlSocket

NOT_NOW: Final = frozenset({"ENOBUFS", "EAGAIN", "EWOULDBLOCK"})
"""Answers of a handler that are worth another attempt."""

_TOGETHER: Final = 64
"""Messages handed to the thread at once: closing waits for no more than these."""

_FIRST_WAIT: Final = 0.001
_LONGEST_WAIT: Final = 0.1
"""Seconds, upper bounds of the waits after a message was refused."""


class _Waiting:
    """A message, and who waits for it to be taken."""

    __slots__ = ("data", "refusal", "sent", "taken")

    def __init__(self, data: bytes, taken: asyncio.Future[None]) -> None:
        self.data = data
        self.taken = taken
        self.sent = 0
        """Bytes that the control took; on a stream a message goes in pieces."""
        self.refusal: str | None = None
        """Why it was not taken at the last attempt."""

    @property
    def is_wanted(self) -> bool:
        """False once nobody waits; what was begun on a stream must be finished all the same."""
        return not self.taken.done() or self.sent > 0

    def settle(self, error: Exception | None) -> None:
        """Tell who waits."""
        if self.taken.done():
            return
        if error is None:
            self.taken.set_result(None)
        else:
            self.taken.set_exception(error)


class Outbox:
    """Sends in the order asked for; those that wait together go in one hop to the thread."""

    def __init__(self, sock: ControlSocket, calls: Calls, piece: int | None) -> None:
        """`piece` is how much of a stream goes to the handler at once; None for messages."""
        self._sock = sock
        self._calls = calls
        self._piece = piece
        self._waiting: deque[_Waiting] = deque()
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    async def send(self, data: bytes, timeout: float) -> None:  # noqa: ASYNC109 - it names the errno
        """Return once the control took `data`; KernelError if it refuses, or does not in time."""
        if self._closed:
            raise _closed()
        loop = asyncio.get_running_loop()
        waiting = _Waiting(data, loop.create_future())
        self._waiting.append(waiting)
        if self._task is None:
            self._task = loop.create_task(self._work(), name="control send")
        try:
            async with asyncio.timeout(timeout):
                await waiting.taken
        except TimeoutError:
            if waiting.refusal is None:
                hint = f"its handler did not answer within {timeout:g} s; it may yet take it"
                raise KernelError("send", "ETIMEDOUT", hint) from None
            hint = f"the control took no message for {timeout:g} s: are its own being read?"
            raise KernelError("send", waiting.refusal, hint) from None

    def close(self) -> None:
        """Send nothing more; whoever waits is told (KernelError EBADF)."""
        self._closed = True
        if self._task is not None:
            self._task.cancel()
        for waiting in self._waiting:
            waiting.settle(_closed())
        self._waiting.clear()

    async def _work(self) -> None:
        """Send until nothing waits."""
        backoff = Backoff(_FIRST_WAIT, _LONGEST_WAIT)
        waiting = self._waiting
        try:
            while batch := self._batch():
                outcomes = await self._send(batch)
                if self._closed:
                    return
                for outcome in outcomes:
                    waiting.popleft().settle(outcome)
                if outcomes:
                    backoff.reset()
                if len(outcomes) < len(batch):
                    await asyncio.sleep(backoff.next())
        finally:
            self._task = None

    def _batch(self) -> list[_Waiting]:
        waiting = self._waiting
        while waiting and not waiting[0].is_wanted:
            waiting.popleft()
        return list(islice(waiting, _TOGETHER))

    async def _send(self, batch: Sequence[_Waiting]) -> Sequence[Exception | None]:
        try:
            return await self._calls.run(self._send_now, batch)
        except Exception as error:  # noqa: BLE001 - whoever waits must learn of it
            return [error] * len(batch)

    def _send_now(self, batch: Sequence[_Waiting]) -> list[KernelError | None]:
        """Send in the thread; return how it went with each, as far as the first "not now"."""
        outcomes: list[KernelError | None] = []
        for waiting in batch:
            error = None
            try:
                if waiting.is_wanted:
                    self._send_one(waiting)
            except BlockingIOError:
                waiting.refusal = "EAGAIN"
                break
            except KernelError as caught:
                if caught.symbol in NOT_NOW:
                    waiting.refusal = caught.symbol
                    break
                error = caught.with_traceback(None)
            outcomes.append(error)
        return outcomes

    def _send_one(self, waiting: _Waiting) -> None:
        if self._piece is None:
            self._sock.send(waiting.data)
            return
        # A piece at a time, so that a refusal leaves no doubt about what was taken before it.
        data, piece = waiting.data, self._piece
        while True:
            waiting.sent += self._sock.send(data[waiting.sent : waiting.sent + piece])
            if waiting.sent >= len(data):
                return


def _closed() -> KernelError:
    return KernelError("send", "EBADF", "the channel is closed")

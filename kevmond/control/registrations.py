"""News of controls that are registered and deregistered, from the kernel's own events.

Mirrors KEV_CTL_REGISTERED and KEV_CTL_DEREGISTERED (sys/kern_control.h; ctl_register() of
bsd/kern/kern_control.c).  They tell a number, never a name, and may come later than the fact.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from kevmond.backoff import Backoff
from kevmond.errors import KernelError
from kevmond.kernel import abi, control_abi
from kevmond.kernel.base import EndOfEvents, KernelFilter

if TYPE_CHECKING:
    from collections.abc import Callable

    from kevmond.kernel.base import EventSocket, Kernel

_WANTED: Final = KernelFilter(
    abi.KEV_VENDOR_APPLE, control_abi.KEV_SYSTEM_CLASS, control_abi.KEV_CTL_SUBCLASS
)
_BATCH: Final = 64
"""Most events read before other work gets its turn."""
_FIRST_WAIT: Final = 0.2
_LONGEST_WAIT: Final = 30.0
"""Seconds, upper bounds of the waits before a failed socket is opened again."""


class News(NamedTuple):
    """A control came or went."""

    registered: bool
    control_id: int


class Registrations:
    """One event socket for whoever wants to know; opened by `start`, closed by `stop`.

    What happens after `start` is told.  Events may be dropped all the same, so whoever depends on
    one looks now and then, too.
    """

    def __init__(self, kernel: Kernel, log: Any) -> None:
        self._kernel = kernel
        self._log = log
        self._listeners: dict[object, Callable[[News | None], None]] = {}
        self._sock: EventSocket | None = None
        self._watched = -1
        self._buffer = memoryview(bytearray(abi.READ_SIZE))
        self._reopening: asyncio.Task[None] | None = None
        self._started = False

    def listen(self, listener: Callable[[News | None], None]) -> Callable[[], None]:
        """Call `listener` with all news, and with None when some may have been missed.

        Returns what ends that.
        """
        key = object()
        self._listeners[key] = listener

        def leave() -> None:
            self._listeners.pop(key, None)

        return leave

    def start(self) -> None:
        """Begin; a socket that cannot be opened now is opened when it can be."""
        if not self._started:
            self._started = True
            try:
                self._open()
            except KernelError as error:
                self._failed(error)

    async def stop(self) -> None:
        """Let go of everything; `start` begins anew."""
        self._started = False
        self._close()
        task, self._reopening = self._reopening, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})

    def _open(self) -> None:
        sock = self._kernel.open_event_socket(abi.KEV_RECVSPACE)
        try:
            sock.set_filter(_WANTED)
            self._watched = sock.fileno()
            asyncio.get_running_loop().add_reader(self._watched, self._readable)
        except BaseException:
            self._watched = -1
            sock.close()
            raise
        self._sock = sock

    def _close(self) -> None:
        if self._watched >= 0:
            asyncio.get_running_loop().remove_reader(self._watched)
            self._watched = -1
        if self._sock is not None:
            self._sock.close()
            self._sock = None

    def _readable(self) -> None:
        try:
            for _ in range(_BATCH):
                if self._sock is None:  # a listener ended it all
                    return
                size = self._sock.recv_into(self._buffer)
                news = _news(bytes(self._buffer[:size]))
                if news is not None:
                    self._tell(news)
        except BlockingIOError:
            pass
        except EndOfEvents:  # a recording: nothing will ever be registered
            self._close()
        except KernelError as error:
            self._failed(error)

    def _failed(self, error: KernelError) -> None:
        self._close()
        self._log.warning(
            "the event socket for registrations failed", call=error.call, errno=error.symbol
        )
        if self._reopening is None:
            self._reopening = asyncio.get_running_loop().create_task(
                self._reopen(), name="registrations"
            )

    async def _reopen(self) -> None:
        backoff = Backoff(_FIRST_WAIT, _LONGEST_WAIT)
        while self._sock is None:
            await asyncio.sleep(backoff.next())
            try:
                self._open()
            except Exception as error:  # noqa: BLE001 - whatever fails, it is tried again
                self._log.debug("no event socket for registrations yet", error=str(error))
        self._reopening = None
        self._tell(None)

    def _tell(self, news: News | None) -> None:
        for listener in list(self._listeners.values()):
            listener(news)


def _news(raw: bytes) -> News | None:
    """Read an event; None for what is no such event."""
    body = raw[abi.HEADER.size :]
    if len(raw) < abi.HEADER.size or len(body) < control_abi.CTL_EVENT_DATA.size:
        return None
    _, vendor, kev_class, subclass, _, code = abi.HEADER.unpack_from(raw)
    if not _WANTED.matches(vendor, kev_class, subclass):
        return None
    if code not in {control_abi.KEV_CTL_REGISTERED, control_abi.KEV_CTL_DEREGISTERED}:
        return None
    control_id, _unit = control_abi.CTL_EVENT_DATA.unpack_from(body)
    return News(code == control_abi.KEV_CTL_REGISTERED, control_id)

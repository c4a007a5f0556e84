"""An event socket of a simulated kernel, for readers in the same process."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from kevmond.errors import KernelError, KernelGone
from kevmond.kernel import abi
from kevmond.kernel.receive_space import raise_receive_space
from kevmond.kernel.simulated.event_pcb import EventPcb
from kevmond.kernel.simulated.readiness import Readiness

if TYPE_CHECKING:
    from kevmond.kernel.base import KernelFilter
    from kevmond.kernel.simulated.model import SimulatedKernel


class SimulatedEventSocket:
    """See `EventSocket`; also the `Reader` of its own queue.

    `fileno()` is readable exactly while messages wait, and from the end on.
    """

    def __init__(self, kernel: SimulatedKernel, receive_space: int) -> None:
        self._kernel = kernel
        self._pcb = EventPcb(kernel.sockbuf_rules, self, os.getpid())
        self._queue = self._pcb.queue
        self._sockbuf = self._pcb.sockbuf
        self._ready = Readiness()
        self._gone = False
        self._closed = False
        self._fault: str | None = None
        raise_receive_space(self.set_receive_space, receive_space, lambda: kernel.sb_max)
        kernel.attach(self._pcb)

    @property
    def receive_space(self) -> int:
        """See `EventSocket.receive_space`."""
        return self._sockbuf.hiwat

    def set_receive_space(self, size: int) -> None:
        """SO_RCVBUF: KernelError EINVAL below 1, ENOBUFS above what the kernel grants."""
        self._sockbuf.reserve(size)

    def fileno(self) -> int:
        """See `EventSocket.fileno`; -1 when closed."""
        return -1 if self._closed else self._ready.fileno()

    def recv_into(self, buffer: memoryview) -> int:
        """See `EventSocket.recv_into`; an empty `buffer` reads 0 and discards a waiting message."""
        if self._fault is not None:
            self._raise_fault()
        if not self._queue:
            return self._nothing(buffer)
        message = self._queue.popleft()
        size = len(message)
        self._sockbuf.release(size)
        if not self._queue:
            self._ready.lower()
        if size > len(buffer):
            size = len(buffer)
            message = message[:size]
        buffer[:size] = message
        return size

    def set_filter(self, kernel_filter: KernelFilter) -> None:
        """See `EventSocket.set_filter`."""
        self._check("SIOCSKEVFILT")
        self._pcb.kernel_filter = kernel_filter

    def get_filter(self) -> KernelFilter:
        """See `EventSocket.get_filter`; vendor 0xffffffff before a filter is set."""
        self._check("SIOCGKEVFILT")
        return self._pcb.kernel_filter

    def last_event_id(self) -> int:
        """See `EventSocket.last_event_id`."""
        self._check("SIOCGKEVID")
        return self._kernel.last_id

    def vendor_code(self, name: str) -> int:
        """See `EventSocket.vendor_code`; names end at 199 bytes, so a longer one is unknown."""
        call = f"SIOCGKEVVENDOR {name!r}"
        self._check(call)
        text = name.encode()
        if len(text) > abi.VENDOR_NAME_MAX or b"\0" in text:
            raise KernelError(call, "ENOENT")
        return self._kernel.vendor_code(text)

    def recorded_ns(self) -> int | None:
        """Tell None: a live kernel stamps nothing."""
        return None

    def dropped(self) -> int | None:
        """See `EventSocket.dropped`."""
        return None if self._closed else self._pcb.dropped

    def close(self) -> None:
        """See `EventSocket.close`."""
        if self._closed:
            return
        self._closed = True
        self._kernel.detach(self._pcb)
        self._queue.clear()
        self._ready.close()

    def fail_next_read(self, symbol: str) -> None:
        """Make the next `recv_into` fail with this errno name; for tests of what a reader does."""
        self._fault = symbol

    def arrived(self) -> None:
        """See `Reader.arrived`."""
        self._ready.raise_()

    def settle(self) -> None:
        """See `Reader.settle`: space is released as messages are read, so nothing is owed."""

    def gone(self) -> None:
        """See `Reader.gone`: the descriptor turns readable, and reading tells KernelGone."""
        self._gone = True
        self._queue.clear()
        self._ready.raise_()

    def _raise_fault(self) -> None:
        symbol, self._fault = self._fault, None
        if symbol in {"EAGAIN", "EWOULDBLOCK"}:
            raise BlockingIOError
        raise KernelError("recv", symbol or "EIO")

    def _nothing(self, buffer: memoryview) -> int:
        """Tell why there is no message, or read none of nothing as the kernel does."""
        self._check("recv")
        if len(buffer):
            raise BlockingIOError
        return 0

    def _check(self, call: str) -> None:
        if self._closed:
            raise KernelError(call, "EBADF", "the socket is closed")
        if self._gone:
            raise KernelGone(call, "ECONNRESET", "the simulated kernel rebooted")

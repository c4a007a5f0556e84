"""The kernel's side of an event socket: its filter, its queue, its counters.

Mirrors struct kern_event_pcb of bsd/sys/kern_event.h and the socket's so_rcv.  Who reads the queue,
an object in this process or another process, is behind `Reader`.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol

from kevmond.kernel import abi
from kevmond.kernel.base import KernelFilter
from kevmond.kernel.simulated.sockbuf import Sockbuf, SockbufRules


class Reader(Protocol):
    """Who takes the messages out of a queue."""

    def arrived(self) -> None:
        """Learn that the queue, empty until now, holds a message."""
        ...

    def settle(self) -> None:
        """Release the space of whatever was read and is still charged; called before a drop."""
        ...

    def gone(self) -> None:
        """Learn that the kernel went away."""
        ...


class EventPcb:
    """One event socket, as the kernel sees it.

    `queue` holds what the reader has not taken; the reader releases the space in `sockbuf`.
    """

    __slots__ = ("dropped", "dropped_bytes", "kernel_filter", "pid", "queue", "reader", "sockbuf")

    def __init__(self, rules: SockbufRules, reader: Reader, pid: int) -> None:
        self.sockbuf = Sockbuf(rules, abi.KEV_RECVSPACE)
        self.kernel_filter = KernelFilter(vendor=abi.KEV_VENDOR_NONE)
        self.queue: deque[bytes] = deque()
        self.reader = reader
        self.pid = pid
        self.dropped = 0
        """Messages that found no space."""
        self.dropped_bytes = 0

    def offer(self, message: bytes) -> bool:
        """Queue `message` if there is space, else count it as dropped and tell False."""
        size = len(message)
        sockbuf = self.sockbuf
        if not sockbuf.fits(size):
            self.reader.settle()
            if not sockbuf.fits(size):
                self.dropped += 1
                self.dropped_bytes += size
                return False
        sockbuf.charge(size)
        self.queue.append(message)
        if len(self.queue) == 1:
            self.reader.arrived()
        return True

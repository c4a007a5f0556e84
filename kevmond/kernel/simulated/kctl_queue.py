"""What a control queues for one client, and how it joins and fills up.

Mirrors sbappend(), sbspace() and ctl_enqueuedata() of bsd/kern as measured: data that is enqueued
without CTL_DATA_EOR joins what comes next; a full queue refuses.  Who reads is behind
`ControlReader`.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, Protocol

from kevmond.errors import KernelError
from kevmond.kernel.control_abi import EnqueueFlag

if TYPE_CHECKING:
    from kevmond.kernel.simulated.sockbuf import SockbufRules


class ControlReader(Protocol):
    """Who takes records out of a queue."""

    def arrived(self) -> None:
        """Learn that the queue holds something; it may have been known before."""
        ...

    def settle(self) -> None:
        """Tell the socket, by `release`, of whatever was read and is still charged."""
        ...

    def take_back(self) -> None:
        """Put every record that was passed on and is not yet read back, first, into the queue."""
        ...

    def ended(self) -> None:
        """Learn that reading has ended: what was passed on is void, and b"" is all there is."""
        ...

    def gone(self) -> None:
        """Learn that the kernel went away."""
        ...


_CLUSTER: Final = 2048
_BIG_CLUSTER: Final = 4096
_PLAIN: Final = 224
"""Bytes that one mbuf holds without a cluster."""


class ReceiveQueue:
    """The receive buffer of a control socket.

    `queue` holds the records that the reader has not taken; what it read it tells by `release`.
    """

    __slots__ = (
        "_mbcnt", "_reader", "_rules", "_stream", "_tail_open", "_unread", "bytes", "hiwat",
        "queue", "shut",
    )  # fmt: skip

    def __init__(self, reader: ControlReader, rules: SockbufRules, *, stream: bool) -> None:
        self._reader = reader
        self._rules = rules
        self._stream = stream
        self.queue: deque[bytes] = deque()
        self.hiwat = 0
        """Most bytes (SO_RCVBUF)."""
        self.bytes = 0
        """Bytes that were not read yet."""
        self.shut = False
        """Whether reading has ended."""
        self._unread: deque[int] = deque()
        """Sizes of the records that were not read yet, passed on or not."""
        self._mbcnt = 0
        """Memory that they take."""
        self._tail_open = False

    def begin(self, hiwat: int) -> None:
        """Take up service for a connection."""
        self.hiwat = hiwat
        self.shut = False

    @property
    def count(self) -> int:
        """Records that were not read yet."""
        return len(self._unread)

    @property
    def next_size(self) -> int:
        """Bytes of the record that is next to be read; of a stream, of all."""
        if self._stream:
            return self.bytes
        return self._unread[0] if self._unread else 0

    def settle(self) -> None:
        """Take note of whatever was read."""
        self._reader.settle()

    def space(self) -> int:
        """Bytes that may be queued.

        Data counts with its own bytes and with the mbufs it lies in: of 8192 bytes, 256 messages of
        one byte leave nothing.  Newer kernels count the mbufs of streams only.
        """
        self.settle()
        rules = self._rules
        free = self.hiwat - self.bytes
        if rules.clamp and not self._stream:
            return free
        return min(free, max(0, rules.mbmax(self.hiwat) - self._mbcnt))

    def enqueue(self, data: bytes, flags: int) -> None:
        """Queue data for the reader, or raise KernelError ENOBUFS.

        No data is no message, but may end one that is open.
        """
        if self.shut or len(data) > self.space():
            raise KernelError("ctl_enqueuedata", "ENOBUFS")
        if not data:
            self._tail_open = self._tail_open and not flags & EnqueueFlag.EOR
            return
        joins = self._tail_open and bool(self._unread)
        if joins:
            self._take_back()
        if joins and self.queue:
            self._mbcnt -= self._mbufs(self._unread.pop())
            self.queue[-1] += data
        else:
            self.queue.append(data)
        self._unread.append(len(self.queue[-1]))
        self._mbcnt += self._mbufs(self._unread[-1])
        self.bytes += len(data)
        self._tail_open = not flags & EnqueueFlag.EOR
        self._reader.arrived()

    def release(self, size: int) -> None:
        """Take note that the reader read `size` bytes: of one record, or of a stream's next."""
        self.bytes -= size
        if not self._stream:
            self._mbcnt -= self._mbufs(self._unread.popleft())
            return
        while size:
            record = self._unread.popleft()
            self._mbcnt -= self._mbufs(record)
            if record > size:
                self._unread.appendleft(record - size)
                self._mbcnt += self._mbufs(record - size)
            size -= min(size, record)

    def end(self) -> None:
        """End reading: what is queued is void."""
        self.shut = True
        self.flush()
        self._reader.ended()

    def flush(self) -> None:
        """Forget what is queued."""
        self.queue.clear()
        self._unread.clear()
        self.bytes = self._mbcnt = 0
        self._tail_open = False

    def _take_back(self) -> None:
        """Have all that is unread in `queue` again; what was read meanwhile is gone from there."""
        self._reader.take_back()
        self._unread = deque(map(len, self.queue))
        self.bytes = sum(self._unread)
        self._mbcnt = sum(map(self._mbufs, self._unread))

    def _mbufs(self, size: int) -> int:
        """Memory that a message of `size` bytes takes, as sballoc() charges it."""
        mbuf_size = self._rules.mbuf_size
        if size <= _PLAIN:
            return mbuf_size
        if size <= _CLUSTER:
            return mbuf_size + _CLUSTER
        return -(-size // _BIG_CLUSTER) * (mbuf_size + _BIG_CLUSTER)

"""A kernel whose events come from a recording.

Behaves as an event socket does (bsd/kern/kern_event.c): nothing before the filter is set, the
filter decides as a message is posted, SIOCGKEVID tells the last id posted.  Messages are posted
as fast as they are read or, given a speed, at the recorded times.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import threading
import uuid
from collections import deque
from typing import TYPE_CHECKING, Final, NoReturn

from kevmond.clock import Clock, SystemClock
from kevmond.errors import KernelError, KernelGone
from kevmond.kernel import abi
from kevmond.kernel.base import EndOfEvents, KernelFilter, KernelIdentity, KernelStatistics
from kevmond.kernel.recording import Recorded, read_recording

if TYPE_CHECKING:
    from collections.abc import Sequence

_NO_CONTROLS: Final = (
    "a recording has events and no controls: use --kernel darwin, simulated or simulated:PATH"
)
_NAMESPACE: Final = uuid.UUID("6f1c3a52-8f0e-5d4b-9a55-1f6b7d0c2e91")


class ReplayKernel:
    """Kernel made of a recording, which is read whole (about 300 bytes of memory a message).

    `speed` 1 keeps the recorded pace, 10 is ten times as fast, None (default) does not wait.
    Where the recording goes on after another boot, sockets end with KernelGone, as those of a
    machine that restarts would, and a socket opened then delivers the next boot.  Raises
    RecordingError if the file cannot be read or has a malformed line.
    """

    name = "replay"

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        speed: float | None = None,
        clock: Clock | None = None,
    ) -> None:
        if speed is not None and speed <= 0:
            raise ValueError(f"speed must be above 0, not {speed}")
        self.boots = _boots(list(read_recording(path)))
        """Boot sessions in order: boot id, messages."""
        self.boot = 0
        """Which of them is being replayed."""
        self.speed = speed
        self.clock = clock or SystemClock()

    def identity(self) -> KernelIdentity:
        """Boot and release as recorded; the host, which is not recorded, is this machine."""
        boot_id, messages = self.boots[self.boot]
        first = messages[0] if messages else Recorded(b"")
        return KernelIdentity(
            boot_id=boot_id,
            host=os.uname().nodename,
            os_release=first.os_release or "",
            os_build=first.os_build or "",
        )

    def open_event_socket(self, receive_space: int) -> ReplaySocket:
        """Open a socket on the boot being replayed; any space is granted: nothing is dropped."""
        return ReplaySocket(self, self.boot, receive_space)

    def statistics(self) -> KernelStatistics | None:
        """None: the kernel's counters are not recorded."""
        return None

    def open_control_socket(self, *, stream: bool = False) -> NoReturn:
        """Raise EPROTONOSUPPORT: a recording has events only."""
        del stream
        raise KernelError("socket(SYSPROTO_CONTROL)", "EPROTONOSUPPORT", _NO_CONTROLS)

    def controls(self) -> NoReturn:
        """Raise EPROTONOSUPPORT, as `open_control_socket` does."""
        raise KernelError("list of controls", "EPROTONOSUPPORT", _NO_CONTROLS)

    def control_statistics(self) -> None:
        """None: the counters of controls are not recorded either."""


def _boots(messages: Sequence[Recorded]) -> list[tuple[str, list[Recorded]]]:
    """Messages by boot session; one without a boot id belongs to that of its neighbours.

    Where no message tells a boot id, one is made of the bytes, so that every replay names the
    same events the same.
    """
    boot_id = next((message.boot_id for message in messages if message.boot_id), None)
    if boot_id is None:
        digest = hashlib.sha256()
        for message in messages:
            digest.update(len(message.raw).to_bytes(4, "little") + message.raw)
        boot_id = str(uuid.uuid5(_NAMESPACE, digest.hexdigest()))
    boots: list[tuple[str, list[Recorded]]] = [(boot_id, [])]
    for message in messages:
        if message.boot_id and message.boot_id != boots[-1][0]:
            boots.append((message.boot_id, []))
        boots[-1][1].append(message)
    return boots


class ReplaySocket:
    """Event socket of a `ReplayKernel`; see `kevmond.kernel.base.EventSocket`."""

    def __init__(self, kernel: ReplayKernel, boot: int, receive_space: int) -> None:
        self._kernel = kernel
        self._boot = boot
        self._messages = kernel.boots[boot][1]
        self._receive_space = receive_space
        self._filter: KernelFilter | None = None
        self._next = 0
        self._queue: deque[Recorded] = deque()
        self._last_id = 0
        self._recorded_ns: int | None = None
        self._closed = False
        self._readable = _Readable()
        self._pace = _Pace(kernel.speed, kernel.clock) if kernel.speed else None

    @property
    def receive_space(self) -> int:
        """What was asked for: a replay has no buffer that could overflow."""
        return self._receive_space

    def fileno(self) -> int:
        """File descriptor that is readable while `recv_into` has something to say."""
        return self._readable.fileno()

    def recv_into(self, buffer: memoryview) -> int:
        """See `EventSocket.recv_into`; KernelGone where the recording goes on in another boot."""
        if self._closed:
            raise KernelError("recv", "EBADF", "the socket is closed")
        if self._filter is None:
            raise BlockingIOError
        self._post()
        if self._queue:
            message = self._queue.popleft()
            self._recorded_ns = message.wall_ns
            size = min(len(message.raw), len(buffer))
            buffer[:size] = message.raw[:size]
            return size
        if self._pace is not None and self._next < len(self._messages):
            self._readable.set_after(self._pace.wait_s(self._messages[self._next]))
            raise BlockingIOError
        if self._boot + 1 < len(self._kernel.boots):
            self._kernel.boot = max(self._kernel.boot, self._boot + 1)
            raise KernelGone("recv", "ENXIO", "the recording goes on after a new boot")
        raise EndOfEvents

    def _post(self) -> None:
        """Post what is due: at a pace, all whose time has come; else up to one for this socket."""
        while self._next < len(self._messages):
            message = self._messages[self._next]
            if self._queue if self._pace is None else self._pace.wait_s(message) > 0:
                return
            self._next += 1
            if len(message.raw) < abi.KEV_MSG_HEADER_SIZE:
                passes = self._filter is not None and self._filter.is_open
            else:
                _, vendor, kev_class, subclass, kernel_id, _ = abi.HEADER.unpack_from(message.raw)
                self._last_id = kernel_id
                passes = self._filter is not None and self._filter.matches(
                    vendor, kev_class, subclass
                )
            if passes:
                self._queue.append(message)

    def set_filter(self, kernel_filter: KernelFilter) -> None:
        """Begin the replay, or change what is delivered of the rest."""
        if self._filter is None and self._pace is not None:
            self._pace.start()
        self._filter = kernel_filter
        self._readable.set_after(0)

    def get_filter(self) -> KernelFilter:
        """Return the filter; before it is set, one that nothing passes."""
        return self._filter or KernelFilter(vendor=abi.KEV_VENDOR_NONE)

    def last_event_id(self) -> int:
        """Id of the last message posted so far, whether it passed the filter or not."""
        if self._pace is not None and self._filter is not None:
            self._post()
        return self._last_id

    def vendor_code(self, name: str) -> int:
        """Raise ENOENT: names of vendors are not recorded."""
        raise KernelError("SIOCGKEVVENDOR", "ENOENT", f"a recording does not know vendor {name!r}")

    def recorded_ns(self) -> int | None:
        """When the message last read was recorded."""
        return self._recorded_ns

    def dropped(self) -> int | None:
        """Return 0: a replay drops nothing."""
        return 0

    def close(self) -> None:
        """See `EventSocket.close`."""
        self._closed = True
        self._readable.close()


class _Pace:
    """Turns recorded times into waits."""

    def __init__(self, speed: float, clock: Clock) -> None:
        self._speed = speed
        self._clock = clock
        self._started_ns = 0
        self._first_ns: int | None = None

    def start(self) -> None:
        self._started_ns = self._clock.monotonic_ns()

    def wait_s(self, message: Recorded) -> float:
        """Seconds until the message is due; 0 if it is, or if its time is not known."""
        if message.wall_ns is None:
            return 0.0
        if self._first_ns is None:
            self._first_ns = message.wall_ns
        due_ns = self._started_ns + (message.wall_ns - self._first_ns) / self._speed
        return max(0.0, (due_ns - self._clock.monotonic_ns()) / 1e9)


class _Readable:
    """A file descriptor that becomes readable now or later, with a timer when needed.

    A pair of sockets: libuv does not watch a pipe on macOS.
    """

    def __init__(self) -> None:
        self._read, self._write = socket.socketpair()
        self._read.setblocking(False)
        self._write.setblocking(False)
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None

    def fileno(self) -> int:
        return self._read.fileno()

    def set_after(self, seconds: float) -> None:
        """Be unreadable for `seconds`, then readable; 0 is at once."""
        with self._lock:
            self._stop_timer()
            with contextlib.suppress(BlockingIOError):
                self._read.recv(64)
            if seconds > 0:
                self._timer = threading.Timer(seconds, self._ring)
                self._timer.daemon = True
                self._timer.start()
            else:
                self._write.send(b"\0")

    def _ring(self) -> None:
        with self._lock:
            if threading.current_thread() is self._timer:
                self._write.send(b"\0")

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def close(self) -> None:
        with self._lock:
            self._stop_timer()
            self._read.close()
            self._write.close()

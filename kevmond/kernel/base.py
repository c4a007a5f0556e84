"""What kevmond asks of a kernel: small Protocols, and the plain values that cross them.

Three kernels answer: `darwin` (PF_SYSTEM), `simulated` (XNU's measured semantics) and `replay`
(a recording).  Nothing here knows asyncio or pydantic.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from kevmond.kernel import abi
from kevmond.kernel.control_base import ControlKernel


@dataclass(frozen=True, slots=True)
class KernelFilter:
    """What an event socket is sent (struct kev_request, sys/kern_event.h).

    0 is a wildcard, and wildcards nest: vendor 0 ignores class and subclass, class 0 ignores
    subclass.  "Any vendor, one class" cannot be said.
    """

    vendor: int = abi.KEV_ANY
    kev_class: int = abi.KEV_ANY
    subclass: int = abi.KEV_ANY

    @property
    def is_open(self) -> bool:
        """True if every event passes; only then does a gap in the ids mean a loss."""
        return self.vendor == abi.KEV_ANY

    def matches(self, vendor: int, kev_class: int, subclass: int) -> bool:
        """Tell whether the kernel would deliver an event with these codes."""
        if self.vendor == abi.KEV_ANY:
            return True
        if self.vendor != vendor:
            return False
        if self.kev_class == abi.KEV_ANY:
            return True
        if self.kev_class != kev_class:
            return False
        return self.subclass in (abi.KEV_ANY, subclass)


@dataclass(frozen=True, slots=True)
class KernelStatistics:
    """System-wide counters of the event subsystem (struct kevtstat, net.systm.kevt.stats)."""

    pcbcount: int
    gencnt: int
    badvendor: int
    toobig: int
    nomem: int
    fullsock: int
    posted: int


@dataclass(frozen=True, slots=True)
class KernelIdentity:
    """Which boot of which system the events come from."""

    boot_id: str
    """UUID of the boot session, lower case (sysctl kern.bootsessionuuid)."""

    host: str
    os_release: str = ""
    """Darwin release such as "24.4.0" (kern.osrelease); "" if unknown."""

    os_build: str = ""
    """OS build such as "24E248" (kern.osversion); "" if unknown."""


class EventSocket(Protocol):
    """An open, non-blocking event socket."""

    @property
    def receive_space(self) -> int:
        """Receive buffer that the kernel granted, bytes (SO_RCVBUF read back)."""
        ...

    def fileno(self) -> int:
        """File descriptor that is readable while a message waits."""
        ...

    def recv_into(self, buffer: memoryview) -> int:
        """Read one message into `buffer` and return its length.

        Raises BlockingIOError when none waits, `EndOfEvents` when there will be no more, and
        KernelError otherwise.  A message longer than the buffer is cut by the kernel, silently.
        """
        ...

    def set_filter(self, kernel_filter: KernelFilter) -> None:
        """SIOCSKEVFILT: begin (or change) delivery.  Queued messages stay queued."""
        ...

    def get_filter(self) -> KernelFilter:
        """SIOCGKEVFILT."""
        ...

    def last_event_id(self) -> int:
        """SIOCGKEVID: id (u32) of the last event the kernel posted to anybody; 0 if none."""
        ...

    def vendor_code(self, name: str) -> int:
        """SIOCGKEVVENDOR: code of a vendor string; KernelError ENOENT if no kext asked for it."""
        ...

    def recorded_ns(self) -> int | None:
        """Wall-clock ns at which the message last read was first seen, if the source tells it.

        A recording does; a live kernel does not (None): its reader stamps messages itself.
        """
        ...

    def dropped(self) -> int | None:
        """Messages the kernel could not queue on this very socket; None if it cannot be told."""
        ...

    def close(self) -> None:
        """Close the socket; closing twice is harmless."""
        ...


class Kernel(ControlKernel, Protocol):
    """A kernel that has events to tell, and controls to connect to."""

    name: str
    """Word for logs: "darwin", "simulated", "replay"."""

    def identity(self) -> KernelIdentity:
        """Boot session, host and system release."""
        ...

    def open_event_socket(self, receive_space: int) -> EventSocket:
        """Open a socket whose receive buffer is as near `receive_space` bytes as is granted.

        Nothing is delivered before `set_filter`.
        """
        ...

    def statistics(self) -> KernelStatistics | None:
        """System-wide counters, or None where they cannot be read."""
        ...


class EndOfEvents(Exception):  # noqa: N818 - an end, not an error
    """A source with an end (a recording) has reached it."""

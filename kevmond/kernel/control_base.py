"""What kevmond asks of a kernel's controls (SYSPROTO_CONTROL, sys/kern_control.h).

A kernel control is a service of the kernel, or of a kernel extension, that programs connect to by
number; its name is looked up.  Every call runs the control's handler in the caller's thread and
takes as long as that does: whoever has an event loop calls from another thread.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from kevmond.kernel.control_abi import ControlFlag


@dataclass(frozen=True, slots=True)
class ControlAddress:
    """Where a control socket connects to (struct sockaddr_ctl)."""

    control_id: int
    unit: int = 0
    """Unit; 0 lets the kernel choose the lowest free one from 1."""


@dataclass(frozen=True, slots=True)
class ControlClient:
    """A socket attached to a control."""

    unit: int
    pid: int | None = None
    """Process that last used the socket; None where this kernel does not say."""
    uid: int | None = None


@dataclass(frozen=True, slots=True)
class ControlInfo:
    """A registered control, as the system lists it (struct xkctl_reg, xkctlpcb)."""

    control_id: int
    name: str
    flags: ControlFlag
    reg_unit: int | None
    """The one unit of a control with a static id; None for any unit."""
    send_space: int
    """Longest message it takes by default, bytes."""
    receive_space: int
    """What it queues for a client by default, bytes."""
    handlers: frozenset[str] = frozenset()
    """Which it has, of: connect, disconnect, send, send_list, setopt, getopt, rcvd."""
    client_count: int = 0
    """Sockets attached; the kernel's own count."""
    clients: tuple[ControlClient, ...] = field(default=())
    """Those sockets, as far as this kernel tells of them."""

    @property
    def is_stream(self) -> bool:
        """True if a SOCK_STREAM socket is wanted, False for SOCK_DGRAM."""
        return ControlFlag.REG_SOCK_STREAM in self.flags

    @property
    def is_privileged(self) -> bool:
        """True if only root may connect."""
        return ControlFlag.PRIVILEGED in self.flags


@dataclass(frozen=True, slots=True)
class ControlStatistics:
    """System-wide counters of kernel controls (struct kctlstat, net.systm.kctl.stats)."""

    reg_total: int
    reg_count: int
    pcbcount: int
    gencnt: int
    connections: int
    conn_fail: int
    send_fail: int
    send_list_fail: int
    enqueue_fail: int
    enqueue_fullsock: int
    bad_kctlref: int
    tbl_size_too_big: int
    enqdata_mb_alloc_fail: int
    enqdata_sbappend_fail: int


class ControlSocket(Protocol):
    """A control socket: non-blocking to read, and synchronous in everything else.

    Errors are KernelError with Darwin's errno name.  After a failed `connect` a socket is not to
    be used again: some failures leave it half dead (bsd/kern/kern_control.c, ctl_connect).
    """

    @property
    def stream(self) -> bool:
        """Whether it is a SOCK_STREAM socket."""
        ...

    def fileno(self) -> int:
        """File descriptor that is readable while something waits; -1 when closed."""
        ...

    def lookup(self, name: str) -> int:
        """CTLIOCGINFO: id of the control of this name.

        ENOENT if there is none, EINVAL for a name that none can have ("", over 95 bytes, a NUL).
        """
        ...

    def count(self) -> int:
        """CTLIOCGCOUNT: number of registered controls."""
        ...

    def bind(self, address: ControlAddress) -> None:
        """Attach without connecting; only Apple's utun and ipsec controls mean it (EINVAL)."""
        ...

    def connect(self, address: ControlAddress) -> None:
        """Connect.

        ENOENT no such control, EPROTOTYPE wrong socket type, EPERM not root, EBUSY unit taken, or
        whatever the control's own handler says.
        """
        ...

    def peer(self) -> ControlAddress:
        """Address connected to: ENOTCONN before, EINVAL once the socket is dead."""
        ...

    def send(self, data: bytes) -> int:
        """Hand `data` to the control's handler and return how much it took.

        EMSGSIZE above `send_space` (SOCK_DGRAM), ENOTSUP if the control takes none, or whatever
        its handler says.  A control socket is always writable: waiting for that is of no use.
        """
        ...

    def receive(self, size: int) -> bytes:
        """Read one message (SOCK_STREAM: what there is), at most `size` bytes.

        The rest of a longer message is lost.  BlockingIOError when nothing waits; b"" for a dead
        socket or an empty message, which `peer` tells apart.
        """
        ...

    def next_size(self) -> int:
        """SO_NREAD: bytes of the message that is next to be read; 0 if none waits."""
        ...

    def set_option(self, option: int, value: bytes | None) -> None:
        """Set an option of the control (level SYSPROTO_CONTROL), of any length.

        None passes a NULL pointer and length 0.  EINVAL unless connected, ENOTSUP without a
        handler, or whatever that says.
        """
        ...

    def get_option(self, option: int, size: int, request: bytes = b"") -> bytes:
        """Read an option into a buffer of `size` bytes, 1 to 64 MiB; shorter if the handler says.

        The handler is shown the buffer first: `request`, then zeros.
        """
        ...

    def option_size(self, option: int) -> int:
        """Ask for an option's length with no buffer at all, which not every handler answers."""
        ...

    @property
    def send_space(self) -> int:
        """SO_SNDBUF, bytes; 0 before `connect`, which sets it to the control's own."""
        ...

    @property
    def receive_space(self) -> int:
        """SO_RCVBUF, bytes; 0 before `connect`, which sets it to the control's own."""
        ...

    def set_send_space(self, size: int) -> None:
        """SO_SNDBUF; only after `connect` does it last."""
        ...

    def set_receive_space(self, size: int) -> None:
        """SO_RCVBUF; only after `connect` does it last."""
        ...

    def shutdown(self, how: int) -> None:
        """SHUT_RD ends reading; the others say EOPNOTSUPP, SHUT_RDWR having ended reading."""
        ...

    def close(self) -> None:
        """Close the socket: the control's disconnect handler runs.  Twice is harmless."""
        ...


class ControlKernel(Protocol):
    """A kernel that has controls."""

    name: str

    def open_control_socket(self, *, stream: bool = False) -> ControlSocket:
        """Open a socket, connected to nothing yet.  Anybody may."""
        ...

    def controls(self) -> list[ControlInfo]:
        """All registered controls by id, with who is connected (net.systm.kctl.reg_list, pcblist).

        KernelError where the list cannot be read.
        """
        ...

    def control_statistics(self) -> ControlStatistics | None:
        """System-wide counters, or None where they cannot be read."""
        ...

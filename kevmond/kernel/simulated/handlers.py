"""A control's functions, as the kernel calls them (struct kern_ctl_reg of sys/kern_control.h).

They are coroutines, because a kernel extension that another process hosts answers later.  One that
is written in Python never suspends, so that a kernel in this process can be used without an event
loop: `now` runs it to its end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from kevmond.kernel.simulated.kctl_pcb import ControlPcb

T = TypeVar("T")

NEEDS_LOOP: Final = "a hosted control cannot be used without an event loop: serve its kernel"
"""What to tell who asks for a hosted control in this process."""


class Handlers:
    """Base of a control's functions; only those named in `provides` are ever called.

    Each raises KernelError to fail with that errno, which reaches the client as it is.
    """

    provides: ClassVar[frozenset[str]] = frozenset({"connect"})
    """Which there are, of: connect (which every control has), disconnect, send, setopt, getopt, and
    Apple's own setup and bind."""

    suspends: ClassVar[bool] = False
    """Whether they wait for another process, so that they need an event loop."""

    async def setup(self, unit: int) -> int:
        """Choose the unit of a connection that asked for `unit`, or refuse it (ctl_setup)."""
        raise NotImplementedError

    async def bind(self, pcb: ControlPcb, address: bytes) -> None:
        """Take note of a bind (ctl_bind)."""
        raise NotImplementedError

    async def connect(self, pcb: ControlPcb, address: bytes) -> None:
        """Take or refuse a connection; `address` is the sockaddr_ctl with its real unit."""
        raise NotImplementedError

    async def disconnect(self, pcb: ControlPcb) -> None:
        """Let go of a connection, also of one that `connect` refused; errors are ignored."""
        raise NotImplementedError

    async def send(self, pcb: ControlPcb, data: bytes, flags: int) -> None:
        """Take what a client sent."""
        raise NotImplementedError

    async def setopt(self, pcb: ControlPcb, option: int, value: bytes | None) -> None:
        """Set an option; `value` is None where the client gave none."""
        raise NotImplementedError

    async def getopt(
        self, pcb: ControlPcb, option: int, value: bytes | None, size: int
    ) -> tuple[bytes | None, int]:
        """Read an option: the data, and the length that the client is told.

        `value` is the client's buffer as it came, None if it has none (`size` is 0 then).  A length
        above `size` for a buffer makes a kernel panic.
        """
        raise NotImplementedError

    def gone(self) -> None:
        """Learn that the kernel went away, and every control with it."""


def now(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that does not suspend, and return what it returns."""
    try:
        work.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    work.close()
    raise RuntimeError(NEEDS_LOOP)

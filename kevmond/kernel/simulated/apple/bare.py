"""Apple's controls that are there and do nothing: they take a connection, and refuse all else.

What their clients say to them is between Apple's own programs.  Mirrors which functions are
registered in bsd/netinet/flow_divert.c, bsd/net/network_agent.c, bsd/net/content_filter.c,
bsd/net/remote_vif.c and bsd/netinet/mptcp_subr.c.
"""

# ruff: noqa: ARG002 - a control's functions take what the kernel hands them

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from kevmond.errors import KernelError
from kevmond.kernel.simulated.handlers import Handlers

if TYPE_CHECKING:
    from kevmond.kernel.simulated.kctl import ControlTable
    from kevmond.kernel.simulated.kctl_pcb import ControlPcb


class Bare(Handlers):
    """Takes every connection, no data (EINVAL) and no option (ENOPROTOOPT)."""

    provides: ClassVar[frozenset[str]] = frozenset({"connect", "disconnect"})

    def __init__(self, table: ControlTable) -> None:
        self._table = table

    async def connect(self, pcb: ControlPcb, address: bytes) -> None:
        """See `Handlers.connect`."""

    async def disconnect(self, pcb: ControlPcb) -> None:
        """See `Handlers.disconnect`."""

    async def send(self, pcb: ControlPcb, data: bytes, flags: int) -> None:
        """See `Handlers.send`."""
        raise KernelError("send", "EINVAL", "not simulated")

    async def setopt(self, pcb: ControlPcb, option: int, value: bytes | None) -> None:
        """See `Handlers.setopt`."""
        raise KernelError("setsockopt", "ENOPROTOOPT", f"option {option} is not simulated")

    async def getopt(
        self, pcb: ControlPcb, option: int, value: bytes | None, size: int
    ) -> tuple[bytes | None, int]:
        """See `Handlers.getopt`."""
        raise KernelError("getsockopt", "ENOPROTOOPT", f"option {option} is not simulated")


class FlowDivert(Bare):
    """com.apple.flow-divert."""

    provides = frozenset({"connect", "disconnect", "send", "rcvd"})


class Netagent(Bare):
    """com.apple.net.netagent."""

    provides = frozenset({"connect", "disconnect", "send", "setopt", "getopt"})


class ContentFilter(Bare):
    """com.apple.content-filter."""

    provides = frozenset({"connect", "disconnect", "send", "setopt", "getopt", "rcvd"})


class RemoteInterface(Bare):
    """com.apple.net.rvi_control."""

    provides = frozenset({"connect", "disconnect", "send", "getopt"})


class Advisory(Bare):
    """com.apple.network.advisory."""

    provides = frozenset({"connect", "disconnect", "send"})

"""com.apple.network.tcp_ccdebug: the only byte stream, for one client at a time.

Mirrors bsd/netinet/tcp_ccdbg.c.  What it would tell, the inside of TCP's congestion control, is
not simulated.
"""

# ruff: noqa: ARG002 - a control's functions take what the kernel hands them

from __future__ import annotations

from typing import TYPE_CHECKING

from kevmond.errors import KernelError
from kevmond.kernel.simulated.apple.bare import Bare

if TYPE_CHECKING:
    from kevmond.kernel.simulated.kctl import ControlTable
    from kevmond.kernel.simulated.kctl_pcb import ControlPcb


class TcpCcDebug(Bare):
    """Refuses a second client with EALREADY, an errno that others take for "in progress"."""

    def __init__(self, table: ControlTable) -> None:
        super().__init__(table)
        self._client: ControlPcb | None = None

    async def connect(self, pcb: ControlPcb, address: bytes) -> None:
        """See `Handlers.connect`."""
        if self._client is not None:
            raise KernelError("connect", "EALREADY", "it has a client already")
        self._client = pcb

    async def disconnect(self, pcb: ControlPcb) -> None:
        """See `Handlers.disconnect`."""
        if self._client is pcb:
            self._client = None

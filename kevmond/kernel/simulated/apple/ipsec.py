"""com.apple.net.ipsec_control: an interface whose packets the kernel encrypts itself.

Mirrors bsd/net/if_ipsec.c as far as the interface and its name go.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from kevmond.kernel.simulated.apple import tunnel

if TYPE_CHECKING:
    from kevmond.kernel.simulated.kctl_pcb import ControlPcb


class Ipsec(tunnel.Tunnel):
    """An ipsecN interface for each socket; beside its name it has no options, and takes no data."""

    PREFIX: ClassVar[str] = "ipsec"
    FAMILY: ClassVar[int] = 18

    async def getopt(
        self, pcb: ControlPcb, option: int, value: bytes | None, size: int
    ) -> tuple[bytes | None, int]:
        """See `Handlers.getopt`."""
        if option == tunnel.IFNAME:
            return self.ifname(pcb, size)
        return await super().getopt(pcb, option, value, size)

"""What utun and ipsec have in common: a socket that is a network interface.

Mirrors the unit and interface parts of bsd/net/if_utun.c and bsd/net/if_ipsec.c, and the events
that bsd/net/dlil.c posts when an interface comes and goes, as captured from XNU's own code.
"""

# ruff: noqa: ARG002 - a control's functions take what the kernel hands them

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, ClassVar, Final

from kevmond.errors import KernelError
from kevmond.kernel import abi
from kevmond.kernel.simulated.apple.bare import Bare

if TYPE_CHECKING:
    from kevmond.kernel.simulated.kctl import ControlTable
    from kevmond.kernel.simulated.kctl_pcb import ControlPcb

_KEV_NETWORK_CLASS: Final = 1
_KEV_DL_SUBCLASS: Final = 2
IF_ATTACHED: Final = 9
IF_DETACHING: Final = 10
IF_DETACHED: Final = 11
DELEGATE_CHANGED: Final = 25

_NET_EVENT_DATA: Final = struct.Struct("<2I16s")
"""net_event_data: if_family, if_unit, if_name (without the unit)."""

IFNAME: Final = 2
"""Option of both controls: the interface's name, with its NUL."""


class Tunnel(Bare):
    """Chooses the unit, makes the interface and takes it away, and tells its name."""

    PREFIX: ClassVar[str]
    """Interface names without their number."""
    FAMILY: ClassVar[int]
    """Interface family (IFNET_FAMILY_ number) in its events."""

    provides: ClassVar[frozenset[str]] = frozenset(
        {"setup", "bind", "connect", "disconnect", "send", "setopt", "getopt"}
    )

    def __init__(self, table: ControlTable) -> None:
        super().__init__(table)
        self._up: set[ControlPcb] = set()
        """Sockets that have their interface."""

    def _units(self) -> set[int]:
        own = (control for control in self._table.controls if control.handlers is self)
        return {pcb.unit for control in own for pcb in control.pcbs}

    async def setup(self, unit: int) -> int:
        """See `Handlers.setup`: the lowest free unit for 0, EBUSY for one that is taken."""
        taken = self._units()
        if unit:
            if unit in taken:
                raise KernelError("connect", "EBUSY", f"{self.PREFIX}{unit - 1} is taken")
            return unit
        return next(number for number in range(1, len(taken) + 2) if number not in taken)

    async def bind(self, pcb: ControlPcb, address: bytes) -> None:
        """See `Handlers.bind`: options may be set from now on, there is no interface yet."""

    async def connect(self, pcb: ControlPcb, address: bytes) -> None:
        """See `Handlers.connect`: the interface comes."""
        self._up.add(pcb)
        self.post(pcb, IF_ATTACHED)

    async def disconnect(self, pcb: ControlPcb) -> None:
        """See `Handlers.disconnect`: the interface goes."""
        if pcb in self._up:
            self._up.remove(pcb)
            self.post(pcb, IF_DETACHING)
            self.post(pcb, IF_DETACHED)

    def has_interface(self, pcb: ControlPcb) -> bool:
        """Whether a socket is connected, not merely bound."""
        return pcb in self._up

    def name(self, pcb: ControlPcb) -> str:
        """Name of a socket's interface."""
        return f"{self.PREFIX}{pcb.unit - 1}"

    def post(self, pcb: ControlPcb, code: int) -> None:
        """Post an event about a socket's interface."""
        data = _NET_EVENT_DATA.pack(self.FAMILY, pcb.unit - 1, self.PREFIX.encode())
        self._table.kernel.post(
            abi.KEV_VENDOR_APPLE, _KEV_NETWORK_CLASS, _KEV_DL_SUBCLASS, code, data
        )

    def ifname(self, pcb: ControlPcb, size: int) -> tuple[bytes, int]:
        """Answer IFNAME into a buffer of `size` bytes.

        EMSGSIZE if it is too short, EINVAL while there is no interface.
        """
        if not self.has_interface(pcb):
            raise KernelError("getsockopt", "EINVAL", "there is no interface before connect")
        text = self.name(pcb).encode() + b"\0"
        if size < len(text):
            raise KernelError("getsockopt", "EMSGSIZE", f"the name takes {len(text)} bytes")
        return text, len(text)

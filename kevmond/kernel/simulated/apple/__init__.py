"""Apple's own controls, simulated: those that a macOS kernel registers itself, at boot.

One module a control that does something, `bare` for the rest.  Ids, flags and buffer sizes are
those measured on XNU's own code after its boot.  Its fourth control was one that only development
kernels have (com.apple.packet-mangler); the one that every release has and that build had not,
com.apple.net.rvi_control, stands in its place, so that all the other ids are as measured.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kevmond.kernel import control_abi
from kevmond.kernel.control_abi import ControlFlag
from kevmond.kernel.simulated.apple import bare
from kevmond.kernel.simulated.apple.ipsec import Ipsec
from kevmond.kernel.simulated.apple.netsrc import Netsrc
from kevmond.kernel.simulated.apple.statistics import NetworkStatistics
from kevmond.kernel.simulated.apple.tcp_ccdebug import TcpCcDebug
from kevmond.kernel.simulated.apple.utun import Utun
from kevmond.kernel.simulated.kctl import Registration

if TYPE_CHECKING:
    from kevmond.kernel.simulated.kctl import ControlTable

_ROOT: Final = ControlFlag.PRIVILEGED
_EXTENDED: Final = ControlFlag.REG_EXTENDED
_SETUP: Final = ControlFlag.REG_SETUP
_KIB: Final = 1024

CONTROLS: Final[tuple[tuple[str, ControlFlag, int, int, type[bare.Bare]], ...]] = (
    ("com.apple.flow-divert", _ROOT | _EXTENDED, 128 * _KIB, 128 * _KIB, bare.FlowDivert),
    ("com.apple.net.netagent", _ROOT, 64 * _KIB, 64 * _KIB, bare.Netagent),
    ("com.apple.content-filter", _ROOT | _EXTENDED, 512 * _KIB, 512 * _KIB, bare.ContentFilter),
    ("com.apple.net.rvi_control", _ROOT, 64 * _KIB, 64 * _KIB, bare.RemoteInterface),
    (control_abi.UTUN_CONTROL, _ROOT | _EXTENDED | _SETUP, 512 * _KIB, 512 * _KIB, Utun),
    ("com.apple.net.ipsec_control", _ROOT | _SETUP, 64 * _KIB, 64 * _KIB, Ipsec),
    (control_abi.NETSRC_CONTROL, ControlFlag(0), 0, 0, Netsrc),
    (
        control_abi.NETWORK_STATISTICS_CONTROL,
        _EXTENDED | ControlFlag.REG_CRIT,
        0,
        0,
        NetworkStatistics,
    ),
    (
        "com.apple.network.tcp_ccdebug",
        _ROOT | ControlFlag.REG_SOCK_STREAM,
        32 * _KIB,
        0,
        TcpCcDebug,
    ),
    ("com.apple.network.advisory", _ROOT, 0, 0, bare.Advisory),
)
"""Name, flags, send and receive size (0: the kernel's default), and functions, in boot order."""


def register_all(table: ControlTable) -> None:
    """Register them as the kernel does at boot: ids 1 to 10, and nobody is told."""
    for name, flags, send_size, receive_size, handlers in CONTROLS:
        table.register(
            Registration(name.encode(), flags, send_size=send_size, receive_size=receive_size),
            handlers(table),
            quiet=True,
        )

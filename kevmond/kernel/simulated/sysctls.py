"""The sysctls of a simulated kernel, byte for byte as a Mac lays them out.

Mirrors kevt_getstat() and kevt_pcblist() of bsd/kern/kern_event.c, and struct xkevtpcb of
bsd/sys/kern_event.h; those of controls are in `kctl_sysctls`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kevmond.errors import KernelError
from kevmond.kernel import abi, control_abi
from kevmond.kernel.kevt_sysctl import PCB_SIZE, XKEVTPCB, XSO_EVT
from kevmond.kernel.simulated import kctl_sysctls
from kevmond.kernel.simulated.xsocket import SocketRecords, listed

if TYPE_CHECKING:
    from kevmond.kernel.simulated.event_pcb import EventPcb
    from kevmond.kernel.simulated.model import SimulatedKernel


def read(kernel: SimulatedKernel, name: str, *, writes: bool = False) -> tuple[int, bytes]:
    """Give the size that a probe without buffer is told, and the value.

    KernelError ENOENT for an unknown name, EPERM for any attempt to write.
    """
    if writes:
        raise KernelError(f"sysctlbyname {name}", "EPERM", "it cannot be written")
    if name == abi.SYSCTL_KEVT_PCBLIST:
        return _pcblist(kernel)
    if name == control_abi.SYSCTL_KCTL_REG_LIST:
        return kctl_sysctls.reg_list(kernel)
    if name == control_abi.SYSCTL_KCTL_PCBLIST:
        return kctl_sysctls.pcblist(kernel)
    value = _value(kernel, name)
    return len(value), value


def _value(kernel: SimulatedKernel, name: str) -> bytes:
    identity = kernel.identity()
    texts = {
        abi.SYSCTL_BOOT_SESSION: identity.boot_id.upper(),
        abi.SYSCTL_OS_RELEASE: identity.os_release,
        abi.SYSCTL_OS_BUILD: identity.os_build,
        abi.SYSCTL_HOST: identity.host,
    }
    if name in texts:
        return texts[name].encode() + b"\0"
    if name == abi.SYSCTL_MAX_SOCKET_BUFFER:
        return kernel.sb_max.to_bytes(4, "little")
    if name == control_abi.SYSCTL_KCTL_STATS:
        return kctl_sysctls.stats(kernel)
    if name == control_abi.SYSCTL_KCTL_PCBCOUNT:
        return kernel.control_statistics().pcbcount.to_bytes(4, "little")
    stats = kernel.statistics()
    if name == abi.SYSCTL_KEVT_PCBCOUNT:
        return stats.pcbcount.to_bytes(4, "little")
    if name == abi.SYSCTL_KEVT_STATS:
        return abi.KEVTSTAT.pack(
            stats.pcbcount,
            stats.gencnt,
            stats.badvendor,
            stats.toobig,
            stats.nomem,
            stats.fullsock,
            stats.posted,
        )
    raise KernelError(f"sysctlbyname {name}", "ENOENT")


def _pcblist(kernel: SimulatedKernel) -> tuple[int, bytes]:
    """All event sockets."""
    return listed(kernel.gencnt, [_records(kernel, pcb) for pcb in kernel.pcbs], PCB_SIZE)


def _records(kernel: SimulatedKernel, pcb: EventPcb) -> bytes:
    """Lay out the five records of one socket."""
    pcb.reader.settle()
    chosen = pcb.kernel_filter
    sockbuf = pcb.sockbuf
    generic = SocketRecords(
        address=id(pcb),
        kind=abi.SOCK_RAW,
        protocol=abi.SYSPROTO_EVENT,
        pid=pcb.pid,
        generation=kernel.gencnt,
        receive=(sockbuf.cc, sockbuf.hiwat, sockbuf.mbcnt, sockbuf.mbmax),
        send=(0, abi.KEV_SNDSPACE, 0, 8 * abi.KEV_SNDSPACE),
        refused=(pcb.dropped, pcb.dropped_bytes),
    )
    head = XKEVTPCB.pack(
        XKEVTPCB.size, XSO_EVT, id(pcb), chosen.vendor, chosen.kev_class, chosen.subclass
    )
    return head + generic.pack()

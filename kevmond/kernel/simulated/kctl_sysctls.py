"""What a simulated kernel tells of its controls: the sysctls' bytes, and the same as values.

Mirrors kctl_reg_list(), kctl_pcblist() and kctl_getstat() of bsd/kern/kern_control.c.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kevmond.kernel import abi, control_abi
from kevmond.kernel.control_base import ControlClient, ControlInfo, ControlStatistics
from kevmond.kernel.kctl_sysctl import PCB_SIZE
from kevmond.kernel.simulated.kctl_pcb import State
from kevmond.kernel.simulated.xsocket import SocketRecords, listed

if TYPE_CHECKING:
    from kevmond.kernel.simulated.kctl import Control
    from kevmond.kernel.simulated.kctl_pcb import ControlPcb
    from kevmond.kernel.simulated.model import SimulatedKernel

_TEXT_BASE: Final = 0xFFFFFF8000200000


def reg_list(kernel: SimulatedKernel) -> tuple[int, bytes]:
    """net.systm.kctl.reg_list: what a probe is told, and the list."""
    table = kernel.kctl
    items = [_registration(control) for control in table.controls]
    return listed(table.counters.gencnt, items, control_abi.XKCTL_REG.size)


def pcblist(kernel: SimulatedKernel) -> tuple[int, bytes]:
    """net.systm.kctl.pcblist: what a probe is told, and the list."""
    table = kernel.kctl
    items = [_socket(kernel, control, pcb) for control in table.controls for pcb in control.pcbs]
    return listed(table.counters.gencnt, items, PCB_SIZE)


def stats(kernel: SimulatedKernel) -> bytes:
    """net.systm.kctl.stats."""
    told = statistics(kernel)
    return control_abi.KCTLSTAT.pack(*(getattr(told, name) for name in told.__slots__))


def statistics(kernel: SimulatedKernel) -> ControlStatistics:
    """Return the counters; `reg_total` is never raised by any kernel."""
    table = kernel.kctl
    counted = table.counters
    return ControlStatistics(
        reg_total=0,
        reg_count=len(table.controls),
        pcbcount=sum(len(control.pcbs) for control in table.controls),
        gencnt=counted.gencnt,
        connections=counted.connections,
        conn_fail=counted.conn_fail,
        send_fail=counted.send_fail,
        send_list_fail=0,
        enqueue_fail=counted.enqueue_fail,
        enqueue_fullsock=counted.enqueue_fullsock,
        bad_kctlref=counted.bad_kctlref,
        tbl_size_too_big=0,
        enqdata_mb_alloc_fail=0,
        enqdata_sbappend_fail=0,
    )


def infos(kernel: SimulatedKernel) -> list[ControlInfo]:
    """See `ControlKernel.controls`."""
    return [
        ControlInfo(
            control_id=control.control_id,
            name=control.name.decode("utf-8", "replace"),
            flags=control.flags,
            reg_unit=control.reg_unit if control.is_static else None,
            send_space=control.send_size,
            receive_space=control.receive_size,
            handlers=control.handlers.provides & frozenset(control_abi.XKCTL_REG_FUNCTIONS),
            client_count=len(control.pcbs),
            clients=tuple(
                ControlClient(pcb.unit, pcb.pid, pcb.uid)
                for pcb in sorted(control.pcbs, key=lambda pcb: pcb.unit)
            ),
        )
        for control in kernel.kctl.controls
    ]


def _registration(control: Control) -> bytes:
    functions = [
        _TEXT_BASE + 64 * place if name in control.handlers.provides else 0
        for place, name in enumerate(control_abi.XKCTL_REG_FUNCTIONS)
    ]
    return control_abi.XKCTL_REG.pack(
        control_abi.XKCTL_REG.size,
        control_abi.XSO_KCREG,
        control.control_id,
        control.reg_unit,
        control.flags,
        control.ref,
        control.receive_size,
        control.send_size,
        0,  # lastunit
        len(control.pcbs),
        *functions,
        control.name,
    )


def _socket(kernel: SimulatedKernel, control: Control, pcb: ControlPcb) -> bytes:
    if pcb.state is not State.CLOSED:
        pcb.received.settle()
    address = id(pcb)
    size = pcb.received.bytes
    mbmax = kernel.sockbuf_rules.mbmax
    generic = SocketRecords(
        address=address,
        kind=control_abi.SOCK_STREAM if pcb.stream else control_abi.SOCK_DGRAM,
        protocol=abi.SYSPROTO_CONTROL,
        pid=pcb.pid,
        uid=pcb.uid,
        generation=kernel.kctl.counters.gencnt,
        receive=(size, pcb.received.hiwat, size, mbmax(pcb.received.hiwat)),
        send=(0, pcb.send_hiwat, 0, mbmax(pcb.send_hiwat)),
    )
    head = control_abi.XKCTLPCB.pack(
        control_abi.XKCTLPCB.size,
        control_abi.XSO_KCB,
        address,
        pcb.unit,
        control.control_id,
        control.ref,
        control.name,
    )
    return head + generic.pack()

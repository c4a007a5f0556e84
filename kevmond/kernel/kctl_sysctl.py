"""Reads net.systm.kctl.reg_list, pcblist and stats: which controls there are and who uses them.

Mirrors struct xkctl_reg, xkctlpcb and kctlstat of bsd/sys/kern_control.h, and xsocket_n of
bsd/sys/socketvar.h; how a list is framed is in `sysctl_records`.  Nothing here calls a kernel: who
does is passed in.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from kevmond.errors import KernelError
from kevmond.kernel import control_abi
from kevmond.kernel.control_abi import ControlFlag
from kevmond.kernel.control_base import ControlClient, ControlInfo, ControlStatistics
from kevmond.kernel.kevt_sysctl import XSO_SOCKET
from kevmond.kernel.sysctl_records import (
    ENDS_SIZE,
    SOCKET_RECORDS_SIZE,
    UnstableListError,
    read_stable,
    records,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

PCB_SIZE = control_abi.XKCTLPCB.size + SOCKET_RECORDS_SIZE
"""Bytes of all records of one socket."""

REG_HEADROOM = ENDS_SIZE + 8 * control_abi.XKCTL_REG.size
PCB_HEADROOM = ENDS_SIZE + 8 * PCB_SIZE
"""Bytes to add to the kernel's estimate of each list, which leaves out its two ends and, below 8
entries, has no slack for new ones."""

_UID = struct.Struct("<I")
_PID = struct.Struct("<i")
_UID_OFFSET = 64
_LAST_PID_OFFSET = 68


@dataclass(slots=True)
class AttachedSocket:
    """A socket of the list: where it is attached, and whose it is as far as that is told."""

    control_id: int
    unit: int
    pid: int | None = None
    uid: int | None = None


def read_controls(read: Callable[[str, int], bytes]) -> list[ControlInfo]:
    """List the controls with their clients; `read` is given a sysctl's name and its headroom.

    KernelError if the controls cannot be read.  Who is connected is told as far as it can be: a
    list of sockets that is refused leaves `clients` empty.
    """
    name = control_abi.SYSCTL_KCTL_REG_LIST
    try:
        controls = read_stable(lambda: read(name, REG_HEADROOM), parse_reg_list)
    except UnstableListError:
        raise KernelError(
            f"sysctlbyname {name}", "EAGAIN", "the list changed each time it was read"
        ) from None
    name_of_sockets = control_abi.SYSCTL_KCTL_PCBLIST
    try:
        sockets = read_stable(lambda: read(name_of_sockets, PCB_HEADROOM), parse_pcblist)
    except (KernelError, UnstableListError):
        sockets = []
    return with_clients(controls, sockets)


def parse_reg_list(data: bytes) -> list[ControlInfo]:
    """Read the registered controls, their clients not yet known; UnstableListError."""
    return [
        _control(record)
        for kind, record in records(data)
        if kind == control_abi.XSO_KCREG and len(record) >= control_abi.XKCTL_REG.size
    ]


def parse_pcblist(data: bytes) -> list[AttachedSocket]:
    """Read the sockets that are attached to controls; UnstableListError."""
    sockets: list[AttachedSocket] = []
    for kind, record in records(data):
        if kind == control_abi.XSO_KCB and len(record) >= control_abi.XKCTLPCB.size:
            _, _, _, unit, control_id, _, _ = control_abi.XKCTLPCB.unpack_from(record)
            sockets.append(AttachedSocket(control_id, unit))
        elif kind == XSO_SOCKET and sockets:  # each socket's records begin with its xkctlpcb
            _read_owner(record, sockets[-1])
    return sockets


def with_clients(
    controls: Iterable[ControlInfo], sockets: Iterable[AttachedSocket]
) -> list[ControlInfo]:
    """Give each control its clients, by control id; both in order of their numbers.

    Ids are all that the two lists share; of controls with the same static id the unit decides.
    """
    attached = sorted(sockets, key=lambda one: one.unit)
    ordered = sorted(controls, key=lambda one: (one.control_id, one.reg_unit or 0))
    return [
        replace(
            control,
            clients=tuple(
                ControlClient(one.unit, one.pid, one.uid)
                for one in attached
                if one.control_id == control.control_id and control.reg_unit in (None, one.unit)
            ),
        )
        for control in ordered
    ]


def parse_stats(data: bytes) -> ControlStatistics | None:
    """Read struct kctlstat; a longer one is read as far as it is known, a shorter one is None."""
    if len(data) < control_abi.KCTLSTAT.size:
        return None
    return ControlStatistics(*control_abi.KCTLSTAT.unpack_from(data))


def _control(record: bytes) -> ControlInfo:
    (_, _, control_id, reg_unit, flags, _, receive_space, send_space, _, count, *rest) = (
        control_abi.XKCTL_REG.unpack_from(record)
    )
    *addresses, name = rest
    flags = ControlFlag(flags)
    return ControlInfo(
        control_id=control_id,
        name=name.partition(b"\0")[0].decode("utf-8", "replace"),
        flags=flags,
        reg_unit=reg_unit if ControlFlag.REG_ID_UNIT in flags else None,
        send_space=send_space,
        receive_space=receive_space,
        handlers=frozenset(
            function
            for function, address in zip(control_abi.XKCTL_REG_FUNCTIONS, addresses, strict=True)
            if address
        ),
        client_count=count,
    )


def _read_owner(record: bytes, socket: AttachedSocket) -> None:
    """Take user and process from an xsocket_n, which older kernels end before the process."""
    if len(record) >= _UID_OFFSET + _UID.size:
        socket.uid = _UID.unpack_from(record, _UID_OFFSET)[0]
    if len(record) >= _LAST_PID_OFFSET + _PID.size:
        socket.pid = _PID.unpack_from(record, _LAST_PID_OFFSET)[0]

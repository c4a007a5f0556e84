"""Reads what net.systm.kevt.stats and net.systm.kevt.pcblist hold; pure functions of bytes.

Mirrors bsd/sys/kern_event.h (kevtstat, xkevtpcb) and bsd/sys/socketvar.h (xsocket_n, xsockbuf_n,
xsockstat_n); how a list is framed is in `sysctl_records`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from kevmond.kernel import abi
from kevmond.kernel.base import KernelFilter, KernelStatistics
from kevmond.kernel.sysctl_records import ENDS_SIZE, SOCKET_RECORDS_SIZE, records

XSO_SOCKET = 0x1
XSO_RCVBUF = 0x2
XSO_SNDBUF = 0x4
XSO_STATS = 0x8
XSO_EVT = 0x100

XKEVTPCB = struct.Struct("<2IQ3I4x")
"""xkevtpcb: len, kind, kev_pcb, vendor_code, kev_class, kev_subclass."""

PCB_SIZE = XKEVTPCB.size + SOCKET_RECORDS_SIZE
"""Bytes of all records of one socket."""

HEADROOM = ENDS_SIZE + 8 * PCB_SIZE
"""Bytes to add to the kernel's estimate of the list: it leaves out the two xsystmgen records and,
below 8 sockets, has no slack for new ones."""

_FILTER = struct.Struct("<3I")
_PID = struct.Struct("<i")
_U32 = struct.Struct("<I")
_U64 = struct.Struct("<Q")

_FILTER_OFFSET = 16
_LAST_PID_OFFSET = 68
_HIWAT_OFFSET = 12
_NO_SPACE_PACKETS_OFFSET = 40
"""xsockstat_n: slot 1 (SO_STATS_SBNOSPACE), first counter: packets refused for want of space."""


@dataclass(slots=True)
class KevtSocket:
    """One event socket of the machine; None where this kernel's records do not say."""

    kernel_filter: KernelFilter
    pid: int | None = None
    """Process that last used the socket."""
    receive_space: int | None = None
    """Its receive buffer, bytes."""
    dropped: int | None = None
    """Messages that found no space in its receive buffer."""


def parse_stats(data: bytes) -> KernelStatistics | None:
    """Read struct kevtstat; a longer one is read as far as it is known, a shorter one is None."""
    if len(data) < abi.KEVTSTAT.size:
        return None
    return KernelStatistics(*abi.KEVTSTAT.unpack_from(data))


def parse_pcblist(data: bytes) -> list[KevtSocket]:
    """Read the event sockets of the machine.

    Raises UnstableListError if the list changed while the kernel copied it.
    """
    sockets: list[KevtSocket] = []
    for kind, record in records(data):
        _read_record(record, kind, sockets)
    return sockets


def find_dropped(sockets: list[KevtSocket], wanted: KevtSocket) -> int | None:
    """Drop counter of the socket that has `wanted`'s process, filter and receive buffer.

    None if there is none such, or more than one: they cannot be told apart.
    """
    found = [
        one
        for one in sockets
        if one.pid == wanted.pid and one.kernel_filter == wanted.kernel_filter
    ]
    if len(found) > 1:
        found = [one for one in found if one.receive_space == wanted.receive_space]
    return found[0].dropped if len(found) == 1 else None


def _read_record(record: bytes, kind: int, sockets: list[KevtSocket]) -> None:
    """Take what is wanted of one record; each socket's records begin with its xkevtpcb."""
    if kind == XSO_EVT and len(record) >= _FILTER_OFFSET + _FILTER.size:
        sockets.append(KevtSocket(KernelFilter(*_FILTER.unpack_from(record, _FILTER_OFFSET))))
    elif not sockets:
        return
    elif kind == XSO_SOCKET and len(record) >= _LAST_PID_OFFSET + _PID.size:
        sockets[-1].pid = _PID.unpack_from(record, _LAST_PID_OFFSET)[0]
    elif kind == XSO_RCVBUF and len(record) >= _HIWAT_OFFSET + _U32.size:
        sockets[-1].receive_space = _U32.unpack_from(record, _HIWAT_OFFSET)[0]
    elif kind == XSO_STATS and len(record) >= _NO_SPACE_PACKETS_OFFSET + _U64.size:
        sockets[-1].dropped = _U64.unpack_from(record, _NO_SPACE_PACKETS_OFFSET)[0]

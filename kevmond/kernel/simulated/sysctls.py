"""The sysctls of a simulated kernel, byte for byte as a Mac lays them out.

Mirrors kevt_getstat() and kevt_pcblist() of bsd/kern/kern_event.c, and struct xsystmgen,
xkevtpcb, xsocket_n, xsockbuf_n and xsockstat_n (bsd/sys/socketvar.h, bsd/sys/kern_event.h).
"""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING

from kevmond.errors import KernelError
from kevmond.kernel import abi
from kevmond.kernel.kevt_sysctl import XSO_EVT, XSO_RCVBUF, XSO_SNDBUF, XSO_SOCKET, XSO_STATS

if TYPE_CHECKING:
    from kevmond.kernel.simulated.event_pcb import EventPcb
    from kevmond.kernel.simulated.model import SimulatedKernel

_XSYSTMGEN = struct.Struct("<I4xQQQ")
_XKEVTPCB = struct.Struct("<2IQ3I4x")
_XSOCKET_N = struct.Struct("<2IQh2xI2hQ2i4hH2xi2I2iQ5I")
_XSOCKBUF_N = struct.Struct("<6Ii2h")
_XSOCKSTAT_N = struct.Struct("<2I16Q")
_KEV_SNDSPACE = 4096
_SNDLOWAT = 2048
_RCVLOWAT = 1


def read(kernel: SimulatedKernel, name: str, *, writes: bool = False) -> tuple[int, bytes]:
    """Give the size that a probe without buffer is told, and the value.

    KernelError ENOENT for an unknown name, EPERM for any attempt to write.
    """
    if writes:
        raise KernelError(f"sysctlbyname {name}", "EPERM", "it cannot be written")
    if name == abi.SYSCTL_KEVT_PCBLIST:
        return _pcblist(kernel)
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
    """All event sockets; the probe counts neither xsystmgen, nor has it slack for less than 8."""
    count = len(kernel.pcbs)
    generation = _XSYSTMGEN.pack(_XSYSTMGEN.size, count, kernel.gencnt, kernel.gencnt)
    records = [_records(kernel, pcb) for pcb in kernel.pcbs]
    probe = (count + count // 8) * len(records[0]) if records else 0
    if not records:
        return probe, generation
    return probe, b"".join([generation, *records, generation])


def _records(kernel: SimulatedKernel, pcb: EventPcb) -> bytes:
    """Lay out the five records of one socket; addresses are made up, as a kernel's are hashed."""
    pcb.reader.settle()
    address = id(pcb)
    chosen = pcb.kernel_filter
    sockbuf = pcb.sockbuf
    return b"".join(
        [
            _XKEVTPCB.pack(
                _XKEVTPCB.size,
                XSO_EVT,
                address,
                chosen.vendor,
                chosen.kev_class,
                chosen.subclass,
            ),
            _XSOCKET_N.pack(
                _XSOCKET_N.size,
                XSO_SOCKET,
                address,
                abi.SOCK_RAW,
                0,  # so_options
                0,  # so_linger
                0,  # so_state
                address,
                abi.SYSPROTO_EVENT,
                abi.PF_SYSTEM,
                *(0, 0, 0, 0),  # so_qlen, so_incqlen, so_qlimit, so_timeo
                0,  # so_error
                0,  # so_pgid
                0,  # so_oobmark
                os.getuid(),
                pcb.pid,
                pcb.pid,
                kernel.gencnt,
                *(0, 0, 1, 0, 0),  # so_flags, so_flags1, usecount, retaincnt, filter flags
            ),
            _XSOCKBUF_N.pack(
                _XSOCKBUF_N.size,
                XSO_RCVBUF,
                sockbuf.cc,
                sockbuf.hiwat,
                sockbuf.mbcnt,
                sockbuf.mbmax,
                *(_RCVLOWAT, 0, 0),
            ),
            _XSOCKBUF_N.pack(
                _XSOCKBUF_N.size,
                XSO_SNDBUF,
                *(0, _KEV_SNDSPACE, 0, 8 * _KEV_SNDSPACE),
                *(_SNDLOWAT, 0, 0),
            ),
            _XSOCKSTAT_N.pack(
                _XSOCKSTAT_N.size,
                XSO_STATS,
                *(0, 0, 0, 0),
                *(pcb.dropped, pcb.dropped_bytes, 0, 0),
                *[0] * 8,
            ),
        ]
    )

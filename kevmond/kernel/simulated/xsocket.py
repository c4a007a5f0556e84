"""The records that the lists of sockets are made of, event sockets and control sockets alike.

Mirrors struct xsystmgen, xsocket_n, xsockbuf_n and xsockstat_n (bsd/sys/socketvar.h).
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kevmond.kernel import abi
from kevmond.kernel.kevt_sysctl import XSO_RCVBUF, XSO_SNDBUF, XSO_SOCKET, XSO_STATS
from kevmond.kernel.simulated.sockbuf import RECEIVE_LOWAT, SEND_LOWAT
from kevmond.kernel.sysctl_records import XSOCKBUF_N, XSOCKET_N, XSOCKSTAT_N

if TYPE_CHECKING:
    from collections.abc import Sequence

_XSYSTMGEN = struct.Struct("<I4xQQQ")


@dataclass(frozen=True, slots=True)
class SocketRecords:
    """What the generic records of one socket say."""

    address: int
    """Made up, as a kernel's are hashed."""
    kind: int
    protocol: int
    pid: int
    generation: int
    receive: tuple[int, int, int, int]
    """Receive buffer: bytes, most bytes, bytes of mbufs, most of them."""
    send: tuple[int, int, int, int]
    uid: int | None = None
    """None for this process's own."""
    refused: tuple[int, int] = (0, 0)
    """Messages and bytes that found no space (SO_STATS_SBNOSPACE)."""

    def pack(self) -> bytes:
        """Lay out xsocket_n, two xsockbuf_n and xsockstat_n."""
        return b"".join(
            [
                XSOCKET_N.pack(
                    XSOCKET_N.size,
                    XSO_SOCKET,
                    self.address,
                    self.kind,
                    0,  # so_options
                    0,  # so_linger
                    0,  # so_state
                    self.address,
                    self.protocol,
                    abi.PF_SYSTEM,
                    *(0, 0, 0, 0),  # so_qlen, so_incqlen, so_qlimit, so_timeo
                    0,  # so_error
                    0,  # so_pgid
                    0,  # so_oobmark
                    os.getuid() if self.uid is None else self.uid,
                    self.pid,
                    self.pid,
                    self.generation,
                    *(0, 0, 1, 0, 0),  # so_flags, so_flags1, usecount, retaincnt, filter flags
                ),
                _sockbuf(XSO_RCVBUF, self.receive, RECEIVE_LOWAT),
                _sockbuf(XSO_SNDBUF, self.send, SEND_LOWAT),
                XSOCKSTAT_N.pack(
                    XSOCKSTAT_N.size,
                    XSO_STATS,
                    *(0, 0, 0, 0),
                    *(*self.refused, 0, 0),
                    *[0] * 8,
                ),
            ]
        )


def _sockbuf(kind: int, figures: tuple[int, int, int, int], lowat: int) -> bytes:
    return XSOCKBUF_N.pack(XSOCKBUF_N.size, kind, *figures, *(lowat, 0, 0))


def listed(generation: int, items: Sequence[bytes], size: int) -> tuple[int, bytes]:
    """Frame a list as the kernel does: what a probe without buffer is told, and the list.

    The probe counts neither xsystmgen, nor has it slack for less than 8 items of `size` bytes.
    """
    count = len(items)
    frame = _XSYSTMGEN.pack(_XSYSTMGEN.size, count, generation, generation)
    probe = (count + count // 8) * size
    return probe, b"".join([frame, *items, frame]) if items else frame

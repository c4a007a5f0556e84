"""Who is at the other end of a Unix socket, as the kernel tells it.

SO_PEERCRED with struct ucred on Linux (socket(7), unix(7)); LOCAL_PEERCRED with struct xucred and
LOCAL_PEERPID on macOS (sys/un.h, sys/ucred.h).
"""

from __future__ import annotations

import os
import socket
import struct
import sys
from typing import Final, NamedTuple

SOL_LOCAL: Final = 0
LOCAL_PEERCRED: Final = 0x001
LOCAL_PEERPID: Final = 0x002
XUCRED_VERSION: Final = 0

_UCRED: Final = struct.Struct("=iII")  # pid, uid, gid
_XUCRED: Final = struct.Struct("=IIh2x16I")  # version, uid, number of groups, groups


class Peer(NamedTuple):
    """A process at the other end."""

    uid: int
    """Effective user when it connected."""
    pid: int | None
    """Process; None where that is not told."""


def peer_of(connection: socket.socket) -> Peer:
    """Return who connected; OSError if that cannot be known."""
    if sys.platform == "darwin":
        return _of_darwin(connection)
    return _of_linux(connection)


def may_ask(peer: Peer) -> bool:
    """Whether a peer may use the daemon's API: the daemon's own user, and root."""
    return peer.uid in {0, os.geteuid()}


def _of_linux(connection: socket.socket) -> Peer:
    data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    pid, uid, _ = _UCRED.unpack(data)
    return Peer(uid, pid or None)


def _of_darwin(connection: socket.socket) -> Peer:
    uid = read_xucred(connection.getsockopt(SOL_LOCAL, LOCAL_PEERCRED, _XUCRED.size))
    try:
        pid = connection.getsockopt(SOL_LOCAL, LOCAL_PEERPID)
    except OSError:
        pid = 0
    return Peer(uid, pid or None)


def read_xucred(data: bytes) -> int:
    """Return the user of a struct xucred; OSError if it is none."""
    if len(data) != _XUCRED.size:
        raise OSError(f"struct xucred of {len(data)} bytes; {_XUCRED.size} were awaited")
    version, uid, *_ = _XUCRED.unpack(data)
    if version != XUCRED_VERSION:
        raise OSError(f"struct xucred of version {version}")
    return int(uid)

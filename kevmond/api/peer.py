"""Who is at the other end of a Unix socket, as the kernel tells it.

SO_PEERCRED with struct ucred and SO_PEERGROUPS on Linux (socket(7), unix(7)); LOCAL_PEERCRED with
struct xucred and LOCAL_PEERPID on macOS (sys/un.h, sys/ucred.h).
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
SO_PEERGROUPS: Final = 59
"""Of asm-generic/socket.h (Linux 4.13 and later)."""
MOST_GROUPS: Final = 256
"""Groups of a process that are asked for; whoever has more is looked up."""

_UCRED: Final = struct.Struct("=iII")  # pid, uid, gid
_XUCRED: Final = struct.Struct("=IIh2x16I")  # version, uid, number of groups, groups
_XUCRED_GROUPS: Final = 16


class Peer(NamedTuple):
    """A process at the other end."""

    uid: int
    """Effective user when it connected."""
    pid: int | None
    """Process; None where that is not told."""
    groups: tuple[int, ...] = ()
    """Its groups; macOS tells the first 16 only."""


def peer_of(connection: socket.socket) -> Peer:
    """Return who connected; OSError if that cannot be known."""
    if sys.platform == "darwin":
        return _of_darwin(connection)
    return _of_linux(connection)


def may_ask(peer: Peer, group: int | None = None) -> bool:
    """Whether a peer may use the daemon's API: its own user, root, and members of `group`."""
    return peer.uid in {0, os.geteuid()} or (group is not None and group in peer.groups)


def is_member(uid: int, group: int) -> bool:
    """Whether a user is a member of a group by the system's databases; may take a while."""
    import pwd  # noqa: PLC0415 - only where a group is set, and the kernel did not tell it

    try:
        user = pwd.getpwuid(uid)
        return group in os.getgrouplist(user.pw_name, user.pw_gid)
    except (KeyError, OSError):
        return False


def _of_linux(connection: socket.socket) -> Peer:
    data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    pid, uid, gid = _UCRED.unpack(data)
    try:
        more = connection.getsockopt(socket.SOL_SOCKET, SO_PEERGROUPS, 4 * MOST_GROUPS)
    except OSError:
        more = b""
    return Peer(uid, pid or None, (gid, *memoryview(more).cast("I")))


def _of_darwin(connection: socket.socket) -> Peer:
    uid, groups = read_xucred(connection.getsockopt(SOL_LOCAL, LOCAL_PEERCRED, _XUCRED.size))
    try:
        pid = connection.getsockopt(SOL_LOCAL, LOCAL_PEERPID)
    except OSError:
        pid = 0
    return Peer(uid, pid or None, groups)


def read_xucred(data: bytes) -> tuple[int, tuple[int, ...]]:
    """Return user and groups of a struct xucred; OSError if it is none."""
    if len(data) != _XUCRED.size:
        raise OSError(f"struct xucred of {len(data)} bytes; {_XUCRED.size} were awaited")
    version, uid, count, *groups = _XUCRED.unpack(data)
    if version != XUCRED_VERSION:
        raise OSError(f"struct xucred of version {version}")
    return int(uid), tuple(groups[: max(0, min(count, _XUCRED_GROUPS))])

"""Who is at the other end of a Unix socket."""

import os
import pwd
import socket
import struct

import pytest

from kevmond.api import peer
from kevmond.api.peer import Peer, is_member, may_ask, peer_of, read_xucred


def xucred(version=0, uid=501, groups=(20,)):
    """Make the bytes of a struct xucred, as macOS returns them."""
    rest = [0] * (16 - len(groups))
    return struct.pack("=IIhxx16I", version, uid, len(groups), *groups, *rest)


def test_this_process_is_recognised():
    """The kernel tells user, process and groups of whoever is connected."""
    one, other = socket.socketpair(socket.AF_UNIX)
    with one, other:
        uid, pid, groups = peer_of(one)
    assert (uid, pid) == (os.geteuid(), os.getpid())
    assert {os.getegid(), *os.getgroups()} <= set(groups)


def test_xucred_of_76_bytes_is_read():
    """On macOS user and groups stand in a struct xucred."""
    assert len(xucred()) == 76
    assert read_xucred(xucred()) == (501, (20,))
    assert read_xucred(xucred(groups=(20, 12, 80))) == (501, (20, 12, 80))


@pytest.mark.parametrize("data", [b"", xucred()[:-1], xucred(version=1)])
def test_other_bytes_are_no_credentials(data):
    """What is not understood lets nobody in."""
    with pytest.raises(OSError, match="struct xucred"):
        read_xucred(data)


def test_macos_is_asked_by_its_own_options(monkeypatch):
    """LOCAL_PEERCRED and LOCAL_PEERPID at level SOL_LOCAL tell the user and the process."""

    class Connection:
        asked = ()

        def getsockopt(self, level, option, size=None):
            self.asked += ((level, option, size),)
            return xucred() if size else 4711

    monkeypatch.setattr(peer.sys, "platform", "darwin")
    connection = Connection()
    assert peer_of(connection) == Peer(501, 4711, (20,))
    assert connection.asked == ((0, 1, 76), (0, 2, None))


def test_only_the_daemon_s_user_and_root_may_ask(monkeypatch):
    """Any other user is refused, whatever the permissions of the socket let through."""
    monkeypatch.setattr(os, "geteuid", lambda: 501)
    assert [may_ask(Peer(uid, 1, (20,))) for uid in (501, 0, 502)] == [True, True, False]


def test_members_of_the_group_may_ask_where_one_is_set(monkeypatch):
    """The groups that the kernel tells of a peer are enough."""
    monkeypatch.setattr(os, "geteuid", lambda: 501)
    assert may_ask(Peer(502, 1, (20, 80)), 80)
    assert not may_ask(Peer(502, 1, (20,)), 80)


def test_membership_is_looked_up_in_the_databases():
    """A user is a member of its own primary group, and unknown users are members of none."""
    user = pwd.getpwuid(os.getuid())
    assert is_member(user.pw_uid, user.pw_gid)
    assert not is_member(user.pw_uid, 4_000_000_000)
    assert not is_member(4_000_000_000, user.pw_gid)


def test_groups_that_are_not_told_are_none(monkeypatch):
    """A kernel without SO_PEERGROUPS tells the primary group at least."""
    monkeypatch.setattr(peer, "SO_PEERGROUPS", 0x7FFF)
    one, other = socket.socketpair(socket.AF_UNIX)
    with one, other:
        assert peer_of(one).groups == (os.getegid(),)

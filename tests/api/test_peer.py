"""Who is at the other end of a Unix socket."""

import os
import socket
import struct

import pytest

from kevmond.api import peer
from kevmond.api.peer import Peer, may_ask, peer_of, read_xucred


def xucred(version=0, uid=501):
    """Make the bytes of a struct xucred with one group, as macOS returns them."""
    return struct.pack("=IIhxx16I", version, uid, 1, 20, *[0] * 15)


def test_this_process_is_recognised():
    """The kernel tells user and process of whoever is connected."""
    one, other = socket.socketpair(socket.AF_UNIX)
    with one, other:
        assert peer_of(one) == Peer(os.geteuid(), os.getpid())


def test_xucred_of_76_bytes_is_read():
    """On macOS the user stands in the second word of a struct xucred."""
    assert len(xucred()) == 76
    assert read_xucred(xucred()) == 501


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
    assert peer_of(connection) == Peer(501, 4711)
    assert connection.asked == ((0, 1, 76), (0, 2, None))


def test_only_the_daemon_s_user_and_root_may_ask(monkeypatch):
    """Any other user is refused, whatever the permissions of the socket let through."""
    monkeypatch.setattr(os, "geteuid", lambda: 501)
    assert [may_ask(Peer(uid, 1)) for uid in (501, 0, 502)] == [True, True, False]

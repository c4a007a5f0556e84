"""The listening socket and its place in the file system."""

import os
import socket
import stat

import pytest

from kevmond.api.listener import ApiError, Listener, inherit


def test_socket_is_private_and_goes_with_its_daemon(folder):
    """Mode 0600 while it listens, and no file afterwards."""
    path = folder / "s"
    listener = Listener(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    listener.close()
    assert not path.exists()


def test_socket_of_a_dead_daemon_is_taken_over(folder):
    """A file that nobody listens behind any more is no obstacle."""
    path = folder / "s"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
        dead.listen()
    listener = Listener(path)
    with socket.socket(socket.AF_UNIX) as caller:
        caller.connect(str(path))
    listener.close()


def test_socket_of_a_living_daemon_is_left_alone(folder):
    """Two daemons cannot share a state folder, and the second says so."""
    first = Listener(folder / "s")
    with pytest.raises(ApiError, match="another daemon answers there"):
        Listener(folder / "s")
    with socket.socket(socket.AF_UNIX) as caller:
        caller.connect(str(folder / "s"))
    first.close()


def test_other_file_is_not_removed(folder):
    """What is no socket is somebody's."""
    (folder / "s").write_text("precious")
    with pytest.raises(ApiError, match="is no socket; move it away"):
        Listener(folder / "s")
    assert (folder / "s").read_text() == "precious"


def test_path_that_is_too_long_is_told(folder):
    """The kernel's bound on the path is named, with what to do."""
    with pytest.raises(ApiError, match=r"too long .* shorter daemon\.state_dir"):
        Listener(folder / ("x" * 120))


def test_folder_that_is_not_there_is_told(folder):
    """Any other refusal is told with the path and the errno."""
    with pytest.raises(ApiError, match=r"missing/s: the API's socket cannot be made \(ENOENT\)"):
        Listener(folder / "missing" / "s")


def test_path_taken_by_a_successor_is_not_removed(folder):
    """Whoever closes late does not take the next daemon's socket away."""
    path = folder / "s"
    first = Listener(path)
    path.unlink()
    second = Listener(path)
    first.close()
    assert path.exists()
    second.close()


def test_socket_of_launchd_is_taken_over_and_its_path_stays(folder):
    """A descriptor that listens already is used, and its path is not ours to remove."""
    path = folder / "s"
    theirs = socket.socket(socket.AF_UNIX)
    theirs.bind(str(path))
    theirs.listen()
    (ours,) = inherit([os.dup(theirs.fileno())])
    assert ours.is_at(path)
    assert not ours.is_at(folder / "other")
    assert (ours.socket.getblocking(), ours.socket.get_inheritable()) == (False, False)
    ours.close()
    assert path.exists()
    theirs.close()


def test_descriptors_that_are_no_listening_sockets_are_refused(folder):
    """All of them are let go of, and the number is named."""
    other = socket.socket(socket.AF_UNIX)
    number = os.dup(other.fileno())
    with pytest.raises(ApiError, match=f"descriptor {number}, handed over, is no listening"):
        inherit([number])
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(number)
    tcp = socket.create_server(("127.0.0.1", 0))
    with pytest.raises(ApiError, match="is no listening Unix socket"):
        inherit([os.dup(tcp.fileno())])
    tcp.close()
    other.close()
    with pytest.raises(ApiError, match="is no socket"):
        inherit([number])


def test_macos_does_not_tell_whether_a_socket_listens(folder, monkeypatch):
    """Where that cannot be asked for, it is taken for granted."""
    monkeypatch.setattr(socket, "SO_ACCEPTCONN", 0x7FFF)
    other = socket.socket(socket.AF_UNIX)
    (taken,) = inherit([os.dup(other.fileno())])
    taken.close()
    other.close()

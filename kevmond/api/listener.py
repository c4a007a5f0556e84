"""The listening Unix socket: private, at one path, and taken over from a daemon that died."""

from __future__ import annotations

import errno
import os
import socket
import stat
from typing import TYPE_CHECKING, Final, NamedTuple

from kevmond.errors import KevmondError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

SOCKET: Final = "kevmond.sock"
"""Name of the socket in the state folder."""
BACKLOG: Final = 64


class ApiError(KevmondError):
    """The API cannot be served, or cannot be reached."""


class Group(NamedTuple):
    """A group of users."""

    name: str
    gid: int


def find_group(name: str) -> Group:
    """Return the group of a name; ApiError if there is none."""
    import grp  # noqa: PLC0415 - only where a group is set

    try:
        return Group(name, grp.getgrnam(name).gr_gid)
    except KeyError:
        raise ApiError(f"api.group: there is no group {name!r} on this machine") from None


class Listener:
    """Open from the constructor to `close`."""

    def __init__(self, path: Path) -> None:
        """Listen at `path` with mode 0600; ApiError if that cannot be."""
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self.socket.setblocking(False)
            _clear(path)
            self.socket.bind(str(path))
            path.chmod(0o600)  # nobody can connect before `listen`
            self.socket.listen(BACKLOG)
            self._inode = path.lstat().st_ino
        except OSError as error:
            self.socket.close()
            raise ApiError(_refusal(path, error)) from error
        except ApiError:
            self.socket.close()
            raise

    def open_to(self, group: Group | None) -> None:
        """Let members of a group connect as well, or nobody else any more.

        ApiError, and the socket private, if that cannot be.
        """
        try:
            self.path.chmod(0o600)
            if group is not None:
                os.chown(self.path, -1, group.gid)
                _let_through(self.path.parent, group)
                self.path.chmod(0o660)
        except OSError as error:
            symbol = errno.errorcode.get(error.errno or 0, str(error))
            raise ApiError(
                f"{self.path}: cannot be given to the group {group.name if group else ''} "
                f"({symbol}); the daemon's user has to be root or a member of it"
            ) from error

    def close(self) -> None:
        """Stop listening and take the path away, unless somebody else has it by now."""
        self.socket.close()
        try:
            if self.path.lstat().st_ino == self._inode:
                self.path.unlink()
        except OSError:
            pass


class Inherited:
    """A listening socket that somebody else made, and goes on listening at when we end."""

    def __init__(self, descriptor: int) -> None:
        """Take over a descriptor; ApiError if it is no listening Unix socket."""
        try:
            self.socket = socket.socket(fileno=descriptor)
        except OSError as error:
            raise ApiError(
                f"descriptor {descriptor}, handed over, is no socket: {error}"
            ) from error
        if self.socket.family != socket.AF_UNIX or not _listens(self.socket):
            self.socket.close()
            raise ApiError(f"descriptor {descriptor}, handed over, is no listening Unix socket")
        self.socket.set_inheritable(False)
        self.socket.setblocking(False)

    def is_at(self, path: Path) -> bool:
        """Whether callers who look at `path` find it."""
        name = self.socket.getsockname()
        return isinstance(name, str) and os.path.realpath(name) == os.path.realpath(path)

    def close(self) -> None:
        """Let go of it; its path stays."""
        self.socket.close()


def inherit(descriptors: Iterable[int]) -> list[Inherited]:
    """Take over all of them, or none: ApiError."""
    found: list[Inherited] = []
    try:
        found.extend(Inherited(each) for each in descriptors)
    except ApiError:
        for each in found:
            each.close()
        raise
    return found


def _listens(found: socket.socket) -> bool:
    try:
        return bool(found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
    except OSError:  # macOS does not tell
        return True


def _clear(path: Path) -> None:
    """Remove the socket that a daemon left behind when it died."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise ApiError(f"{path}: is there and is no socket; move it away")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as trial:
        trial.settimeout(1.0)
        try:
            trial.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            path.unlink(missing_ok=True)
            return
        except OSError as error:
            if error.errno not in {errno.EAGAIN, errno.ETIMEDOUT} and not isinstance(
                error, TimeoutError
            ):
                raise
    raise ApiError(
        f"{path}: another daemon answers there; stop that one, or give this one a state folder of "
        "its own (--state-dir)"
    )


def _let_through(folder: Path, group: Group) -> None:
    """Let members of a group reach what is in a private folder, without listing it.

    All else in the state folder is for its owner alone.
    """
    found = folder.stat()
    if found.st_mode & stat.S_IXOTH or (found.st_gid == group.gid and found.st_mode & stat.S_IXGRP):
        return
    if found.st_mode & stat.S_IRWXG:
        raise ApiError(
            f"{folder}: its own group can use it, the group {group.name} cannot; give the folder "
            "to that group, or let every user through it (chmod o+x)"
        )
    os.chown(folder, -1, group.gid)
    folder.chmod(stat.S_IMODE(found.st_mode) | stat.S_IXGRP)


def _refusal(path: Path, error: OSError) -> str:
    if error.errno is None and "too long" in str(error):  # Python's own check of sun_path
        return (
            f"{path}: too long for the path of a Unix socket (about 100 characters); choose a "
            "shorter daemon.state_dir"
        )
    symbol = errno.errorcode.get(error.errno or 0, str(error))
    return f"{path}: the API's socket cannot be made ({symbol})"

"""The listening Unix socket: private, at one path, and taken over from a daemon that died."""

from __future__ import annotations

import errno
import socket
import stat
from typing import TYPE_CHECKING, Final

from kevmond.errors import KevmondError

if TYPE_CHECKING:
    from pathlib import Path

SOCKET: Final = "kevmond.sock"
"""Name of the socket in the state folder."""
BACKLOG: Final = 16


class ApiError(KevmondError):
    """The API cannot be served, or cannot be reached."""


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

    def close(self) -> None:
        """Stop listening and take the path away, unless somebody else has it by now."""
        self.socket.close()
        try:
            if self.path.lstat().st_ino == self._inode:
                self.path.unlink()
        except OSError:
            pass


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


def _refusal(path: Path, error: OSError) -> str:
    if error.errno is None and "too long" in str(error):  # Python's own check of sun_path
        return (
            f"{path}: too long for the path of a Unix socket (about 100 characters); choose a "
            "shorter daemon.state_dir"
        )
    symbol = errno.errorcode.get(error.errno or 0, str(error))
    return f"{path}: the API's socket cannot be made ({symbol})"

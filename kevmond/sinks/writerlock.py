"""One writer a file: two would tear each other's lines and rotate under each other's feet.

The lock is an flock(2) on a hidden file beside the one that is written, because that one is renamed
at every rotation.  It ends with its process, however that ends.
"""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING

from kevmond.errors import RetryableError
from kevmond.sinks.files import identity, refused

if TYPE_CHECKING:
    from pathlib import Path

    from kevmond.sinks.files import Files


class WriterLock:
    """The right to write `path`."""

    def __init__(self, path: Path, files: Files) -> None:
        self._path = path
        self._lock_path = path.with_name(f".{path.name}.lock")
        self._files = files
        self.fd: int | None = None

    def take(self) -> None:
        """Take the lock, unless it is held; RetryableError naming the process that holds it.

        Where the file system has no locks there is no protection, and no error.
        """
        if self._is_held():
            return
        self.release()
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW
            fd = self._files.open(self._lock_path, flags, 0o600)
        except OSError as error:
            raise refused(self._lock_path, "cannot be opened", error) from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._files.ftruncate(fd, 0)
            self._files.write(fd, b"%d\n" % os.getpid())
        except BlockingIOError as error:
            owner = self._files.pread(fd, 32, 0).decode("ascii", "replace").strip()
            self._files.close(fd)
            raise RetryableError(
                f"{self._path}: process {owner or 'unknown'} is writing this file; "
                "stop it, or give this sink another path"
            ) from error
        except OSError:
            pass  # no lock on this file system, or no room for the pid
        self.fd = fd

    def _is_held(self) -> bool:
        """Tell whether the lock is held and still the one that others will look at."""
        if self.fd is None:
            return False
        try:
            return identity(self._files.lstat(self._lock_path)) == identity(
                self._files.fstat(self.fd)
            )
        except FileNotFoundError:
            return False

    def release(self) -> None:
        """Let go; harmless twice."""
        if self.fd is not None:
            fd, self.fd = self.fd, None
            self._files.close(fd)

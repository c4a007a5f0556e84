"""The file beside the journal that keeps a second daemon out and remembers what the journal cannot.

    pid 1234
    reserved 131072
    healthy

`reserved` is a position that this and every earlier run stayed below, so that a new journal in
place of a damaged one never gives a position out again.  The last word is cut off before records
are handed out that are not on the disk: cutting a file needs no space even on a full one.  Who
finds it missing knows that the run before died with such records out, and begins at `reserved`.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import time
from typing import TYPE_CHECKING, Final

from kevmond.errors import JournalError

if TYPE_CHECKING:
    from pathlib import Path

_CONTENT: Final = re.compile(rb"pid +(\d+) *\n(?:reserved +(\d+) *\n)?(healthy\n)?")


def lock_path(path: Path) -> Path:
    """Return the file that stands for the right to write the journal `path`."""
    return path.with_name(path.name + ".lock")


class Lock:
    """An advisory lock (flock) on PATH.lock, held until `release` or the end of the process."""

    def __init__(self, path: Path) -> None:
        """Take the lock of the journal `path`; JournalError if another process holds it."""
        self.path = lock_path(path)
        self._fd = _open(self.path)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            content = _CONTENT.match(os.pread(self._fd, 256, 0))
            os.close(self._fd)
            if error.errno not in {errno.EWOULDBLOCK, errno.EACCES}:
                raise JournalError(
                    f"{self.path}: cannot be locked ({error.strerror}); "
                    "put journal.path on a local disk"
                ) from error
            holder = f"process {int(content[1])}" if content else "another process"
            raise JournalError(
                f"{path}: in use by {holder}; stop that kevmond, or give this one its own "
                "journal.path (or daemon.state_dir)"
            ) from None
        content = _CONTENT.match(os.pread(self._fd, 256, 0))
        self.reserved = int(content[2] or 1) if content else 1
        """Position below which earlier runs stayed; 1 if unknown."""
        self.died_unwritten = content is not None and content[3] is None
        """True if the run before died while records were out that no disk had taken."""
        self.healthy = False
        """Whether this run's word stands in the file."""

    def write(self, reserved: int, *, healthy: bool = True) -> None:
        """Note the reservation and the state; a disk that refuses is no reason to stop."""
        content = b"pid %-10d\nreserved %-20d\n" % (os.getpid(), reserved)
        with contextlib.suppress(OSError):
            # Fixed width and one call: nothing is ever half old and half new.
            os.pwrite(self._fd, content + (b"healthy\n" if healthy else b""), 0)
            if not healthy:
                os.ftruncate(self._fd, len(content))
        self.reserved, self.healthy = reserved, healthy

    def degrade(self) -> None:
        """Cut off the word "healthy" (see the module); any thread may do it."""
        if not self.healthy:
            return
        self.healthy = False
        with contextlib.suppress(OSError):
            size = os.fstat(self._fd).st_size
            content = os.pread(self._fd, size, 0)
            os.ftruncate(self._fd, len(content.removesuffix(b"healthy\n")))

    def release(self) -> None:
        """Let the next one in; twice is harmless."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except PermissionError:
        # Another user's, left by a run as root perhaps.  Reading is enough to see whether it is
        # held; if not, it is in the way.
        with contextlib.suppress(OSError):
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.rename(path.with_name(f"{path.name}.{time.time_ns()}"))
            os.close(fd)
            return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        raise

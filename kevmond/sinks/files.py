"""The few calls on files that the jsonl sink makes, as one object that a test can replace.

Short writes, ENOSPC, EIO and EINTR are rare on a healthy machine; behind this seam tests make them
happen at will.
"""

from __future__ import annotations

import errno
import fcntl
import os
from typing import TYPE_CHECKING

from kevmond.errors import RetryableError

if TYPE_CHECKING:
    from pathlib import Path


class Files:
    """System calls on files, by their names."""

    def open(self, path: Path, flags: int, mode: int = 0o600) -> int:
        """System call open; the descriptor is closed on exec."""
        return os.open(path, flags | os.O_CLOEXEC, mode)

    def close(self, fd: int) -> None:
        """System call close."""
        os.close(fd)

    def write(self, fd: int, data: bytes | memoryview) -> int:
        """System call write: it may take less than all of `data`."""
        return os.write(fd, data)

    def pread(self, fd: int, length: int, offset: int) -> bytes:
        """System call pread: b"" at the end of the file."""
        return os.pread(fd, length, offset)

    def ftruncate(self, fd: int, length: int) -> None:
        """System call ftruncate."""
        os.ftruncate(fd, length)

    def fsync(self, fd: int) -> None:
        """Bring a file to the medium: by F_FULLFSYNC on macOS, where fsync stops at the drive."""
        full = getattr(fcntl, "F_FULLFSYNC", None)
        if full is None:
            os.fsync(fd)
        else:
            fcntl.fcntl(fd, full)

    def fstat(self, fd: int) -> os.stat_result:
        """System call fstat."""
        return os.fstat(fd)

    def lstat(self, path: Path) -> os.stat_result:
        """System call lstat."""
        return os.lstat(path)

    def fchmod(self, fd: int, mode: int) -> None:
        """System call fchmod."""
        os.fchmod(fd, mode)

    def rename(self, old: Path, new: Path) -> None:
        """System call rename."""
        os.rename(old, new)  # noqa: PTH104 - the seam is the call itself

    def unlink(self, path: Path) -> None:
        """System call unlink."""
        os.unlink(path)  # noqa: PTH108 - the seam is the call itself

    def listdir(self, path: Path) -> list[str]:
        """Names in a folder, in no order."""
        return os.listdir(path)  # noqa: PTH208 - the seam is the call itself

    def mkdir(self, path: Path, mode: int) -> None:
        """Make a folder and its parents; `mode` holds for the last one only."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode, exist_ok=True)


def identity(found: os.stat_result) -> tuple[int, int]:
    """Return what tells one file from another: device and inode."""
    return found.st_dev, found.st_ino


def refused(path: Path, what: str, error: OSError, hint: str = "") -> RetryableError:
    """Return the error that says which file failed at what, by the errno's symbol."""
    symbol = errno.errorcode.get(error.errno or 0, str(error.errno))
    hint = hint or _HINTS.get(symbol, "")
    return RetryableError(
        f"{path}: {what}: {symbol} ({error.strerror})" + (f"; {hint}" if hint else "")
    )


_HINTS = {
    "ENOSPC": "free space on this disk; what waits is kept in the journal",
    "EDQUOT": "the disk quota is used up; what waits is kept in the journal",
    "EACCES": "give the daemon's user the right to write there",
    "EPERM": "give the daemon's user the right to write there",
    "EROFS": "the file system is mounted read-only",
    "ELOOP": "it is a symbolic link; give the path it leads to",
    "EISDIR": "it is a folder; give the path of a file",
}

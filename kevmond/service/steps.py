"""What an installation does, one step at a time: each can be shown as a shell command, or done."""

from __future__ import annotations

import contextlib
import os
import shlex
import stat
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from kevmond.errors import KevmondError
from kevmond.trust import user_name

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from kevmond.service.place import Host


class StepError(KevmondError):
    """A step could not be done."""


class Step(Protocol):
    """One thing to do."""

    def shown(self) -> str:
        """Return it as a command for a shell."""

    def content(self) -> bytes:
        """Return what it writes, to be shown too."""

    def do(self) -> str:
        """Do it, and tell what was done; "" if there was nothing to do.  Raises StepError."""


@dataclass(frozen=True, slots=True)
class Folder:
    """Make a folder, and the folders above it; one that is there keeps its mode."""

    host: Host
    path: Path
    mode: int
    owner: int
    group: int | None = None
    """Group that may pass through it."""

    def shown(self) -> str:
        """Return it as a command for a shell."""
        group = "" if self.group is None else f" -g {self.group}"
        path, user = quoted(self.path), user_name(self.owner)
        return f"test -d {path} || install -d -m {self.mode:o} -o {user}{group} {path}"

    def content(self) -> bytes:
        """Nothing is written."""
        return b""

    def do(self) -> str:
        """Make it."""
        disk = self.host.disk(self.path)
        try:
            if not disk.is_dir():
                for parent in reversed(disk.parents):
                    with contextlib.suppress(FileExistsError):
                        parent.mkdir(mode=0o755)
                disk.mkdir(mode=0o700)
                _give(disk, self.owner, self.group)
                disk.chmod(self.mode)
                return f"made the folder {self.path}"
            found = disk.stat()
            lacking = self.mode & ~stat.S_IMODE(found.st_mode)
            if self.group is not None and (lacking or found.st_gid != self.group):
                _give(disk, found.st_uid, self.group)
                disk.chmod(stat.S_IMODE(found.st_mode) | self.mode)
                return f"let a group through the folder {self.path}"
        except OSError as error:
            raise StepError(f"{self.path}: {error.strerror}") from error
        return ""


@dataclass(frozen=True, slots=True)
class Write:
    """Write a file whole or not at all; one that says so already is left alone."""

    host: Host
    path: Path
    data: bytes
    owner: int
    mode: int = 0o644

    def shown(self) -> str:
        """Return it as a command for a shell."""
        way = f"install -m {self.mode:o} -o {user_name(self.owner)} /dev/stdin {quoted(self.path)}"
        return f"{way} <<'END'"

    def content(self) -> bytes:
        """Return what is written."""
        return self.data

    def do(self) -> str:
        """Write it beside the old one and put it in its place."""
        disk = self.host.disk(self.path)
        try:
            if _says(disk, self):
                return ""
            descriptor, name = tempfile.mkstemp(prefix=f".{disk.name}.", dir=disk.parent)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(self.data)
                    os.fchmod(file.fileno(), self.mode)
                    if os.fstat(file.fileno()).st_uid != self.owner:
                        os.fchown(file.fileno(), self.owner, -1)
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(name, disk)  # noqa: PTH105 - mkstemp returns a name
            except BaseException:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(name)  # noqa: PTH108 - as above
                raise
        except OSError as error:
            raise StepError(f"{self.path}: {error.strerror}") from error
        return f"wrote {self.path}"


@dataclass(frozen=True, slots=True)
class Empty:
    """Make a private file of a user's; what is in one that is there stays."""

    host: Host
    path: Path
    owner: int

    def shown(self) -> str:
        """Return it as a command for a shell."""
        path, user = quoted(self.path), user_name(self.owner)
        return f"touch {path} && chown {user} {path} && chmod 600 {path}"

    def content(self) -> bytes:
        """Nothing is written."""
        return b""

    def do(self) -> str:
        """Make it."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            descriptor = os.open(self.host.disk(self.path), flags, 0o600)
            try:
                if os.fstat(descriptor).st_uid != self.owner:
                    os.fchown(descriptor, self.owner, -1)
                os.fchmod(descriptor, 0o600)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise StepError(f"{self.path}: {error.strerror}") from error
        return ""


@dataclass(frozen=True, slots=True)
class Remove:
    """Remove a file, if it is there."""

    host: Host
    path: Path

    def shown(self) -> str:
        """Return it as a command for a shell."""
        return f"rm -f {quoted(self.path)}"

    def content(self) -> bytes:
        """Nothing is written."""
        return b""

    def do(self) -> str:
        """Remove it."""
        try:
            self.host.disk(self.path).unlink()
        except FileNotFoundError:
            return ""
        except OSError as error:
            raise StepError(f"{self.path}: {error.strerror}") from error
        return f"removed {self.path}"


@dataclass(frozen=True, slots=True)
class Call:
    """Run a command: shown as it is, done by a function that knows what may come of it."""

    command: tuple[str, ...]
    run: Callable[[], str]

    def shown(self) -> str:
        """Return it as a command for a shell."""
        return shlex.join(self.command)

    def content(self) -> bytes:
        """Nothing is written."""
        return b""

    def do(self) -> str:
        """Run it."""
        return self.run()


def _says(disk: Path, step: Write) -> bool:
    """Whether a file is what the step would make of it."""
    try:
        found = disk.lstat()
        return (
            stat.S_ISREG(found.st_mode)
            and stat.S_IMODE(found.st_mode) == step.mode
            and found.st_uid == step.owner
            and disk.read_bytes() == step.data
        )
    except FileNotFoundError:
        return False


def _give(disk: Path, owner: int, group: int | None) -> None:
    found = disk.stat()
    if found.st_uid != owner or group is not None:
        os.chown(disk, owner, -1 if group is None else group)


def quoted(path: Path) -> str:
    """Return a path as a shell takes it."""
    return shlex.quote(str(path))

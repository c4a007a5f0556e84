"""A state folder given to another user, with what kevmond itself made in it and nothing else.

Whoever may write to the folder might have put anything there under kevmond's names, and root's
chown(2) on it would be theirs: no symbolic link is followed, a file with a second name (a hard
link) is refused, and so is a folder of root's that holds something which is not kevmond's.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shlex
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final

from kevmond.errors import ConfigError
from kevmond.trust import user_name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kevmond.service.privileges import Account

_OPEN: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_FOLDER: Final = _OPEN | os.O_DIRECTORY
_SYSTEM_S: Final = frozenset({".DS_Store"})
"""Names that a system puts into folders."""
_SHOWN: Final = 3
"""Names of foreign files in an error."""


class StateNames:
    """Which names in a state folder are kevmond's."""

    def __init__(self, folder: Path, paths: Iterable[Path]) -> None:
        """`paths` are files that kevmond writes; those elsewhere do not count."""
        self._below: dict[Path, list[str]] = {}
        for path in paths:
            with contextlib.suppress(ValueError):  # it lies elsewhere
                inside = path.relative_to(folder)
                for part in (inside, *inside.parents[:-1]):
                    self._below.setdefault(part.parent, []).append(part.name)

    def has(self, inside: Path) -> bool:
        """Whether a path, relative to the folder, is kevmond's: a file, or one that belongs to it.

        To `x.jsonl` belong `.x.jsonl.lock`, `x.jsonl-wal`, `x-2026....jsonl.gz` and the like.
        """
        name = inside.name.removeprefix(".")
        return any(
            name == own or re.match(rf"{re.escape(Path(own).stem)}[-.]", name)
            for own in self._below.get(inside.parent, [])
        )


def make_folder(path: Path) -> None:
    """Make a private folder; its parents are made for all to pass through."""
    try:
        for parent in reversed(path.parents):
            if not parent.exists():
                parent.mkdir()
                parent.chmod(0o755)  # whatever the umask: as the system's own are
        path.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        symbol = errno.errorcode.get(error.errno or 0, "an error")
        if isinstance(error, FileExistsError):
            symbol = "EEXIST: it is no folder"
        raise ConfigError(
            f"daemon.state_dir: {path} cannot be made ({symbol}); name another by --state-dir"
        ) from error


def hand_over(folder: Path, names: StateNames, owner: Account) -> None:
    """Give a folder, and what is kevmond's in it, to a user; ConfigError if that is unsafe."""
    try:
        _check_links(folder.absolute())
        fd = os.open(folder.resolve(), _FOLDER)
        try:
            _check_links(folder.absolute())  # again: it may have been changed meanwhile
            _give_folder(fd, folder, Path(), names, owner)
        finally:
            os.close(fd)
    except OSError as error:
        raise ConfigError(
            f"daemon.state_dir: {folder} cannot be given to {owner.name} ({error.strerror}); name "
            "another by --state-dir"
        ) from error


def _check_links(folder: Path) -> None:
    """Refuse a way to the folder that somebody but root has laid by a symbolic link."""
    for part in (folder, *folder.parents):
        found = part.lstat()
        if stat.S_ISLNK(found.st_mode) and found.st_uid != 0:
            raise ConfigError(
                f"daemon.state_dir: {part} is a symbolic link of {user_name(found.st_uid)}'s, who "
                f"could have it lead anywhere; name the folder itself: {part.resolve()}"
            )


def _give_folder(fd: int, path: Path, inside: Path, names: StateNames, owner: Account) -> None:
    found = os.fstat(fd)
    if found.st_uid not in {0, owner.uid}:
        raise ConfigError(_of_another(path, found, owner))
    listed = sorted(os.listdir(fd))
    foreign = [name for name in listed if not names.has(inside / name) and name not in _SYSTEM_S]
    if foreign and found.st_uid == 0 != owner.uid:
        shown = ", ".join(foreign[:_SHOWN]) + (", ..." if len(foreign) > _SHOWN else "")
        raise ConfigError(
            f"daemon.state_dir: {path} is root's and holds what is not kevmond's ({shown}): give "
            f"{owner.name} a folder of its own, or this one: "
            f"sudo chown {owner.name} {shlex.quote(str(path))}"
        )
    for name in listed:
        if name not in foreign and name not in _SYSTEM_S:
            _give(fd, path / name, inside / name, names, owner)
    if found.st_uid != owner.uid:
        os.fchown(fd, owner.uid, owner.gid)


def _give(folder: int, path: Path, inside: Path, names: StateNames, owner: Account) -> None:
    found = os.stat(path.name, dir_fd=folder, follow_symlinks=False)
    is_folder = stat.S_ISDIR(found.st_mode)
    if not is_folder and (found.st_uid == owner.uid or not stat.S_ISREG(found.st_mode)):
        return  # links and sockets are left as they are: what they are for is made anew
    fd = os.open(path.name, _FOLDER if is_folder else _OPEN, dir_fd=folder)
    try:
        if is_folder:
            _give_folder(fd, path, inside, names, owner)
            return
        found = os.fstat(fd)
        if found.st_uid != 0:
            raise ConfigError(_of_another(path, found, owner))
        if found.st_nlink != 1:
            raise ConfigError(
                f"daemon.state_dir: {path} is root's and has another name elsewhere (a hard link), "
                f"so it is not given to {owner.name}: move it away"
            )
        os.fchown(fd, owner.uid, owner.gid)
    finally:
        os.close(fd)


def _of_another(path: Path, found: os.stat_result, owner: Account) -> str:
    return (
        f"daemon.state_dir: {path} belongs to {user_name(found.st_uid)}; if it is to be "
        f"{owner.name}'s: sudo chown -R {owner.name} {shlex.quote(str(path))}"
    )

"""Whether a file may be believed: nobody but its owner can change it, and the owner is one of us.

What decides where events go and which programs run (the configuration, files with secrets) is held
to what sudo(8) and sshd(8) ask of theirs: owned by root or by the user that kevmond runs as, and
neither the file nor a folder through which its name leads writable by others.  A group does not
count as others if it is its owner's own and nobody else is in it, as many Linux systems make them;
sticky folders do not count, for nobody can take another's file away there.  Folders further up are
not looked at: Homebrew's, for one, belong to a group.  Access control lists of macOS are not seen.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Final

from kevmond.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

_LINKS: Final = 40
"""Most symbolic links that a name leads through; the systems' own limits are 32 and 40."""


class TrustError(ConfigError):
    """A file that others may change is refused; one line for each reason."""


def read(path: Path) -> str:
    """Return the text of a file that is to be believed.

    Raises TrustError if others may change it, OSError or UnicodeDecodeError if it cannot be read.
    """
    with path.open(encoding="utf-8") as file:
        complaints = [*_of_file(path, os.fstat(file.fileno())), *_of_folders(path)]
        if complaints:
            raise TrustError("\n".join(complaints))
        return file.read()


def open_to_others(path: Path) -> str | None:
    """Return one line if a file that holds a secret can be read by everybody; None if not."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return None
    if not stat.S_ISREG(mode) or not mode & stat.S_IROTH:
        return None
    return f"everybody may read it (mode {stat.S_IMODE(mode):04o}): {_command('chmod o-r', path)}"


def _of_file(path: Path, found: os.stat_result) -> list[str]:
    if stat.S_ISCHR(found.st_mode):  # /dev/null, /dev/stdin: only root makes devices
        return []
    real = path.resolve()
    return [*_owned(real, found, "it"), *_loose(real, found, "change it")]


def _of_folders(path: Path) -> list[str]:
    """Return what is wrong with the folders, and links, that decide which file the name is of."""
    told: dict[str, None] = {}  # a set that keeps its order
    name = path
    for _ in range(_LINKS):
        folder = name.parent.resolve()
        found = folder.stat()
        told |= dict.fromkeys(_owned(folder, found, "its folder"))
        if not found.st_mode & stat.S_ISVTX:
            told |= dict.fromkeys(_loose(folder, found, "put another file in its place"))
        name = folder / name.name
        if not name.is_symlink():
            break
        told |= dict.fromkeys(_owned(name, name.lstat(), "its link", "chown -h"))
        name = folder / name.readlink()
    return list(told)


def _owned(path: Path, found: os.stat_result, what: str, chown: str = "chown") -> list[str]:
    if found.st_uid in {0, os.geteuid()}:
        return []
    us = user_name(os.geteuid())
    ours = us if us == "root" else f"{us} or root"
    way = _command(f"sudo {chown} {us}", path)
    return [f"{what} must belong to {ours} ({_facts(path, found)}): {way}"]


def _loose(path: Path, found: os.stat_result, harm: str) -> list[str]:
    group = found.st_mode & stat.S_IWGRP and not _is_private(found)
    bits = ("g" if group else "") + ("o" if found.st_mode & stat.S_IWOTH else "")
    if not bits:
        return []
    who = f"the group {group_name(found.st_gid)}" if bits == "g" else "everybody"
    return [f"{who} may {harm} ({_facts(path, found)}): {_command(f'chmod {bits}-w', path)}"]


def _facts(path: Path, found: os.stat_result) -> str:
    return f"{path}: mode {stat.S_IMODE(found.st_mode):04o}, owner {user_name(found.st_uid)}"


def _is_private(found: os.stat_result) -> bool:
    """Whether a file's group is its owner's own, with nobody else in it."""
    import grp  # noqa: PLC0415 - few files are writable by a group
    import pwd  # noqa: PLC0415 - as above

    try:
        owner = pwd.getpwuid(found.st_uid)
        group = grp.getgrgid(found.st_gid)
    except KeyError:
        return False
    return (
        group.gr_name == owner.pw_name
        and owner.pw_gid == group.gr_gid
        and not set(group.gr_mem) - {owner.pw_name}
    )


def user_name(uid: int) -> str:
    """Return the name of a user, or its number if it has none."""
    import pwd  # noqa: PLC0415 - asked only when something is wrong

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def group_name(gid: int) -> str:
    """Return the name of a group, or its number if it has none."""
    import grp  # noqa: PLC0415 - asked only when something is wrong

    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return f"gid {gid}"


def _command(command: str, path: Path) -> str:
    import shlex  # noqa: PLC0415 - asked only when something is wrong

    return f"{command} {shlex.quote(str(path))}"

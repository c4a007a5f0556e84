"""Who could change what launchd is going to run: every folder on the way to it counts.

launchd asks of its property lists that nobody but root can write them.  The same must hold for what
they name, or whoever can change that is root from the next start on.  A member of the group admin
may be root anyway (sudo), so folders that belong to that group, as Homebrew's and python.org's do,
are none of its business.  Access control lists are not seen.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final

from kevmond.trust import group_name, user_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kevmond.service.place import Host

_ADMINISTRATORS: Final = frozenset({0, 80})
"""Groups wheel and admin of macOS."""
_LINKS: Final = 40


def complaints(host: Host, path: Path, owners: frozenset[int]) -> Iterator[str]:
    """Say who but `owners` could change what is at `path`, or put something else there.

    Looked at are the path, what it leads to, and every folder above each.  A path that is not there
    is judged by the folders that are.
    """
    for name in _way(host, path):
        try:
            found = host.disk(name).lstat()
        except OSError:
            continue
        if found.st_uid not in owners:
            yield f"{name} belongs to {user_name(found.st_uid)}"
        elif stat.S_ISLNK(found.st_mode):
            continue
        elif found.st_mode & stat.S_IWOTH and not found.st_mode & stat.S_ISVTX:
            yield f"{name} can be changed by everybody (mode {stat.S_IMODE(found.st_mode):04o})"
        elif found.st_mode & stat.S_IWGRP and found.st_gid not in _ADMINISTRATORS:
            yield (
                f"{name} can be changed by the group {group_name(found.st_gid)} "
                f"(mode {stat.S_IMODE(found.st_mode):04o})"
            )


def owner(host: Host, path: Path) -> int | None:
    """User that a path belongs to; None if it is not there."""
    try:
        return host.disk(path).stat().st_uid
    except OSError:
        return None


def _way(host: Host, path: Path) -> Iterator[Path]:
    """Every name that counts on the way to `path`, from the root down, links followed."""
    seen: set[Path] = set()
    todo = [path]
    for _ in range(_LINKS):
        if not todo:
            return
        for name in (*reversed((whole := todo.pop()).parents), whole):
            if name in seen:
                continue
            seen.add(name)
            yield name
            try:
                target = host.disk(name).readlink()
            except OSError:
                continue
            rest = whole.relative_to(name)
            todo.append(Path(os.path.normpath(name.parent / target / rest)))
            break

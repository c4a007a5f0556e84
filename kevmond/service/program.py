"""Which program a job is to start, so that it is still there after the next upgrade.

It is the interpreter that runs now, by the name it was called by, with `-m kevmond`: a virtual
environment (pipx and uv make one each) is found by that name only, and what a symbolic link leads
to would be the bare interpreter.  Homebrew's folders bear a version; their stable name is another.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final

from kevmond.errors import KevmondError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from kevmond.service.place import Host

_CELLAR: Final = "Cellar"
_PATIENCE: Final = 60.0
_TEMPORARY: Final = ("/tmp", "/var/tmp", "/var/folders")  # noqa: S108 - told from, not used
_CACHES: Final = ("Library/Caches", ".cache")
_PRIVATE: Final = ("Desktop", "Documents", "Downloads", "Library/Mobile Documents")
"""Folders of a home that macOS shows to programs only with their user's consent (TCC)."""
_HOMES: Final = Path("/Users")
_IN_HOME: Final = 3
"""Parts of a home's path: /, Users, name."""


class ProgramError(KevmondError):
    """The program that launchd is to start does not run."""


def command(host: Host) -> tuple[str, ...]:
    """Return the interpreter and what to run in it.

    -P keeps the folder that it is started in from being searched for modules.
    """
    return (str(stable(host)), "-P", "-m", "kevmond")


def stable(host: Host) -> Path:
    """Return the interpreter's name that outlives an upgrade: PREFIX/opt/NAME of Homebrew's."""
    parts = host.executable.parts
    if _CELLAR not in parts:
        return host.executable
    at = parts.index(_CELLAR)
    name, rest = parts[at + 1 : at + 2], parts[at + 3 :]
    stable = Path(*parts[:at], "opt", *name, *rest)
    if not host.disk(stable).exists():
        return host.executable
    return stable


def doubts(host: Host, path: Path, what: str) -> Iterator[str]:
    """Say why a path may not be there, or may not be readable, when launchd needs it.

    `what` is what it is for, such as "the program".
    """
    said = f"{what} ({path})"
    plain = Path("/", *path.parts[2:]) if path.parts[:2] == ("/", "private") else path
    home = Path(*path.parts[:_IN_HOME]) if path.is_relative_to(_HOMES) else host.home
    if any(plain.is_relative_to(folder) for folder in _TEMPORARY):
        yield f"{said} lies in a temporary folder, which macOS empties: install it elsewhere"
    elif any(path.is_relative_to(home / folder) for folder in _CACHES):
        yield f"{said} lies in a cache, which may be emptied: install it elsewhere (pipx install)"
    elif any(path.is_relative_to(home / folder) for folder in _PRIVATE):
        yield (
            f"{said} lies where macOS lets programs look only with their user's consent, which a "
            "service cannot ask for: move it out of Desktop, Documents, Downloads and iCloud"
        )
    elif path.is_relative_to("/Volumes"):
        yield f"{said} lies on a volume that may not be there at boot: move it to the system's own"
    elif _CELLAR in path.parts:
        yield (
            f"{said} bears a version of Homebrew's in its name, and goes with the next upgrade: "
            f"run `kevmond service install` again then"
        )


def try_out(arguments: Sequence[str], *, environment: Mapping[str, str], user: str | None) -> str:
    """Run `--version` as launchd would, and return what it says; ProgramError if it does not."""
    try:
        done = subprocess.run(  # noqa: S603 - our own program, no shell
            [*arguments, "--version"],
            capture_output=True,
            text=True,
            errors="replace",
            cwd="/",
            env=dict(environment),
            user=user,
            timeout=_PATIENCE,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise ProgramError(_does_not_run(arguments, user, str(error))) from error
    if done.returncode != 0:
        said = (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1]
        raise ProgramError(_does_not_run(arguments, user, said))
    return done.stdout.strip()


def _does_not_run(arguments: Sequence[str], user: str | None, why: str) -> str:
    who = f" as {user}" if user else ""
    advice = (
        f"install it where {user} can read it: sudo pipx install --global kevmond"
        if user
        else "install kevmond again, and call that one"
    )
    return f"{arguments[0]}: kevmond does not run{who} with launchd's environment ({why}); {advice}"

"""Secrets that were given at run time: one private file each, referred to as `file:PATH`.

The journal, and everything that is shown, then holds references only, as a configuration does.  A
file is named by its subscription and a random tail and never written twice: a rotation that is
interrupted leaves the secret in force untouched.  It is known by its name alone, wherever the state
folder is by now: moved, or reached by another path.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from kevmond.errors import ConfigError
from kevmond.faultpoints import fault
from kevmond.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

_OURS: Final = re.compile(r"webhook-.+-[0-9a-f]{12}")


class SecretFiles:
    """The folder of them, below the daemon's state folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def keep(self, name: str, secret: str) -> Secret:
        """Write a secret of the subscription `name` to the disk and return the reference to it."""
        path = self.folder / f"webhook-{name}-{secrets.token_hex(6)}"
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with open(fd, "wb") as file:  # noqa: PTH123 - a descriptor of our own making
                file.write(secret.encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
            self._sync_folder()
        except OSError as error:
            with contextlib.suppress(OSError):
                path.unlink()
            raise ConfigError(f"{path}: the secret cannot be kept ({error.strerror})") from error
        fault("subscription.after-secret")
        return Secret(f"file:{path}")

    def drop(self, gone: Iterable[str]) -> None:
        """Delete the files behind references, as far as they are files of this folder."""
        for reference in gone:
            path = self._here(reference)
            if path is not None:
                with contextlib.suppress(OSError):
                    path.unlink()

    def sweep(self, kept: Collection[str]) -> None:
        """Delete what a change that was interrupted left behind.

        A file whose name is anywhere in the texts that are `kept` of subscriptions stays.
        """
        with contextlib.suppress(OSError):
            for path in self.folder.iterdir():
                if _OURS.fullmatch(path.name) and not any(path.name in text for text in kept):
                    with contextlib.suppress(OSError):
                        path.unlink()

    def anchored(self, table: Mapping[str, Any]) -> dict[str, Any]:
        """Return settings whose references to files of this folder name its present path."""
        found = dict(table)
        given = references(table)
        if given:
            found["secret"] = [self._anchored(reference) for reference in given]
        return found if any(map(self._is_astray, given)) else dict(table)

    def _anchored(self, reference: str) -> str:
        return f"file:{self._here(reference)}" if self._is_astray(reference) else reference

    def _is_astray(self, reference: str) -> bool:
        """Whether a file of this folder is referred to by a path that is not the present one."""
        path = self._here(reference)
        return path is not None and reference != f"file:{path}" and path.is_file()

    def _here(self, reference: str) -> Path | None:
        """Return where a file of ours is; None if the reference is to something else."""
        if not reference.startswith("file:"):
            return None
        name = Path(reference.removeprefix("file:")).name
        return self.folder / name if _OURS.fullmatch(name) else None

    def _sync_folder(self) -> None:
        fd = os.open(self.folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def references(table: Mapping[str, Any] | None) -> list[str]:
    """Return the references to secrets in settings as they were given, understood or not."""
    given = (table or {}).get("secret", [])
    listed = given if isinstance(given, (list, tuple)) else [given]
    return [one for one in listed if isinstance(one, str)]

"""Secrets that were given at run time: one private file each, referred to as `file:PATH`.

The journal, and everything that is shown, then holds references only, as a configuration does.  A
file is named by its subscription and a random tail and never written twice: a rotation that is
interrupted leaves the secret in force untouched.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Final

from kevmond.errors import ConfigError
from kevmond.faultpoints import fault
from kevmond.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Iterable

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

    def drop(self, gone: Iterable[Secret]) -> None:
        """Delete the files behind references, as far as they are files of this folder."""
        for secret in gone:
            path = Path(secret.reference.removeprefix("file:"))
            if path.parent == self.folder and _OURS.fullmatch(path.name):
                with contextlib.suppress(OSError):
                    path.unlink()

    def sweep(self, used: Iterable[Secret]) -> None:
        """Delete what a change that was interrupted left behind."""
        kept = {secret.reference for secret in used}
        with contextlib.suppress(OSError):
            found = [Secret(f"file:{path}") for path in self.folder.iterdir()]
            self.drop(secret for secret in found if secret.reference not in kept)

    def _sync_folder(self) -> None:
        fd = os.open(self.folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

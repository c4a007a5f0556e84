"""The job that is installed: its property list, read back."""

from __future__ import annotations

import plistlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.parsers.expat import ExpatError

from kevmond.errors import KevmondError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kevmond.service.place import Host, Place


class UnreadableError(KevmondError):
    """The property list cannot be read."""


@dataclass(frozen=True, slots=True)
class Installed:
    """What it was installed with."""

    listed: dict[str, Any]
    """The property list."""

    @property
    def arguments(self) -> list[str]:
        """The command."""
        found = self.listed.get("ProgramArguments", [])
        return [str(word) for word in found] if isinstance(found, list) else []

    @property
    def program(self) -> Path | None:
        """What is started."""
        return Path(self.arguments[0]) if self.arguments else None

    @property
    def config(self) -> Path | None:
        """Configuration that the daemon reads."""
        return _after(self.arguments, "--config")

    @property
    def state_dir(self) -> Path | None:
        """State folder, where the job names it."""
        return _after(self.arguments, "--state-dir")

    @property
    def user(self) -> str | None:
        """Who it runs as, where the job says so."""
        return self._text("UserName")

    @property
    def error_file(self) -> Path | None:
        """Where standard error goes."""
        told = self._text("StandardErrorPath")
        return None if told is None else Path(told)

    def _text(self, key: str) -> str | None:
        told = self.listed.get(key)
        return told if isinstance(told, str) else None


def read(host: Host, place: Place) -> Installed | None:
    """Read what is installed; None if nothing is.  Raises UnreadableError."""
    try:
        listed = plistlib.loads(host.disk(place.plist).read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError, ExpatError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no property list"
        raise UnreadableError(
            f"{place.plist}: {why}; write it anew: kevmond service install{place.words}"
        ) from error
    if not isinstance(listed, dict):
        raise UnreadableError(f"{place.plist}: it is no dictionary")
    return Installed(listed)


def differences(installed: dict[str, Any], wanted: dict[str, Any], key: str = "") -> list[str]:
    """Tell what a newly written property list would have otherwise: one line a key."""
    told = []
    for name in (*wanted, *(name for name in installed if name not in wanted)):
        where = f"{key}{name}"
        old, new = installed.get(name), wanted.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            told += differences(old, new, f"{where}.")
        elif old != new or type(old) is not type(new):
            told.append(f"{where} is {_shown(old)}, it would be {_shown(new)}")
    return told


def _shown(value: Any) -> str:
    if value is None:
        return "not there"
    if isinstance(value, list):
        return " ".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _after(words: Sequence[str], option: str) -> Path | None:
    try:
        return Path(words[words.index(option) + 1])
    except (ValueError, IndexError):
        return None

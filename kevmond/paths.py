"""Where kevmond keeps things, and paths in a configuration."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, ValidationInfo


def default_state_dir() -> Path:
    """Folder for the journal and the event files when the configuration names none.

    root: /Library/Application Support/kevmond on macOS, /var/lib/kevmond elsewhere; another user:
    the same folder of the home directory on macOS, $XDG_STATE_HOME/kevmond elsewhere.
    """
    if os.geteuid() == 0:
        if sys.platform == "darwin":
            return Path("/Library/Application Support/kevmond")
        return Path("/var/lib/kevmond")
    if sys.platform == "darwin":
        return Path.home() / "Library/Application Support/kevmond"
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "kevmond"


def config_search_path() -> list[Path]:
    """Return the files that are looked for, first found wins, when no --config is given."""
    named = os.environ.get("KEVMOND_CONFIG")
    if named:
        return [Path(named)]
    home = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    places = [home / "kevmond/kevmond.toml"]
    if sys.platform == "darwin":
        places += [
            Path("/Library/Application Support/kevmond/kevmond.toml"),
            Path("/opt/homebrew/etc/kevmond/kevmond.toml"),
            Path("/usr/local/etc/kevmond/kevmond.toml"),
        ]
    return [*places, Path("/etc/kevmond/kevmond.toml")]


def _under_state_dir(path: Path, info: ValidationInfo) -> Path:
    try:
        path = path.expanduser()
    except RuntimeError as error:
        raise ValueError(str(error)) from error
    state_dir = (info.context or {}).get("state_dir")
    return path if state_dir is None else Path(state_dir) / path


StatePath = Annotated[Path, AfterValidator(_under_state_dir)]
"""A file of the daemon: `~` is expanded, and a relative path is taken below `state_dir`."""

"""Where an installation lies: the daemon of the whole machine, or the agent of one user."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from kevmond.service import launchd

_SUPPORT = "Library/Application Support/kevmond"
_CONFIG = "kevmond/kevmond.toml"


@dataclass(frozen=True, slots=True)
class Host:
    """The machine that is installed on, and who installs."""

    platform: str
    """As sys.platform has it."""
    uid: int
    """Effective user."""
    home: Path
    """That user's home folder."""
    executable: Path
    """The interpreter that runs now, by the name it was called by: it tells the environment."""
    package: Path
    """Folder of the kevmond that runs now."""
    root: Path = Path("/")
    """What stands for the root folder: what is written and looked at lies below it."""
    superuser: int = 0
    """User that owns the system's files; another than root's only where `root` is another."""

    @property
    def is_mac(self) -> bool:
        """Whether launchd is here."""
        return self.platform == "darwin"

    def disk(self, path: Path) -> Path:
        """Return where `path` really lies."""
        return self.root / path.relative_to("/")


def here() -> Host:
    """Return the machine that this runs on."""
    return Host(
        platform=sys.platform,
        uid=os.geteuid(),
        home=Path.home(),
        executable=Path(sys.executable).absolute(),
        package=Path(__file__).resolve().parents[1],
    )


@dataclass(frozen=True, slots=True)
class Place:
    """What launchd knows an installation by, and its files."""

    agent: bool
    label: str
    domain: str
    """Where launchd keeps it: system, or gui/UID."""
    plist: Path
    error_file: Path
    state_dir: Path
    """State folder, unless another is named."""
    config: Path
    """Where a configuration is made if there is none."""
    configs: tuple[Path, ...]
    """Where there may be one already, in the order in which they are looked for."""
    newsyslog: Path | None
    """What has the system bound the error file; an agent's user cannot write there."""

    @property
    def target(self) -> str:
        """What launchctl calls the service by."""
        return f"{self.domain}/{self.label}"

    @property
    def words(self) -> str:
        """Return what a command about it ends with."""
        return " --agent" if self.agent else ""


def daemon(user: str | None = None) -> Place:
    """Return the places of the daemon of the whole machine.

    One that runs as another user than root owns its state folder, so that its configuration is kept
    elsewhere.
    """
    folder = Path("/") / _SUPPORT
    etc = Path("/etc") / _CONFIG
    own = folder / "kevmond.toml" if user is None else etc
    brews = (Path("/opt/homebrew/etc") / _CONFIG, Path("/usr/local/etc") / _CONFIG)
    return Place(
        agent=False,
        label=launchd.DAEMON,
        domain="system",
        plist=Path("/Library/LaunchDaemons") / f"{launchd.DAEMON}.plist",
        error_file=Path("/var/log/kevmond.err"),
        state_dir=folder,
        config=own,
        configs=(folder / "kevmond.toml", *brews, etc),
        newsyslog=Path("/etc/newsyslog.d/kevmond.conf"),
    )


def agent(host: Host) -> Place:
    """Return the places of an agent of the user who asks."""
    config = host.home / ".config" / _CONFIG
    return Place(
        agent=True,
        label=launchd.AGENT,
        domain=f"gui/{host.uid}",
        plist=host.home / "Library/LaunchAgents" / f"{launchd.AGENT}.plist",
        error_file=host.home / "Library/Logs/kevmond.err",
        state_dir=host.home / _SUPPORT,
        config=config,
        configs=(config,),
        newsyslog=None,
    )

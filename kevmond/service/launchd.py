"""The jobs that launchd runs kevmond as: what their property lists say, and why (launchd.plist(5)).

launchd can tell one thing of an exit: whether it was a success.  So `KeepAlive` starts the daemon
again after every failure, no more often than `THROTTLE` allows; and `kevmond run --launchd` makes a
configuration that cannot be used a success, after saying so, because trying again would not mend
it (`kevmond.service.job`).
"""

from __future__ import annotations

import math
import plistlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from kevmond.service.activation import SOCKET_KEY

if TYPE_CHECKING:
    from collections.abc import Mapping

DAEMON: Final = "net.kevmond.daemon"
"""Label of the job that runs for the whole machine, from boot on."""
AGENT: Final = "net.kevmond.agent"
"""Label of the job that runs for one user, while that user is logged in at the screen."""
THROTTLE: Final = 30
"""Least seconds between two starts: a failing start costs two processes a minute, no more."""
MARGIN: Final = 10
"""Seconds, beyond those that a stop is given, that launchd waits before it kills: the interpreter's
own start and end, on a machine that is busy shutting down."""
STOP: Final = 10.0
"""Seconds that a stop is given by default: daemon.drain_deadline and the journal's own."""

_ENVIRONMENT: Final = {"LANG": "en_US.UTF-8", "PATH": "/usr/bin:/bin:/usr/sbin:/sbin"}
_PRIVATE: Final = 0o600
_GROUP_S: Final = 0o660
_SUN_PATH: Final = 103
"""Most bytes in the path of a Unix socket on macOS (sys/un.h), without the final NUL."""


@dataclass(frozen=True, slots=True)
class Socket:
    """The API's socket, which launchd makes, and keeps while the daemon is restarted."""

    path: Path
    owner: int | None = None
    """User that it belongs to; None: the one that launchd makes it as, root for a daemon."""
    group: int | None = None
    """Group whose members may connect too."""

    @property
    def fits(self) -> bool:
        """Whether macOS takes a path of this length."""
        return len(str(self.path).encode()) <= _SUN_PATH


@dataclass(frozen=True, slots=True)
class Job:
    """What differs from one installation to another."""

    label: str
    program: tuple[str, ...]
    """How kevmond is called: a command, or an interpreter and what to run."""
    config: Path
    error_file: Path
    """Takes what is said before the daemon runs; never events."""
    socket: Socket | None
    state_dir: Path | None = None
    """State folder, if it is neither the default one nor named by the configuration."""
    user: str | None = None
    """Who it runs as; None: root for a daemon, the user logged in for an agent."""
    stop: float = STOP
    """Seconds that the daemon may take to stop."""

    @property
    def arguments(self) -> list[str]:
        """The whole command."""
        command = [*self.program, "run", "--launchd", "--config", str(self.config)]
        return command if self.state_dir is None else [*command, "--state-dir", str(self.state_dir)]


def properties(job: Job) -> dict[str, Any]:
    """Return the property list of a job.

    What it says by saying nothing: no SoftResourceLimits, whose NumberOfFiles would set
    kern.maxfiles of the whole machine (the daemon raises its own limit instead); no
    WorkingDirectory, so nothing is found by chance; no LimitLoadToSessionType, so an agent runs in
    the session at the screen and is not loaded a second time in others.
    """
    listed: dict[str, Any] = {
        "Label": job.label,
        "ProgramArguments": job.arguments,
        "EnvironmentVariables": dict(_ENVIRONMENT),
        "RunAtLoad": True,
        "KeepAlive": {"SuccessfulExit": False},
        "ThrottleInterval": THROTTLE,
        "ExitTimeOut": math.ceil(job.stop) + MARGIN,
        # Background would have processor and disk throttled, and Adaptive is that for a job
        # without XPC: a reader that gets no time is one for whom the kernel drops events.
        "ProcessType": "Standard",
        "LowPriorityIO": False,
        "Umask": 0o077,
        "StandardOutPath": "/dev/null",
        "StandardErrorPath": str(job.error_file),
    }
    if job.user is not None:
        listed["UserName"] = job.user
    if job.socket is not None:
        listed["Sockets"] = {SOCKET_KEY: _socket(job.socket)}
    return listed


def _socket(socket: Socket) -> dict[str, Any]:
    listed: dict[str, Any] = {
        "SockType": "stream",
        "SockPathName": str(socket.path),
        "SockPathMode": _PRIVATE if socket.group is None else _GROUP_S,
    }
    if socket.owner is not None:
        listed["SockPathOwner"] = socket.owner
    if socket.group is not None:
        listed["SockPathGroup"] = socket.group
    return listed


def to_plist(listed: Mapping[str, Any]) -> bytes:
    """Return the file that launchd reads."""
    return plistlib.dumps(dict(listed), sort_keys=False)


def example(label: str) -> Job:
    """Return the job of an installation like any other, for people to look at."""
    if label == DAEMON:
        folder = Path("/Library/Application Support/kevmond")
        config, error_file = folder / "kevmond.toml", Path("/var/log/kevmond.err")
    else:
        home = Path("/Users/you")
        folder = home / "Library/Application Support/kevmond"
        config, error_file = (
            home / ".config/kevmond/kevmond.toml",
            home / "Library/Logs/kevmond.err",
        )
    return Job(
        label=label,
        program=("/usr/local/bin/kevmond",),
        config=config,
        error_file=error_file,
        socket=Socket(folder / "kevmond.sock"),
    )

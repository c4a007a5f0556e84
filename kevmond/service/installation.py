"""Installing kevmond as a job of launchd's, and taking it away again.

A plan is a list of steps, which can be shown or done, and of reasons why launchd, or whoever trusts
this machine, should not have it.  Nothing that a daemon kept is removed.
"""

from __future__ import annotations

import pwd
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from kevmond.errors import KevmondError
from kevmond.service import launchd, newsyslog, ownership, program
from kevmond.service.launchctl import PROGRAM
from kevmond.service.steps import Call, Empty, Folder, Remove, Write

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kevmond.service.control import Control
    from kevmond.service.place import Host, Place
    from kevmond.service.steps import Step

SOCKET: Final = "kevmond.sock"
_PRIVATE: Final = 0o700
_PASSABLE: Final = 0o710


class RefusedError(KevmondError):
    """It is not installed; one line for each reason."""


@dataclass(frozen=True, slots=True)
class Configured:
    """What of the configuration counts for an installation."""

    file: Path
    """Configuration that the daemon is to read."""
    state_dir: Path
    starter: str | None = None
    """What to write to `file`, as there is none yet."""
    named: bool = True
    """Whether the daemon finds its state folder by itself; else the job has to name it."""
    stop: float = launchd.STOP
    """Seconds that the daemon may take to stop."""
    group: int | None = None
    """Group whose members may ask the daemon."""
    user: str | None = None
    """User that the daemon, started as root, goes on as (daemon.user)."""
    doubts: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Plan:
    """What would be done."""

    listed: dict[str, Any]
    """Property list of the job."""
    steps: list[Step]
    refusals: list[str]
    """Why it must not be done."""
    doubts: list[str]
    """What may go wrong later."""


class Installation:
    """Plans for one place on one machine."""

    def __init__(
        self, host: Host, place: Place, control: Control, *, user: str | None = None
    ) -> None:
        """`user` is who the job runs as, if it is another than who it belongs to."""
        self._host = host
        self._place = place
        self._control = control
        self._user = user
        self._runner = _uid(user) if user is not None else None

    # ------------------------------------------------------------------ what launchd is told

    def job(self, configured: Configured) -> launchd.Job:
        """Describe the job."""
        place = self._place
        socket = self._socket(configured)
        return launchd.Job(
            label=place.label,
            program=program.command(self._host),
            config=configured.file,
            error_file=place.error_file,
            socket=socket if socket.fits else None,
            state_dir=None if configured.named else configured.state_dir,
            user=self._user,
            stop=configured.stop,
        )

    def _socket(self, configured: Configured) -> launchd.Socket:
        asks = self._runner
        if asks is None and configured.user is not None:
            asks = _uid(configured.user)
        return launchd.Socket(configured.state_dir / SOCKET, asks, configured.group)

    # ------------------------------------------------------------------ plans

    def install(self, configured: Configured) -> Plan:
        """Plan to install, or to install anew over what is there."""
        job = self.job(configured)
        listed = launchd.properties(job)
        return Plan(
            listed=listed,
            steps=list(self._install_steps(configured, job, launchd.to_plist(listed))),
            refusals=[*self._of_user(), *self._of_owners(configured, job)],
            doubts=[*configured.doubts, *self._of_paths(configured, job)],
        )

    def uninstall(self) -> Plan:
        """Plan to take the job away, with nothing that it kept."""
        place = self._place
        steps: list[Step] = [
            Call((PROGRAM, "bootout", place.target), self._control.unload),
            Remove(self._host, place.plist),
        ]
        if place.newsyslog is not None:
            steps.append(Remove(self._host, place.newsyslog))
        return Plan({}, steps, list(self._of_user()), [])

    def _install_steps(
        self, configured: Configured, job: launchd.Job, plist: bytes
    ) -> Iterator[Step]:
        host, place = self._host, self._place
        lord = host.uid if place.agent else host.superuser
        owner = lord if self._runner is None else self._runner
        yield Call((*job.program, "--version"), lambda: self._try_out(job))
        mode = _PRIVATE if configured.group is None else _PASSABLE
        state_dir = Folder(host, configured.state_dir, mode, owner, configured.group)
        yield state_dir
        if configured.starter is not None:
            if configured.file.parent != configured.state_dir:
                yield Folder(host, configured.file.parent, 0o755, lord)
            yield Write(host, configured.file, configured.starter.encode(), lord)
        if place.newsyslog is not None:
            text = newsyslog.entry(place.error_file, self._user)
            yield Folder(host, place.newsyslog.parent, 0o755, lord)
            yield Write(host, place.newsyslog, text.encode(), lord)
        if place.agent:
            yield Folder(host, place.error_file.parent, _PRIVATE, lord)
        yield Empty(host, place.error_file, owner)
        yield Folder(host, place.plist.parent, 0o755, lord)
        yield Call((PROGRAM, "bootout", place.target), self._control.unload)
        yield Write(host, place.plist, plist, lord)
        yield Call(
            (PROGRAM, "bootstrap", place.domain, str(host.disk(place.plist))), self._control.load
        )
        yield Call((PROGRAM, "print", place.target), self._control.verify)

    def _try_out(self, job: launchd.Job) -> str:
        environment = launchd.properties(job)["EnvironmentVariables"]
        disk = str(self._host.disk(program.stable(self._host)))
        runner = None if self._runner in {None, self._host.uid} else self._user
        said = program.try_out((disk, *job.program[1:]), environment=environment, user=runner)
        return f"{said} runs with launchd's environment"

    # ------------------------------------------------------------------ what speaks against it

    def _of_user(self) -> Iterator[str]:
        host, place = self._host, self._place
        if place.agent and host.uid == host.superuser:
            yield "an agent is its user's own: run this as that user, without sudo"
        elif place.agent and self._user is not None:
            yield "an agent runs as its own user: leave --user out, or --agent"
        elif not place.agent and host.uid != host.superuser:
            yield (
                "a daemon of the whole machine is root's to install: run this with sudo, or give "
                "--agent for one of your own"
            )

    def _of_owners(self, configured: Configured, job: launchd.Job) -> Iterator[str]:
        """Say who could make launchd run something else, with rights that they do not have."""
        host, place = self._host, self._place
        if place.agent:
            return
        trusted = frozenset({host.superuser})
        runs_as = trusted if self._runner is None else trusted | {self._runner}
        for path, owners, advice in (
            (job.program[0], runs_as, self._of_program()),
            (host.package, runs_as, self._of_program()),
            (place.plist.parent, trusted, "sudo chown root:wheel, sudo chmod 755"),
        ):
            found = list(ownership.complaints(host, Path(path), owners))
            if found:
                yield f"{'; '.join(found)}: {advice}"
                return
        config = ownership.owner(host, configured.file)
        if config is not None and config not in runs_as:
            yield f"{configured.file} is not root's: sudo chown root {configured.file}"
        if configured.user and configured.file.is_relative_to(configured.state_dir):
            yield (
                f"{configured.file} lies in the state folder, which is to belong to "
                f"{configured.user} (daemon.user): keep it in /etc/kevmond"
            )

    def _of_program(self) -> str:
        """Advise somebody whose kevmond is not root's."""
        uid = ownership.owner(self._host, self._host.executable)
        advice = "install kevmond for the whole machine (sudo pipx install --global kevmond)"
        if uid in {None, self._host.superuser, self._runner}:
            return f"take that right away (chmod go-w), or {advice}"
        try:
            name = pwd.getpwuid(uid or 0).pw_name
        except KeyError:
            return advice
        return (
            f"what launchd runs as root must be root's alone; {advice}, or have the daemon run as "
            f"{name}, which is enough for kernel events: --user {name}"
        )

    def _of_paths(self, configured: Configured, job: launchd.Job) -> Iterator[str]:
        host = self._host
        stable = program.stable(host)
        yield from program.doubts(host, stable, "the program")
        if not host.package.is_relative_to(stable.parents[1]):
            yield from program.doubts(host, host.package, "kevmond itself")
        yield from program.doubts(host, configured.file, "the configuration")
        yield from program.doubts(host, configured.state_dir, "the state folder")
        if job.socket is None:
            yield (
                f"{configured.state_dir / SOCKET} is too long for the path of a socket (103 bytes "
                "on macOS): nobody can ask this daemon; choose a shorter state folder"
            )


def _uid(user: str) -> int:
    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError:
        raise RefusedError(f"there is no user {user!r} on this machine") from None

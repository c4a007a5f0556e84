"""What `kevmond doctor` checks of an installation: the job, what it names, and what came of it."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from kevmond.cli import doctor_probe as probe
from kevmond.cli.doctor_checks import Finding
from kevmond.errors import KevmondError
from kevmond.service import activation, exits, installed, launchd, ownership, place, program
from kevmond.service.control import Control
from kevmond.service.launchctl import Launchctl

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kevmond.service.installed import Installed
    from kevmond.service.launchctl import Service
    from kevmond.service.place import Host, Place

_STDERR: Final = 2
_LOOP: Final = 3
"""Starts, of which the last ones failed, that make a loop."""
_API_PATIENCE: Final = 5.0


@dataclass(frozen=True)
class Subject:
    """One installation."""

    host: Host
    place: Place
    found: Installed
    control: Control

    @functools.cached_property
    def service(self) -> Service | None:
        """What launchd tells of it."""
        return self.control.look()

    @property
    def again(self) -> str:
        """The command that writes the job anew."""
        return f"{self.sudo}kevmond service install{self.place.words}"

    @property
    def sudo(self) -> str:
        """What a command about it begins with."""
        return "" if self.place.agent else "sudo "

    def ask(self, what: str) -> dict[str, Any]:
        """Ask the daemon at the job's socket; NotPossible if none answers."""
        from kevmond.api.client import ApiClient
        from kevmond.api.listener import ApiError

        sockets = self.found.listed.get("Sockets", {})
        path = sockets.get(activation.SOCKET_KEY, {}).get("SockPathName")
        if path is None:
            raise probe.NotPossible("the job has no socket for the API")
        try:
            disk = self.host.disk(Path(path))
            return ApiClient(disk, timeout=_API_PATIENCE).ask("GET", what)
        except ApiError as error:
            raise probe.NotPossible(str(error)) from error


@dataclass(frozen=True, slots=True)
class Check:
    """One thing to find out of an installation."""

    name: str
    about: str
    run: Callable[[Subject], str]


def examine(host: Host) -> Iterator[Finding]:
    """Make every check of what is installed here; one line where there is nothing to check."""
    if not host.is_mac:
        yield _none("not applicable: this system has no launchd")
        return
    places = [where for where in (place.daemon(), place.agent(host)) if _is_there(host, where)]
    if not places:
        advice = "sudo kevmond service install, or without sudo: kevmond service install --agent"
        yield _none("kevmond is not installed as a service", advice)
    for where in places:
        yield from _examine(host, where)


def _none(told: str, advice: str = "") -> Finding:
    return Finding("installation", "service of launchd", "impossible", told, advice)


def _is_there(host: Host, where: Place) -> bool:
    return host.disk(where.plist).exists()


def _examine(host: Host, where: Place) -> Iterator[Finding]:
    kind = "agent" if where.agent else "daemon"
    try:
        found = installed.read(host, where)
    except installed.UnreadableError as error:
        yield Finding(f"{kind}-job", f"{kind}: its job", "fail", str(error))
        return
    if found is None:
        return
    subject = Subject(host, where, found, Control(host, where, Launchctl()))
    for check in CHECKS:
        yield _made(check, subject, kind)


def _made(check: Check, subject: Subject, kind: str) -> Finding:
    outcome, told, advice = "pass", "", ""
    try:
        told = check.run(subject)
    except probe.NotPossible as reason:
        outcome, told, advice = "impossible", str(reason), reason.advice
    except probe.Failed as reason:
        outcome, told, advice = "fail", str(reason), reason.advice
    except KevmondError as error:
        outcome, told = "fail", str(error)
    return Finding(f"{kind}-{check.name}", f"{kind}: {check.about}", outcome, told, advice)


# ---------------------------------------------------------------------- the checks


def job(subject: Subject) -> str:
    """Compare the property list with what would be written now."""
    from kevmond.cli.service_config import configured
    from kevmond.service.installation import Installation

    host, found = subject.host, subject.found
    if not subject.place.agent and host.uid != host.superuser:
        raise probe.NotPossible(
            "the configuration is root's to read", "sudo kevmond doctor compares the job with it"
        )
    where = subject.place if subject.place.agent else place.daemon(found.user)
    config = configured(
        host, where, config=found.config, state_dir=found.state_dir, user=found.user
    )
    wanted = Installation(host, where, subject.control, user=found.user).job(config)
    told = installed.differences(found.listed, launchd.properties(wanted))
    if told:
        raise probe.Failed("; ".join(told), subject.again)
    return f"{subject.place.plist} is as it would be written now"


def owners(subject: Subject) -> str:
    """Look who could change the job or what it starts."""
    host, where, found = subject.host, subject.place, subject.found
    trusted = frozenset({host.superuser, host.uid} if where.agent else {host.superuser})
    told = list(ownership.complaints(host, where.plist, trusted))
    if found.program is not None:
        runner = _uid(found.user)
        runs_as = trusted if runner is None else trusted | {runner}
        told += ownership.complaints(host, found.program, runs_as)
    if told:
        raise probe.Failed(
            "; ".join(dict.fromkeys(told)),
            "only root and who it runs as may have that right: chown, chmod go-w, or install anew",
        )
    return "nobody else can change the job or the program"


def runs(subject: Subject) -> str:
    """Start the program as launchd would, for its version only."""
    host, found = subject.host, subject.found
    if found.program is None:
        raise probe.Failed("the job names no program", subject.again)
    if not host.disk(found.program).exists():
        raise probe.Failed(f"{found.program} is not there any more", subject.again)
    before = found.arguments.index("run") if "run" in found.arguments else 1
    told = found.listed.get("EnvironmentVariables")
    environment = {str(name): str(value) for name, value in dict(told or {}).items()}
    command = [str(host.disk(found.program)), *found.arguments[1:before]]
    mine = _uid(found.user) in {None, host.uid} or host.uid != host.superuser
    try:
        said = program.try_out(command, environment=environment, user=None if mine else found.user)
    except program.ProgramError as error:
        raise probe.Failed(str(error), subject.again) from error
    doubts = list(program.doubts(host, found.program, "the program"))
    if doubts:
        raise probe.Failed("; ".join(doubts))
    return f"{found.program}: {said}"


def loaded(subject: Subject) -> str:
    """Compare what launchd has loaded with the property list."""
    service, where = subject.service, subject.place
    if service is None:
        sudo = subject.sudo
        if not subject.control.enabled():
            raise probe.Failed("it is disabled", f"{sudo}launchctl enable {where.target}")
        raise probe.Failed("it is not loaded", f"{sudo}kevmond service start{where.words}")
    if service.arguments and list(service.arguments) != subject.found.arguments:
        raise probe.Failed(
            f"launchd has another command loaded: {' '.join(service.arguments)}", subject.again
        )
    if service.exit_timeout not in {None, subject.found.listed.get("ExitTimeOut")}:
        raise probe.Failed("launchd has an older version of the job loaded", subject.again)
    return f"loaded as {where.target}"


def exit_(subject: Subject) -> str:
    """Look whether it runs, how the last run ended, and whether that happens again and again."""
    service = _loaded(subject)
    told = exits.last_exit(service)
    starts = f"started {service.runs or 0} times since it was loaded"
    looping = service.failed and (service.runs or 0) >= _LOOP and _is_young(service)
    if not service.running:
        looping = looping or service.state in {"throttled", "spawn scheduled"}
        loop = (
            f"; launchd tries again every {service.throttle or launchd.THROTTLE} s"
            if looping
            else ""
        )
        raise probe.Failed(
            _with_lines(subject, f"{service.state}, {starts}; {told.text}{loop}"), told.advice
        )
    if looping:
        raise probe.Failed(
            _with_lines(subject, f"it starts again and again ({starts}); {told.text}"), told.advice
        )
    return f"running, pid {service.pid}, {starts}; {told.text}"


def config(subject: Subject) -> str:
    """Compare the job with the daemon that answers at its socket."""
    service = _loaded(subject)
    pid = subject.ask("status")["daemon"]["pid"]
    if pid != service.pid:
        raise probe.Failed(
            f"the daemon that answers, pid {pid}, is not launchd's ({service.pid})",
            f"somebody started it by hand: stop it, then {subject.sudo}kevmond service start",
        )
    told = subject.ask("config")
    wanted = subject.found.config
    if told.get("file") is not None and wanted is not None and Path(told["file"]) != wanted:
        raise probe.Failed(f"it runs with {told['file']}, the job says {wanted}", subject.again)
    socket = subject.found.listed["Sockets"][activation.SOCKET_KEY]["SockPathName"]
    state_dir = told.get("settings", {}).get("daemon", {}).get("state_dir")
    if state_dir is not None and Path(state_dir) != Path(socket).parent:
        raise probe.Failed(
            f"its state folder is {state_dir}, the job's socket is {socket}", subject.again
        )
    return f"it runs with {told.get('file')}"


def errors(subject: Subject) -> str:
    """Look whether what it says goes to the file of that name still, and how long that is."""
    import psutil

    service = _loaded(subject)
    file = subject.found.error_file
    if file is None or service.pid is None:
        raise probe.NotPossible("it does not run, so it holds no file")
    disk = subject.host.disk(file)
    try:
        opened = {each.fd: each.path for each in psutil.Process(service.pid).open_files()}
    except psutil.Error as error:
        raise probe.NotPossible(
            f"its open files cannot be seen ({type(error).__name__})", "sudo kevmond doctor"
        ) from error
    held = opened.get(_STDERR)
    if held is None:
        raise probe.Failed(
            f"its standard error is no file that is there any more; the job says {file}",
            f"{subject.sudo}kevmond service restart{subject.place.words}",
        )
    if not disk.exists() or not Path(held).samefile(disk):
        raise probe.Failed(
            f"it holds {held}, which was rotated away from {file}",
            f"{subject.sudo}kevmond service restart{subject.place.words} has it open the new one",
        )
    return f"{file}, {disk.stat().st_size} bytes"


CHECKS: Final = (
    Check("job", "the job, as it would be written now", job),
    Check("owners", "who could change what runs", owners),
    Check("program", "the program, with launchd's environment", runs),
    Check("loaded", "the job, as launchd has it", loaded),
    Check("exit", "state and last exit", exit_),
    Check("config", "the configuration in force", config),
    Check("errors", "the error file", errors),
)
"""All checks of an installation, in the order in which they are made."""


def _loaded(subject: Subject) -> Service:
    if subject.service is None:
        raise probe.NotPossible("it is not loaded")
    return subject.service


def _with_lines(subject: Subject, text: str) -> str:
    said = subject.control.said()
    return f"{text}; last words: {said[-1]}" if said else text


def _is_young(service: Service) -> bool:
    """Whether the run began so lately that the ones before it were short, too, for all we know."""
    import time

    import psutil

    if service.pid is None:
        return True
    try:
        age = time.time() - psutil.Process(service.pid).create_time()
    except psutil.Error:
        return True
    return age < 2 * launchd.THROTTLE


def _uid(user: str | None) -> int | None:
    import pwd

    if user is None:
        return None
    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError:
        raise probe.Failed(
            f"there is no user {user!r} on this machine", "install it with another --user"
        ) from None

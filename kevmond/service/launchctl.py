"""launchctl(1), called and understood: what a service is doing, and what a refusal means."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from kevmond.errors import KevmondError
from kevmond.service.refusals import ALREADY, IN_PROGRESS, NOT_FOUND, Refusal, refusal

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

PROGRAM: Final = "launchctl"
_TIMEOUT: Final = 120.0
"""Seconds; a bootout may wait for the service to end."""
_ROW: Final = re.compile(r"^(?P<key>[A-Za-z][^=]*?) = (?P<value>.*)$")
_NUMBER: Final = re.compile(r": (\d+): [A-Z]")
_DISABLED: Final = re.compile(r'^\s*"(?P<label>[^"]+)" => (?:disabled|true)\s*$', re.MULTILINE)


class NoLaunchdError(KevmondError):
    """There is no launchctl here."""

    exit_code = os.EX_UNAVAILABLE


class LaunchctlError(KevmondError):
    """launchctl refused; the text says why, and what to do."""

    def __init__(self, command: Sequence[str], told: Refusal) -> None:
        super().__init__(f"{shlex.join(command)}: {told}")
        self.told = told
        self.code = told.code


@dataclass(frozen=True, slots=True)
class Service:
    """What `launchctl print` tells of a service."""

    state: str
    """running, not running, spawn scheduled, throttled, ..."""
    pid: int | None = None
    runs: int | None = None
    """How often it was started since it is loaded."""
    exit_code: int | None = None
    """Of the last run; None if there was none, or a signal ended it."""
    signal: str = ""
    """What ended the last run instead, such as "Killed: 9"."""
    exit_reason: str = ""
    """Why the system ended the last run, such as "OS_REASON_JETSAM"."""
    throttle: int | None = None
    """Least seconds between two starts."""
    exit_timeout: int | None = None
    """Seconds from SIGTERM to SIGKILL."""
    path: str = ""
    """Property list that it was loaded from."""
    arguments: tuple[str, ...] = ()

    @property
    def running(self) -> bool:
        """Whether there is a process now."""
        return self.pid is not None

    @property
    def failed(self) -> bool:
        """Whether the last run ended otherwise than well."""
        return bool(self.exit_code) or bool(self.signal)


def parse(text: str) -> Service:
    """Read the output of `launchctl print` for a service; Apple promises no form of it.

    Only rows of the service itself count: what is nested has states and counts of its own.
    """
    rows: dict[str, str] = {}
    arguments: list[str] = []
    block: list[str] = []
    for line in map(str.strip, text.splitlines()):
        if line.endswith("{"):
            block.append(line.partition(" ")[0])
        elif line == "}":
            block = block[:-1]
        elif len(block) == 1 and (found := _ROW.match(line)):
            rows.setdefault(found["key"], found["value"])
        elif block[1:] == ["arguments"]:
            arguments.append(line)
    return Service(
        state=rows.get("state", "unknown"),
        pid=_number(rows.get("pid")),
        runs=_number(rows.get("runs")),
        exit_code=_number(rows.get("last exit code")),
        signal=rows.get("last terminating signal", ""),
        exit_reason=rows.get("last exit reason", ""),
        throttle=_number(rows.get("minimum runtime")),
        exit_timeout=_number(rows.get("exit timeout")),
        path=rows.get("path", ""),
        arguments=tuple(arguments),
    )


def _number(text: str | None) -> int | None:
    """Return the number that a value begins with, as in "78: EX_CONFIG"."""
    found = re.match(r"-?\d+", text or "")
    return int(found[0]) if found else None


class Launchctl:
    """Runs launchctl, as PATH finds it."""

    def bootstrap(self, domain: str, plist: Path) -> None:
        """Load a service, and start it if its property list says so."""
        self._call("bootstrap", domain, str(plist))

    def bootout(self, target: str) -> bool:
        """Unload a service, which stops it; False if it was not loaded.

        It may still be stopping when this returns: `print` tells when it is gone.
        """
        try:
            self._call("bootout", target)
        except LaunchctlError as error:
            if error.code in NOT_FOUND:
                return False
            if error.code not in IN_PROGRESS:
                raise
        return True

    def kickstart(self, target: str, *, kill: bool = False) -> None:
        """Start a service that is loaded; with `kill`, end it first (SIGTERM) if it runs."""
        self._call("kickstart", *(["-k"] if kill else []), target)

    def kill(self, signal: str, target: str) -> None:
        """Send a signal, such as "HUP"."""
        self._call("kill", signal, target)

    def enable(self, target: str) -> None:
        """Let a service be loaded, now and at every boot."""
        self._call("enable", target)

    def disable(self, target: str) -> None:
        """Keep a service from being loaded, until it is enabled."""
        self._call("disable", target)

    def print(self, target: str) -> Service | None:
        """Tell what a service is doing; None if it is not loaded."""
        try:
            return parse(self._call("print", target))
        except LaunchctlError as error:
            if error.code in NOT_FOUND:
                return None
            raise

    def disabled(self, domain: str) -> frozenset[str]:
        """Labels that are disabled in a domain; none if launchctl does not tell."""
        try:
            said = self._call("print-disabled", domain)
        except LaunchctlError:
            return frozenset()
        return frozenset(found["label"] for found in _DISABLED.finditer(said))

    def _call(self, *arguments: str) -> str:
        command = [PROGRAM, *arguments]
        try:
            done = subprocess.run(  # noqa: S603 - our own words and paths, no shell
                command,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_TIMEOUT,
                check=False,
                stdin=subprocess.DEVNULL,
            )
        except FileNotFoundError:
            raise NoLaunchdError(
                "there is no launchctl on PATH: launchd is macOS's; elsewhere let what starts "
                "services there run `kevmond run`"
            ) from None
        except subprocess.TimeoutExpired:
            raise LaunchctlError(
                command, Refusal(-1, f"no answer within {_TIMEOUT:g} s", "try it again")
            ) from None
        if done.returncode == 0:
            return done.stdout
        raise LaunchctlError(command, _told(done, arguments))


def _told(done: subprocess.CompletedProcess[str], arguments: Sequence[str]) -> Refusal:
    """Make out the number: older versions tell it in words and exit with another."""
    said = " ".join(_said(done.stderr or done.stdout))
    found = _NUMBER.search(said)
    code = int(found[1]) if found else done.returncode
    if "Could not find service" in said:
        code = 113
    elif "already bootstrapped" in said or "already loaded" in said:
        code = min(ALREADY)
    return refusal(code, said, arguments)


def _said(text: str) -> Iterator[str]:
    for line in map(str.strip, text.splitlines()):
        if line and not line.startswith("Try re-running the command as root"):
            yield line

"""A service started, stopped and watched until it is what it should be."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from kevmond.errors import KevmondError
from kevmond.service.exits import last_exit
from kevmond.service.launchctl import LaunchctlError
from kevmond.service.launchd import MARGIN, STOP, THROTTLE
from kevmond.service.refusals import ALREADY, CATCH_ALL

if TYPE_CHECKING:
    from collections.abc import Callable

    from kevmond.service.launchctl import Launchctl, Service
    from kevmond.service.place import Host, Place

PACE: Final = 0.2
"""Seconds between two looks."""
STARTS: Final = 15.0
"""Seconds in which a service that was loaded has to run."""
STAYS: Final = 2.0
"""Seconds that it has to stay alive to count as started: most bad starts end within them."""
_MADE_TO_WAIT: Final = frozenset({"throttled", "spawn scheduled"})
STOPS: Final = STOP + MARGIN + 5
"""Seconds in which one has to be gone, unless its job gives it more."""
_ATTEMPTS: Final = 5
"""Most attempts to load what launchd refuses without a reason, a second apart."""
_SHOWN: Final = 4
"""Lines of the error file that are shown."""
_TAIL: Final = 4096


class ControlError(KevmondError):
    """The service is not what it was to become."""


class Control:
    """One service."""

    def __init__(
        self,
        host: Host,
        place: Place,
        launchctl: Launchctl,
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._host = host
        self._place = place
        self._launchctl = launchctl
        self._sleep = sleep
        self._clock = clock

    def look(self) -> Service | None:
        """Return what it is doing; None if it is not loaded."""
        return self._launchctl.print(self._place.target)

    # ------------------------------------------------------------------ as steps of a plan

    def load(self) -> str:
        """Load it, which starts it.

        Just after a bootout launchd may refuse without telling a reason, so that is tried again.
        """
        place = self._place
        for left in reversed(range(_ATTEMPTS)):
            try:
                self._launchctl.bootstrap(place.domain, self._host.disk(place.plist))
            except LaunchctlError as error:
                if error.code in ALREADY and self.look() is not None:
                    break
                if error.code != CATCH_ALL:
                    raise
                self._check_enabled()
                if left == 0:
                    raise
                self._sleep(1.0)
            else:
                break
        return f"loaded {place.target}"

    def unload(self) -> str:
        """Stop it and have launchd forget it; wait until it is gone."""
        service = self.look()
        if service is None or not self._launchctl.bootout(self._place.target):
            return ""
        patience = max(STOPS, (service.exit_timeout or 0) + 5.0)
        if self._wait(lambda: self.look() is None, patience):
            return f"stopped and unloaded {self._place.target}"
        raise ControlError(
            f"{self._place.target} is still stopping after {patience:.0f} s; "
            f"look again: kevmond service status{self._place.words}"
        )

    def verify(self, runs: int = 0) -> str:
        """Wait until it runs and goes on running; ControlError with what is known if it does not.

        `runs` is how often it had been started before.  One that launchd makes wait, because it was
        started a moment ago, is waited for.
        """
        seen: Service | None = None
        began = since = self._clock()
        patience = STARTS
        while (now := self._clock()) - began < patience:
            service = self.look()
            if service is None:
                break
            if not service.running:
                if seen is not None or (service.runs or 0) > runs:
                    break
                patience = STARTS + (THROTTLE if service.state in _MADE_TO_WAIT else 0)
            elif seen is None or service.pid != seen.pid:
                seen, since = service, now
            elif now - since >= STAYS:
                return f"it runs, pid {service.pid}"
            self._sleep(PACE)
        raise ControlError(self._failure(self.look()))

    # ------------------------------------------------------------------ at a word

    def start(self) -> str:
        """Start it, loading it if it is not loaded."""
        self._check_installed()
        service = self.look()
        if service is not None and service.running:
            return f"it runs already, pid {service.pid}"
        if service is None:
            self.load()
            return self.verify()
        self._launchctl.kickstart(self._place.target)
        return self.verify(service.runs or 0)

    def stop(self) -> str:
        """Stop it until it is started, or until the next boot or login.

        It is unloaded: what asks for the API at launchd's socket would start it otherwise.
        """
        self._check_installed()
        return self.unload() or "it is not loaded, so it does not run"

    def restart(self) -> str:
        """Stop it and start it, with the job as it was loaded; its socket stays open meanwhile."""
        self._check_installed()
        service = self.look()
        if service is None:
            self.load()
            return self.verify()
        self._launchctl.kickstart(self._place.target, kill=True)
        old = service.pid
        if old is not None:
            self._wait(lambda: (now := self.look()) is None or now.pid != old, STOPS)
        return self.verify(service.runs or 0)

    # ------------------------------------------------------------------ what may be wrong

    def enabled(self) -> bool:
        """Whether launchd may load it."""
        return self._place.label not in self._launchctl.disabled(self._place.domain)

    def said(self) -> list[str]:
        """Return the last lines of the error file."""
        try:
            with self._host.disk(self._place.error_file).open("rb") as file:
                size = file.seek(0, 2)
                file.seek(max(0, size - _TAIL))
                return file.read().decode(errors="replace").splitlines()[-_SHOWN:]
        except OSError:
            return []

    def _check_installed(self) -> None:
        if not self._host.disk(self._place.plist).exists():
            raise ControlError(
                f"{self._place.plist} is not there: kevmond service install{self._place.words}"
            )

    def _check_enabled(self) -> None:
        if not self.enabled():
            target = self._place.target
            raise ControlError(
                f"{target} is disabled: somebody ran `launchctl disable`; if it is to run: "
                f"{'' if self._place.agent else 'sudo '}launchctl enable {target}, then again"
            )

    def _failure(self, service: Service | None) -> str:
        where = f"{self._place.target}: "
        if service is None:
            return where + "it is not loaded any more"
        told = last_exit(service)
        lines = [f"{where}it does not stay running ({service.state}); {told.text}"]
        lines += [f"  {line}" for line in self.said()]
        lines.append(told.advice or f"look: kevmond doctor; kevmond service status{self._words}")
        return "\n".join(lines)

    @property
    def _words(self) -> str:
        return self._place.words

    def _wait(self, condition: Callable[[], bool], seconds: float) -> bool:
        end = self._clock() + seconds
        while not condition():
            if self._clock() >= end:
                return False
            self._sleep(PACE)
        return True

"""What the daemon itself takes of the machine, as the system tells it (psutil)."""

from __future__ import annotations

import os
import pwd
import resource
import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import psutil

if TYPE_CHECKING:
    from collections.abc import Callable

APART: Final = 1.0
"""Seconds between two looks from which a share of the CPU can be told."""


class Use(NamedTuple):
    """One look; None where the system does not tell."""

    rss_bytes: int | None
    virtual_bytes: int | None
    cpu_seconds: float
    """User and system time, all threads."""
    threads: int | None
    open_files: int | None
    """Descriptors, sockets among them."""
    most_files: int | None
    """Descriptors that it may have (RLIMIT_NOFILE)."""
    started: float
    """When the process began: seconds since the epoch."""


class OwnUse:
    """Looks at this process; what has to be remembered for that is the last look at the CPU."""

    def __init__(
        self,
        process: Any = None,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """Take what to look at, this process if nothing is given."""
        self._process = psutil.Process() if process is None else process
        self._monotonic = monotonic
        self._wall = wall
        self._looked: float | None = None
        self._cpu = 0.0
        self._share = (0.0, 0.0)  # per cent, and over how many seconds

    def look(self) -> Use:
        """Return what it takes now."""
        with self._process.oneshot():
            memory = self._told("memory_info")
            times = self._told("cpu_times")
            return Use(
                rss_bytes=getattr(memory, "rss", None),
                virtual_bytes=getattr(memory, "vms", None),
                cpu_seconds=0.0 if times is None else times.user + times.system,
                threads=self._told("num_threads"),
                open_files=self._told("num_fds"),
                most_files=_limit(),
                started=self._process.create_time(),
            )

    def facts(self) -> dict[str, Any]:
        """Return the same as JSON has it, with the share of one CPU since the last call.

        The first call tells the share since the process began.
        """
        use = self.look()
        now = self._monotonic()
        over = self._wall() - use.started if self._looked is None else now - self._looked
        if over >= APART or self._looked is None:
            share = 100 * (use.cpu_seconds - self._cpu) / max(over, APART)
            self._share = (round(share, 2), round(over, 1))
            self._looked, self._cpu = now, use.cpu_seconds
        return {
            "rss_bytes": use.rss_bytes,
            "cpu_seconds": round(use.cpu_seconds, 3),
            "cpu_percent": self._share[0],
            "cpu_percent_over": self._share[1],
            "threads": use.threads,
            "open_files": use.open_files,
        }

    def _told(self, what: str) -> Any:
        try:
            return getattr(self._process, what)()
        except (psutil.Error, AttributeError, OSError):
            return None


def user() -> str:
    """Return the name of the user as whom this process acts, or the number where it has none."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def _limit() -> int | None:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else soft

"""The daemon's own log: few lines, on stderr for whoever starts it, or in the system's log.

As a job of launchd's it has no terminal, only a file that launchd opened and that nobody rotates,
so it speaks to syslog(3) there, which on macOS is the unified log.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

import structlog

if TYPE_CHECKING:
    from collections.abc import MutableMapping

_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_PREFIX: Final = "kevmond: "
"""In front of each message: the unified log knows the interpreter's name only."""

_to_system = False


def to_system_log() -> None:
    """From now on, have `configure` make loggers that write to the system's log."""
    global _to_system  # noqa: PLW0603 - a process has one log
    _to_system = True


def configure(level: str) -> Any:
    """Return the daemon's logger: lines of `time level text key=value` on stderr.

    `level` is debug, info, warning or error; calling again changes the level.  In the system's log,
    which has time and level, it is `text key=value`.
    """
    structlog.configure(
        processors=[_line] if _to_system else _for_stderr(terminal=sys.stderr.isatty()),
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=SystemLogger if _to_system else structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    return structlog.get_logger()


def _for_stderr(*, terminal: bool) -> list[Any]:
    return [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.dev.ConsoleRenderer(colors=terminal, pad_event_to=0)
        if terminal
        else structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"]),
    ]


def _line(logger: Any, name: str, facts: MutableMapping[str, Any]) -> str:
    text = str(facts.pop("event", ""))
    more = structlog.processors.LogfmtRenderer()(logger, name, facts)
    return f"{text} {more}" if more else text


def system_log(level: str, message: str) -> None:
    """Write one message to the system's log."""
    import syslog  # noqa: PLC0415 - only jobs of launchd's speak to it

    levels = {
        "debug": syslog.LOG_DEBUG,
        "info": syslog.LOG_INFO,
        "warning": syslog.LOG_WARNING,
        "error": syslog.LOG_ERR,
    }
    syslog.openlog("kevmond", syslog.LOG_PID, syslog.LOG_DAEMON)
    syslog.syslog(levels[level], _PREFIX + message.replace("\0", "?"))


class SystemLogger:
    """What structlog writes to."""

    def debug(self, message: str) -> None:
        """Write a message that helps to find a fault."""
        system_log("debug", message)

    def info(self, message: str) -> None:
        """Write a message about the normal course of things."""
        system_log("info", message)

    def warning(self, message: str) -> None:
        """Write a message about something to look at."""
        system_log("warning", message)

    def error(self, message: str) -> None:
        """Write a message about something that failed."""
        system_log("error", message)

"""How the last run of a service ended, in words, and what to do about it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from kevmond.service.launchctl import Service


class Exit(NamedTuple):
    """An end, for people."""

    text: str
    advice: str = ""


_CHECK: Final = "kevmond config check"
_CODES: Final[dict[int, Exit]] = {
    0: Exit(
        "the last run ended as it was told to, or found its configuration wrong",
        f"its last words are in the error file; {_CHECK}",
    ),
    1: Exit("the last run failed (1)", "its last words are in the error file"),
    2: Exit("the last run was called with wrong words (2)", "kevmond service install"),
    os.EX_UNAVAILABLE: Exit(
        "the last run found no kernel to listen to (69)", "kevmond doctor tells what is missing"
    ),
    os.EX_CANTCREAT: Exit(
        "the last run could not use its journal (73)",
        "another daemon may have the state folder: kevmond status; ps ax | grep kevmond",
    ),
    os.EX_IOERR: Exit("the last run failed to read or write (74)", "look for a full disk: df -h"),
    os.EX_CONFIG: Exit(
        "launchd could not start it (78)",
        "its program, its user or its error file is not as the job says: kevmond doctor",
    ),
}
"""kevmond itself never ends with 78 as a job: it is launchd's word for a job it cannot start."""
_SIGNALS: Final[dict[int, Exit]] = {
    6: Exit("", "the interpreter itself gave up: install kevmond again"),
    9: Exit("", "it took too long to stop, or the system was short of memory, or somebody did it"),
    11: Exit("", "a crash in native code: ~/Library/Logs/DiagnosticReports has a report"),
    15: Exit("", "it was stopped before it could see to it itself"),
}


def last_exit(service: Service) -> Exit:
    """Tell the end of the last run."""
    if service.signal:
        number = service.signal.rpartition(": ")[2]
        known = _SIGNALS.get(int(number) if number.isdecimal() else 0, Exit(""))
        why = f", {service.exit_reason}" if service.exit_reason else ""
        return Exit(f"the last run was ended by a signal ({service.signal}{why})", known.advice)
    if service.exit_code is None:
        return Exit("it has not ended yet" if service.runs else "it has not been started yet")
    unknown = Exit(
        f"the last run ended with exit code {service.exit_code}",
        "its last words are in the error file",
    )
    return _CODES.get(service.exit_code, unknown)

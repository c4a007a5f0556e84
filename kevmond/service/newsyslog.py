"""The entry by which the system bounds the file that standard error goes to (newsyslog.conf(5)).

The daemon cuts that file itself, at every start.  But what fails before its first line, such as an
interpreter without its modules, says so twice a minute for as long as nobody looks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

_COMMENT: Final = """\
# What kevmond says, as a job of launchd's, when it cannot start.  Nobody is told of a rotation (N):
# a daemon that runs has the old file still, and writes nothing to it.
"""
_HEADING: Final = "# logfilename         [owner:group]  mode  count  size  when  flags"


def entry(error_file: Path, user: str | None = None) -> str:
    """Return the file for /etc/newsyslog.d.

    newsyslog makes the new file, and launchd opens it as the user that the daemon runs as and
    starts nothing if it cannot: so that user has to own it.  A signal would go to syslogd, as no
    pid file is named.
    """
    owner = f"{user or 'root'}:wheel"
    row = f"{error_file}  {owner:<13}  600   3      1024  *     NZ"
    return f"{_COMMENT}{_HEADING}\n{row}\n"

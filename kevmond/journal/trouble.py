"""Telling a disk that refuses from a database that is damaged.

The first passes (space is freed, a volume comes back): keep the file and try again.  The second
does not: set the file aside and begin a new one.  A full disk must never cost a sound journal.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

_REFUSED: Final = {
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PROTOCOL,
}
"""Primary result codes that speak of the disk, not of the file's content (sqlite3.h)."""

_DAMAGED: Final = {
    sqlite3.SQLITE_ERROR,  # a table that is not there, say
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_SCHEMA,
    sqlite3.SQLITE_CONSTRAINT,
    sqlite3.SQLITE_FORMAT,
    sqlite3.SQLITE_NOTADB,
}
"""Primary result codes that speak of the content."""

_KEEPS_CONNECTION: Final = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL}

_MAGIC: Final = b"SQLite format 3\0"


class Vanished(Exception):  # noqa: N818 - a state of the file
    """The open database is no longer the file at its path."""


def _code(error: Exception) -> int | None:
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF  # the low byte is the primary code


def refused(error: Exception) -> bool:
    """Tell whether the disk refused, so that the same may succeed later."""
    if isinstance(error, sqlite3.Error) and _code(error) is not None:
        return _code(error) in _REFUSED
    return isinstance(error, (OSError, sqlite3.OperationalError))


def damaged(error: Exception) -> bool:
    """Tell whether the database in use is not what it was, so that going on with it is useless."""
    if isinstance(error, Vanished):
        return True
    code = _code(error)
    return type(error) is sqlite3.DatabaseError if code is None else code in _DAMAGED


def keeps_connection(error: Exception) -> bool:
    """Tell whether the connection is as good as before; after an I/O error it may not be."""
    return _code(error) in _KEEPS_CONNECTION


def describe(error: Exception) -> str:
    """Symbol and text of an error: "SQLITE_FULL: database or disk is full"."""
    name: str | None = getattr(error, "sqlite_errorname", None)
    if name is None and isinstance(error, OSError) and error.errno:
        return f"{errno.errorcode.get(error.errno, error.errno)}: {error.strerror}"
    return f"{name}: {error}" if name else str(error)


def unusable(path: Path, error: Exception) -> bool:
    """Tell whether the file that could not be opened is to blame, and not the disk around it.

    SQLite says "unable to open database file" both where a file may not be read and where its
    helper files find no space: so look at the file itself, and at what the folder takes.
    """
    if not refused(error):
        return True
    if _code(error) in _KEEPS_CONNECTION:
        return False
    try:
        with path.open("rb") as file:
            sound = file.read(len(_MAGIC)) in {_MAGIC, b""}
    except FileNotFoundError:
        return False
    except OSError:
        sound = False  # not readable, or a folder
    return not (sound and os.access(path, os.R_OK | os.W_OK)) or _takes(path)


def _takes(path: Path) -> bool:
    """Tell whether the folder takes a file the size of SQLite's helpers."""
    probe = path.with_name(path.name + ".probe")
    try:
        probe.write_bytes(bytes(65536))
    except OSError:
        return False
    finally:
        with contextlib.suppress(OSError):
            probe.unlink()
    return True


def sync_folder(path: Path) -> None:
    """Make a rename in this folder lasting, as far as the system lets us."""
    with contextlib.suppress(OSError):
        fd = os.open(path, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

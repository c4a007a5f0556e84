"""Opening the database: what cannot be used is set aside, never deleted, and a new one begun."""

from __future__ import annotations

import sqlite3
import time
from typing import TYPE_CHECKING

from kevmond.errors import JournalError
from kevmond.faultpoints import fault
from kevmond.journal import notices, trouble

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from kevmond.journal.notices import Notice
    from kevmond.journal.settings import JournalSettings
    from kevmond.journal.store import Contents, Store

_SUFFIXES = ("", "-wal", "-shm")


def open_store(
    settings: JournalSettings,
    wall_ns: Callable[[], int],
    news: list[Notice],
    make: Callable[..., Store],
) -> tuple[Store, Contents]:
    """Open the journal, or set it aside and begin a new one; blocking.

    Raises sqlite3.Error or OSError where the disk refuses for now (it is full, say), JournalError
    where a person must do something.
    """
    path = settings.path
    try:
        if not path.exists() and path.with_name(path.name + "-wal").exists():
            # Killed in the middle of setting aside: the rest must not meet the new database.
            _rename(path, _stamp(path, wall_ns()))
        return _load(make(path, settings.durability))
    except (sqlite3.Error, OSError, ValueError) as error:
        if not trouble.unusable(path, error):
            raise
        news.append(set_aside(path, trouble.describe(error), wall_ns()))
    return _load(make(path, settings.durability))


def _load(store: Store) -> tuple[Store, Contents]:
    try:
        return store, store.load()
    except BaseException:
        store.close()
        raise


def set_aside(path: Path, reason: str, wall_ns: int) -> Notice:
    """Rename the database and what belongs to it; JournalError if that cannot be done."""
    place = _stamp(path, wall_ns)
    fault("journal.before-set-aside")
    try:
        _rename(path, place)
    except OSError as error:
        raise JournalError(
            f"{path}: cannot be used ({reason}) and cannot be renamed ({trouble.describe(error)}); "
            f"move it away by hand, or make {path.parent} writable for this user"
        ) from error
    return notices.set_aside(path, place, reason)


def _stamp(path: Path, wall_ns: int) -> Path:
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(wall_ns // 1_000_000_000))
    place = path.with_name(f"{path.name}.set-aside-{stamp}")
    number = 1
    while any(place.with_name(place.name + suffix).exists() for suffix in _SUFFIXES):
        number += 1
        place = path.with_name(f"{path.name}.set-aside-{stamp}.{number}")
    return place


def _rename(path: Path, place: Path) -> None:
    # The database first: without it, what is left of the others is recognised at the next start.
    for suffix in _SUFFIXES:
        part = path.with_name(path.name + suffix)
        if part.exists() or part.is_symlink():
            part.rename(place.with_name(place.name + suffix))
            fault("journal.during-set-aside")
    trouble.sync_folder(path.parent)


def prepare_folder(path: Path) -> None:
    """Make the folder of the journal; JournalError tells what to do where that fails."""
    folder = path.parent
    advice = f"make {folder} a folder this user can write to, or set journal.path"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise JournalError(
            f"{folder}: cannot be made for the journal ({trouble.describe(error)}); {advice}"
        ) from error

"""The thread that owns the database: it alone writes, one transaction for all that has gathered.

The event loop hands over one `Commit` at a time and gets one `Outcome` back.  The thread is a
daemon thread: a disk that never answers cannot keep the process from ending.
"""

from __future__ import annotations

import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING

from kevmond.errors import JournalError
from kevmond.journal import trouble
from kevmond.journal.lock import Lock, lock_path
from kevmond.journal.opening import prepare_folder
from kevmond.journal.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Callable

    from kevmond.clock import Clock
    from kevmond.journal.commit import Commit, Outcome
    from kevmond.journal.notices import Notice
    from kevmond.journal.settings import JournalSettings
    from kevmond.journal.store import Contents, Store


class Owner:
    """Starts and feeds the thread."""

    def __init__(self, settings: JournalSettings, clock: Clock, make: Callable[..., Store]) -> None:
        self._settings = settings
        self._clock = clock
        self._make = make
        self._jobs: SimpleQueue[tuple[Commit, Callable[[Outcome], None]] | None] = SimpleQueue()
        self._opened: SimpleQueue[tuple[Contents, list[Notice]] | BaseException] = SimpleQueue()
        self._lock: Lock | None = None
        self._thread = threading.Thread(target=self._run, name="kevmond-journal", daemon=True)

    def start(self) -> tuple[Contents, list[Notice]]:
        """Take the lock and open the database; blocking.  JournalError where that cannot be."""
        self._thread.start()
        answer = self._opened.get()
        if isinstance(answer, BaseException):
            self._thread.join()
            raise answer
        return answer

    def submit(self, commit: Commit, deliver: Callable[[Outcome], None]) -> None:
        """Have a commit done; `deliver` is called with the outcome on the owner's thread."""
        self._jobs.put((commit, deliver))

    def mark_degraded(self) -> None:
        """Note beside the journal that records are out which no disk took.

        From a thread of its own: a disk that does not answer may hold this up as well.
        """
        if self._lock is not None:
            threading.Thread(
                target=self._lock.degrade, name="kevmond-journal-mark", daemon=True
            ).start()

    def abandon(self) -> None:
        """Let the thread end when it comes back; nobody waits for it."""
        self._jobs.put(None)

    def _run(self) -> None:
        try:
            writer = self._open()
        except Exception as error:  # noqa: BLE001 - whoever starts us gets it
            self._opened.put(error)
            return
        self._opened.put((writer.contents, writer.notices))
        while (job := self._jobs.get()) is not None:
            commit, deliver = job
            deliver(writer.write(commit))
            if commit.final:
                return
        writer.close()

    def _open(self) -> Writer:
        path = self._settings.path
        prepare_folder(path)
        try:
            lock = Lock(path)
        except OSError as error:
            what = f"make {path.parent} writable for this user"
            if isinstance(error, PermissionError) and lock_path(path).exists():
                what = "give it to this user, if a run by another one, such as root, left it"
            raise JournalError(
                f"{lock_path(path)}: cannot be made ({trouble.describe(error)}); {what}, or set "
                "journal.path"
            ) from error
        self._lock = lock
        try:
            return Writer(self._settings, self._clock, lock, self._make)
        except BaseException:
            lock.release()
            raise

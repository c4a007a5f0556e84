"""Reading from the disk, on a thread and a connection of its own.

Not on the owner's thread: a consumer that is far behind, or a query over all history, would stand
between the kernel's events and their commit.  WAL lets both go on at once.  The thread starts with
the first read, so a daemon whose consumers keep up has none.

Only bytes are read here; decoding is done on the event loop, where all other decoding is done.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from kevmond.events.event import Context
from kevmond.journal import letter_table, trouble
from kevmond.journal.batch import Batch, DamagedRow, Row
from kevmond.journal.contexts import context_from_json
from kevmond.journal.store import COLUMNS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from kevmond.journal.letter_table import LetterRow

T = TypeVar("T")

MAX_BYTES: Final = 2 << 20
"""Bytes of rows after which a fetch stops, whatever was asked for."""

_ROW: Final = f"SELECT {COLUMNS} FROM batches WHERE first_seq >= ? ORDER BY first_seq LIMIT 1"  # noqa: S608 - the columns are ours
_KEYS: Final = (
    "SELECT first_seq, last_seq FROM batches WHERE first_seq >= ? ORDER BY first_seq LIMIT 1"
)


@dataclass(frozen=True, slots=True)
class Damage:
    """Positions whose records cannot be read."""

    first: int
    last: int
    reason: str


@dataclass(slots=True)
class Fetched:
    """What was found in a span of positions, in their order."""

    items: list[tuple[Batch, Context] | Damage] = field(default_factory=list)
    reached: int = 0
    """Last position looked at; what lies before it and is not in `items` is not there."""


class Reader:
    """The thread; made when first needed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._jobs: SimpleQueue[tuple[int, Callable[[Source], Any], Any] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def submit(
        self,
        generation: int,
        job: Callable[[Source], T],
        deliver: Callable[[T | None, Exception | None], None],
    ) -> None:
        """Run `job` on the database of this generation; `deliver` is called on the thread."""
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._run, name="kevmond-journal-read", daemon=True
            )
            self._thread.start()
        self._jobs.put((generation, job, deliver))

    async def ask(self, generation: int, job: Callable[[Source], T]) -> T:
        """Run `job` and wait for its answer; raises what it raised."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Any] = loop.create_future()

        def settle(value: Any, error: Exception | None) -> None:
            if answer.done():
                return  # nobody waits any more
            if error is None:
                answer.set_result(value)
            else:
                answer.set_exception(error)

        def deliver(value: Any, error: Exception | None) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(settle, value, error)

        self.submit(generation, job, deliver)
        return cast("T", await answer)

    def ask_now(self, generation: int, job: Callable[[Source], T], timeout: float) -> T:
        """Run `job` and block for its answer; TimeoutError, or what it raised."""
        answers: SimpleQueue[tuple[Any, Exception | None]] = SimpleQueue()
        self.submit(generation, job, lambda value, error: answers.put((value, error)))
        try:
            value, error = answers.get(timeout=timeout)
        except Empty:
            raise TimeoutError(f"{self._path}: the disk does not answer") from None
        if error is not None:
            raise error
        return cast("T", value)

    def stop(self) -> None:
        """Let the thread end after what was submitted; nobody waits for it."""
        if self._thread is not None:
            self._thread = None
            self._jobs.put(None)

    def _run(self) -> None:
        source: Source | None = None
        opened = -1
        while (work := self._jobs.get()) is not None:
            generation, job, deliver = work
            try:
                if source is None or generation != opened:
                    if source is not None:
                        source.close()
                        source = None
                    source, opened = Source(self._path), generation
                answer = job(source)
            except Exception as error:  # noqa: BLE001 - the thread must outlive everything
                if source is not None:
                    source.close()
                    source = None
                deliver(None, error)
            else:
                deliver(answer, None)
        if source is not None:
            source.close()


class Source:
    """A connection that only reads."""

    def __init__(self, path: Path) -> None:
        """Open the database; sqlite3.Error if it cannot be."""
        self._db = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro",
            uri=True,
            timeout=2.0,
            isolation_level=None,
            check_same_thread=False,
        )
        self._db.execute("PRAGMA cache_size=-256")
        self._contexts: dict[int, Context] = {}

    def close(self) -> None:
        """Close the connection."""
        with contextlib.suppress(sqlite3.Error):
            self._db.close()

    def fetch(self, first: int, last: int, limit: int) -> Fetched:
        """Rows that hold positions from `first` to `last`, until they hold `limit` records."""
        found = Fetched(reached=last)
        at = self._row_of(first)
        count = size = 0
        while at <= last and count < limit and size < MAX_BYTES:
            try:
                row = self._db.execute(_ROW, (at,)).fetchone()
            except sqlite3.Error as error:
                if not trouble.damaged(error):
                    raise
                found.items.append(damage := self._damage(at, last, str(error)))
                at = damage.last + 1
                continue
            if row is None or row[0] > last:
                return found
            try:
                batch = Batch(Row(*row))
            except DamagedRow as error:
                found.items.append(damage := self._bounded(row[0], row[1], last, str(error)))
                at = damage.last + 1
                continue
            if batch.last_seq >= first:
                found.items.append((batch, self._context(batch.context_id)))
                count += batch.last_seq - max(batch.first_seq, first) + 1
                size += len(row[7])
            at = batch.last_seq + 1
        found.reached = max(min(at - 1, last), first)
        return found

    def since(self, wall_ns: int) -> int:
        """First position behind the newest record that is older than this; 1 if none is.

        Rows are looked at from the newest back, so the cost is that of the answer, and a clock that
        once stood wrong, long ago, does not matter.
        """
        keys = self._db.execute("SELECT last_seq, last_ns FROM batches ORDER BY first_seq DESC")
        for last_seq, last_ns in keys:
            if last_ns < wall_ns:
                keys.close()
                return int(last_seq) + 1
        return 1

    def letters(self, numbers: list[int]) -> list[LetterRow]:
        """Dead letters by their numbers, as they were written or not; missing ones left out."""
        return letter_table.fetch(self._db, numbers)

    def _row_of(self, seq: int) -> int:
        """Key of the row that may hold this position."""
        with _PassingOverDamage():
            key = self._db.execute(
                "SELECT max(first_seq) FROM batches WHERE first_seq <= ?", (seq,)
            ).fetchone()[0]
            if key is not None:
                return int(key)
        return seq

    def _damage(self, at: int, last: int, reason: str) -> Damage:
        """Find out how far an unreadable place goes: one body, or a page of the tree and more."""
        probe, step = at, 512
        while probe <= last:
            with _PassingOverDamage():
                keys = self._db.execute(_KEYS, (probe,)).fetchone()
                if keys is None:
                    break
                if probe == at:
                    return self._bounded(keys[0], keys[1], last, reason)
                return Damage(at, min(keys[0] - 1, last), reason)
            probe += step
            step *= 2
        return Damage(at, last, reason)

    def _bounded(self, first: Any, row_last: Any, last: int, reason: str) -> Damage:
        """Positions of a damaged row, whose own columns are not to be trusted."""
        end = row_last if isinstance(row_last, int) else first
        with _PassingOverDamage():
            following = self._db.execute(_KEYS, (first + 1,)).fetchone()
            if following is not None:
                end = min(end, following[0] - 1)
        return Damage(first, max(first, min(end, last)), reason)

    def _context(self, identity: int) -> Context:
        found = self._contexts.get(identity)
        if found is None:
            row = self._db.execute("SELECT json FROM contexts WHERE id = ?", (identity,)).fetchone()
            try:
                found = context_from_json(row[0]) if row else Context(host="", boot_id="")
            except ValueError:
                found = Context(host="", boot_id="")
            self._contexts[identity] = found
        return found


class _PassingOverDamage:
    """Goes on where the database is damaged; a disk that does not answer just now is no damage."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        return isinstance(error, sqlite3.DatabaseError) and trouble.damaged(error)

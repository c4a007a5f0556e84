"""Reading the disk for a consumer that lags."""

import sqlite3

import pytest

from kevmond.journal.reader import Source


class Failing:
    """A connection whose first query fails as a disk does that does not answer just now."""

    def __init__(self, real, error):
        self.real = real
        self.errors = [error]

    def execute(self, *args):
        if self.errors:
            raise self.errors.pop()
        return self.real.execute(*args)

    def close(self):
        self.real.close()


async def test_passing_trouble_is_no_reason_to_skip_records(journals, kit):
    """An I/O error while the place is looked for is raised, and the next attempt finds it."""
    journal = journals(window_records=0)
    journal.append(kit.records(1, 400))
    await kit.settled(journal)
    source = Source(journal.settings.path)
    error = kit.sqlite_error("disk I/O error", "SQLITE_IOERR")
    source._db = Failing(source._db, error)
    with pytest.raises(sqlite3.OperationalError):
        source.fetch(100, 400, 10)
    assert source.fetch(100, 400, 10).items[0][0].first_seq <= 100
    source.close()

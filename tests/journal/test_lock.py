"""One daemon per journal, and what the lock file remembers."""

import asyncio
import os
import subprocess
import sys

import pytest

from kevmond.errors import JournalError
from kevmond.journal import Journal, JournalSettings
from kevmond.journal.lock import Lock


async def test_second_daemon_is_refused_by_pid(journals, tmp_path):
    """Another process learns which process holds the journal, and what to do."""
    journals()
    program = (
        "import sys; from pathlib import Path; from kevmond.journal import *\n"
        "try: Journal.open(JournalSettings(path=Path(sys.argv[1])))\n"
        "except Exception as e: print(type(e).__name__, e)"
    )
    path = tmp_path / "journal.sqlite"
    other = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, str(path), stdout=subprocess.PIPE
    )
    async with asyncio.timeout(60):
        answer, _ = await other.communicate()
    assert answer.decode() == (
        f"JournalError {path}: in use by process {os.getpid()}; stop that kevmond, or give this "
        "one its own journal.path (or daemon.state_dir)\n"
    )


async def test_refusal_leaves_the_holder_alone(journals, kit, tmp_path):
    """The journal in use goes on after another open was refused."""
    journal = journals()
    cursor = journal.cursor("c")
    with pytest.raises(JournalError, match="in use by process"):
        Journal.open(JournalSettings(path=tmp_path / "journal.sqlite"))
    journal.append(kit.records(1, 3))
    assert kit.seqs(await kit.read_to(cursor, 3)) == [1, 2, 3]


async def test_closed_journal_can_be_opened_again(journals):
    """A clean stop lets go of the lock at once."""
    first = journals()
    await first.aclose(10)
    journals()


def test_lock_file_remembers(tmp_path):
    """The reservation and a death with unwritten records are seen by the next run."""
    path = tmp_path / "j"
    lock = Lock(path)
    assert (lock.reserved, lock.died_unwritten) == (1, False)
    lock.write(5000)
    lock.release()

    lock = Lock(path)
    assert (lock.reserved, lock.died_unwritten) == (5000, False)
    lock.write(6000)
    lock.degrade()
    lock.release()

    lock = Lock(path)
    assert (lock.reserved, lock.died_unwritten) == (6000, True)
    lock.release()
    lock.release()


@pytest.mark.parametrize("content", [b"", b"\0" * 50, b"pid x", b"pid 1\nreserved -3\nhealthy\n"])
def test_nonsense_in_the_lock_file_is_no_obstacle(tmp_path, content):
    """Whatever stands in the file, the lock can be taken."""
    (tmp_path / "j.lock").write_bytes(content)
    lock = Lock(tmp_path / "j")
    lock.write(10)
    lock.release()
    assert Lock(tmp_path / "j").reserved == 10

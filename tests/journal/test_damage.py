"""Journals that cannot be used: set aside, never deleted, and never in the way of a start."""

import contextlib
import os
import shutil
import sqlite3
import tempfile
from pathlib import Path

import pytest

from kevmond.errors import JournalError
from kevmond.journal import Journal, JournalSettings, NoticeKind
from kevmond.journal.writer import RESERVE


async def filled(journals, kit, count=3000):
    """Make a journal that holds records, and close it."""
    journal = journals()
    journal.cursor("c", start="oldest")
    journal.append(kit.records(1, count))
    await kit.settled(journal)
    await journal.aclose(10)


def alter(path, *statements):
    """Change a closed journal behind kevmond's back."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        for statement, *values in statements:
            db.execute(statement, values)


def overwrite(path, at, data):
    """Overwrite bytes of a file."""
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)


def content(path):
    """Return a file's bytes, or a folder's as those of the file in it."""
    return (path / "x" if path.is_dir() else path).read_bytes()


def as_folder(path):
    """Put a folder in the journal's place."""
    path.unlink()
    path.mkdir()
    (path / "x").write_text("x" * 200)


SPOILERS = {
    "not a database": lambda path: path.write_bytes(b"events, perhaps\n" * 1000),
    "truncated": lambda path: os.truncate(path, 20_000),
    "header gone": lambda path: overwrite(path, 0, bytes(100)),
    "first page torn": lambda path: overwrite(path, 100, b"\xff" * 3000),
    "another program's": lambda path: alter(path, ("PRAGMA application_id=1",)),
    "newer version": lambda path: alter(path, ("PRAGMA user_version=99",)),
    "table missing": lambda path: alter(path, ("DROP TABLE cursors",)),
    "context unreadable": lambda path: alter(path, ("UPDATE contexts SET json='{'",)),
    "a folder": as_folder,
}


@pytest.mark.parametrize("how", SPOILERS)
async def test_unusable_journal_is_set_aside(journals, kit, tmp_path, how):
    """The daemon begins a new journal, says so, keeps the old file, and repeats no position."""
    await filled(journals, kit)
    path = tmp_path / "journal.sqlite"
    SPOILERS[how](path)
    before = content(path)

    journal = journals()
    (notice,) = journal.notices
    assert notice.kind is NoticeKind.SET_ASIDE
    assert str(path) in notice.text
    assert "set aside as journal.sqlite.set-aside-20010909T014640Z" in notice.text
    aside = Path(notice.path)
    assert content(aside)[100:] == before[100:]
    assert journal.next_seq >= RESERVE
    begin = journal.next_seq
    cursor = journal.cursor("c", start="oldest")
    journal.append(kit.records(begin, begin + 9))
    assert kit.seqs(await kit.read_to(cursor, begin + 9)) == list(range(begin, begin + 10))
    await journal.aclose(10)
    again = journals()
    assert again.notices == []
    assert again.next_seq == begin + 10


@pytest.mark.parametrize("end", ["dies", "stops"])
async def test_positions_stay_passed_over_without_a_commit(journals, kit, tmp_path, end):
    """A run that set a journal aside and wrote nothing leaves the next one above all old positions.

    The new database knows nothing of them; killed, not even that a run was there.
    """
    await filled(journals, kit, 50)
    path = tmp_path / "journal.sqlite"
    path.write_bytes(b"rubbish" * 1000)
    journal = journals()
    begun = journal.next_seq
    assert begun > 50
    if end == "dies":
        place = tmp_path / "as left"
        place.mkdir()
        for left in (path, tmp_path / "journal.sqlite.lock"):
            shutil.copyfile(left, place / left.name)
        path = place / path.name
    await journal.aclose(10)
    assert journals(path=path).next_seq >= begun


async def test_every_set_aside_file_gets_its_own_name(journals, tmp_path):
    """Two failures within a second do not overwrite each other."""
    for text in (b"one" * 100, b"two" * 100, b"three" * 100):
        (tmp_path / "journal.sqlite").write_bytes(text)
        await journals().aclose(10)
    kept = {p.read_bytes()[:3] for p in tmp_path.glob("*.set-aside-*")}
    assert kept == {b"one", b"two", b"thr"}


async def test_an_empty_file_is_a_new_journal(journals, tmp_path):
    """A file that was made and never written is no damage."""
    (tmp_path / "journal.sqlite").touch()
    assert journals().notices == []


async def test_a_wal_without_its_database_is_set_aside(journals, kit, tmp_path):
    """What is left of setting aside a journal, when the process died in the middle of it."""
    (tmp_path / "journal.sqlite-wal").write_bytes(b"left over")
    journal = journals()
    journal.append(kit.records(1, 3))
    await kit.settled(journal)
    assert kit.seqs(await journal.read()) == [1, 2, 3]
    (kept,) = tmp_path.glob("*.set-aside-*-wal")
    assert kept.read_bytes() == b"left over"


@contextlib.contextmanager
def ordinary_user():
    """Give a folder of an ordinary user, and that user's rights, if the tests run as root."""
    folder = Path(tempfile.mkdtemp(prefix="kevmond-", dir="/tmp"))
    root = os.geteuid() == 0
    if root:
        os.chown(folder, 65534, 65534)
        os.seteuid(65534)
    try:
        yield folder
    finally:
        if root:
            os.seteuid(0)
        for path in [folder, *folder.rglob("*")]:
            path.chmod(0o700)
        for path in sorted(folder.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        folder.rmdir()


async def test_a_journal_without_permission_is_set_aside(journals, kit):
    """A journal that may not be read, in a folder that may be written, does not stop a start."""
    with ordinary_user() as folder:
        path = folder / "j"
        first = journals(path=path)
        await first.aclose(10)
        path.chmod(0)
        journal = journals(path=path)
        assert [notice.kind for notice in journal.notices] == [NoticeKind.SET_ASIDE]
        journal.append(kit.records(journal.next_seq, journal.next_seq))
        await kit.settled(journal)
        await journal.aclose(10)


async def test_a_lock_file_of_somebody_else_is_moved_away(journals):
    """A lock file that may be read only, and is not held, does not stop a start."""
    with ordinary_user() as folder:
        (folder / "j.lock").write_bytes(b"pid 1\n")
        (folder / "j.lock").chmod(0o444)
        journal = journals(path=folder / "j")
        await journal.aclose(10)
        assert len(list(folder.glob("j.lock.*"))) == 1


def test_a_folder_that_cannot_be_written_is_an_error():
    """Nothing can be kept there: the error names the folder and the setting."""
    with ordinary_user() as folder:
        folder.chmod(0o500)
        with pytest.raises(JournalError, match=r"EACCES.*writable for this user.*journal\.path"):
            Journal.open(JournalSettings(path=folder / "j"))
        with pytest.raises(JournalError, match=r"cannot be made.*EACCES.*journal\.path"):
            Journal.open(JournalSettings(path=folder / "new" / "j"))


def test_another_user_s_private_lock_is_told():
    """A run as root left a lock that this user may not even look at: that is what is told."""
    with ordinary_user() as folder:
        (folder / "j.lock").touch(mode=0)
        with pytest.raises(JournalError, match=r"j\.lock: cannot be made.*EACCES.*give it to this"):
            Journal.open(JournalSettings(path=folder / "j"))


def test_a_file_in_the_folders_place_is_an_error(tmp_path):
    """The folder cannot be made, and the error says so."""
    (tmp_path / "file").touch()
    with pytest.raises(JournalError, match=r"cannot be made for the journal \((EEXIST|ENOTDIR)"):
        Journal.open(JournalSettings(path=tmp_path / "file" / "j"))


async def test_a_damaged_row_is_skipped_and_counted(journals, kit, tmp_path):
    """A row whose check sum is wrong costs its records only: counted, said once, all else read."""
    await filled(journals, kit)
    alter(
        tmp_path / "journal.sqlite",
        ("UPDATE batches SET body=zeroblob(length(body)) WHERE first_seq=513",),
        ("UPDATE batches SET last_seq=99999999 WHERE first_seq=1537",),
    )
    journal = journals()
    cursor = journal.cursor("c")
    found = kit.seqs(await kit.read_to(cursor, 3000))
    assert found == [*range(1, 513), *range(1025, 1537), *range(2049, 3001)]
    assert cursor.missed == 1024
    tail = journal.cursor("tail", durable=False, start=600)
    assert kit.seqs(await kit.read_to(tail, 1536)) == list(range(1025, 1537))
    assert tail.missed == 424
    assert journal.statistics().counters.damaged == 1024
    said = [notice for notice in journal.notices if notice.kind is NoticeKind.DAMAGED]
    spans = [(n.first_seq, n.last_seq, n.count) for n in said]
    assert spans == [(513, 1024, 512), (1537, 2048, 512)]


async def test_a_torn_page_costs_what_is_on_it(journals, kit, tmp_path):
    """Where the database itself is unreadable, reading goes on behind it, and all is accounted."""
    journal = journals()
    journal.cursor("c", start="oldest")
    for first in range(1, 3001, 10):
        journal.append(kit.records(first, first + 9))
        await kit.settled(journal)
    await journal.aclose(10)
    path = tmp_path / "journal.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as db:
        try:
            pages = [
                number
                for number, kind in db.execute(
                    "SELECT pageno, pagetype FROM dbstat WHERE name='batches'"
                )
                if kind == "leaf"
            ]
            page = pages[len(pages) // 2]
        except sqlite3.OperationalError:
            page = db.execute("PRAGMA page_count").fetchone()[0] // 2
    overwrite(path, (page - 1) * 4096, b"\xff" * 4096)

    journal = journals()
    cursor = journal.cursor("c")
    found = kit.seqs(await kit.read_to(cursor, 3000))
    assert found[0] == 1
    assert len(set(found)) == len(found)
    assert len(found) + cursor.missed == 3000
    assert 0 < cursor.missed <= 1100


async def test_damage_found_while_writing_begins_a_new_journal(journals, kit, disk):
    """A database that turns out malformed in use is set aside; what is lost is counted."""
    journal = journals(make_store=disk.store)
    slow, quick = journal.cursor("slow"), journal.cursor("quick")
    journal.append(kit.records(1, 10))
    await kit.read_to(quick, 10)
    quick.acknowledge(10)
    slow.next_seq = 1
    await kit.settled(journal)
    journal._view.window.evict(10, 11, 11)  # as if memory had been short
    journal.set_state("id", "10")

    broken = kit.sqlite_error(
        "database disk image is malformed", "SQLITE_CORRUPT", sqlite3.DatabaseError
    )
    opened = disk.opened
    original = disk.check

    def once():
        disk.check = original
        raise broken

    disk.check = once
    journal.append(kit.records(11, 20))
    assert kit.seqs(await kit.read_to(quick, 20)) == list(range(11, 21))
    assert kit.seqs(await kit.read_to(slow, 20)) == list(range(11, 21))
    assert (slow.missed, quick.missed) == (10, 0)
    assert disk.opened == opened + 1
    assert [n.kind for n in journal.notices] == [NoticeKind.SET_ASIDE]
    assert "SQLITE_CORRUPT: database disk image is malformed" in journal.notices[0].text
    quick.acknowledge(20)
    await journal.aclose(10)

    journal = journals()
    assert journal.next_seq == 21
    assert journal.state("id") == "10"
    assert kit.seqs(await journal.read()) == list(range(11, 21))
    assert journal.cursor("quick").position == 20
    slow = journal.cursor("slow")
    assert (slow.position, slow.missed) == (0, 10)


async def test_a_deleted_journal_is_noticed(journals, kit, tmp_path):
    """A database deleted under a running daemon is begun anew, not written into nowhere."""
    journal = journals()
    cursor = journal.cursor("c")
    journal.append(kit.records(1, 10))
    await kit.read_to(cursor, 10)
    cursor.acknowledge(10)
    await kit.settled(journal)
    (tmp_path / "journal.sqlite").unlink()
    journal.append(kit.records(11, 20))
    assert kit.seqs(await kit.read_to(cursor, 20)) == list(range(11, 21))
    assert "deleted or replaced while in use" in journal.notices[0].text
    await journal.aclose(10)
    journal = journals()
    assert kit.seqs(await journal.read()) == list(range(11, 21))
    assert journal.cursor("c").position == 10

"""Looking a journal over from outside."""

import sqlite3

import pytest

from kevmond.errors import JournalError
from kevmond.journal.verify import verify


async def test_a_sound_journal(journals, kit, tmp_path):
    """What is in it is told, while it is in use as well."""
    journal = journals()
    cursor = journal.cursor("c", start="oldest")
    journal.append(kit.records(1, 600))
    journal.advance(699)
    journal.append(kit.records(700, 710))
    await kit.read_to(cursor, 710)
    cursor.acknowledge(42)
    await kit.settled(journal)
    verdict = verify(tmp_path / "journal.sqlite")
    assert verdict.sound
    assert (verdict.rows, verdict.records) == (3, 611)
    assert (verdict.first_seq, verdict.last_seq) == (1, 710)
    assert verdict.holes == [(601, 699)]
    assert verdict.cursors == {"c": (42, 0)}


async def test_what_is_wrong_is_told(journals, kit, tmp_path):
    """Damaged rows, rows that overlap and missing contexts are found and named."""
    journal = journals()
    journal.append(kit.records(1, 2000))
    await kit.settled(journal)
    await journal.aclose(10)
    path = tmp_path / "journal.sqlite"
    with sqlite3.connect(path) as db:
        db.execute("UPDATE batches SET crc=crc+1 WHERE first_seq=513")
        db.execute(
            "INSERT INTO batches SELECT 1999, 2510, first_ns, last_ns, context, records, crc, body"
            " FROM batches WHERE first_seq=1"
        )
        db.execute("DELETE FROM contexts")
    db.close()
    verdict = verify(path)
    assert not verdict.sound
    assert verdict.damaged == [
        (513, 1024, "its check sum is wrong"),
        (1999, 2510, "its check sum is wrong"),
    ]
    assert "positions 1999 to 2000 are held twice" in verdict.problems
    assert "records 1 to 512: their context is missing" in verdict.problems
    assert verdict.holes == []


async def test_a_torn_page_is_told(journals, kit, tmp_path):
    """A page of rubbish in the middle is reported, not raised."""
    journal = journals()
    for first in range(1, 3000, 10):
        journal.append(kit.records(first, first + 9))
        await kit.settled(journal)
    await journal.aclose(10)
    path = tmp_path / "journal.sqlite"
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 8192 * 4096)
        file.write(b"\xff" * 4096)
    verdict = verify(path)
    assert not verdict.sound
    assert verdict.problems


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "no such file"), (b"x" * 5000, "not a database"), (b"", "is not a journal")],
)
def test_what_is_no_journal(tmp_path, content, message):
    """A file that is none is an error that names it."""
    path = tmp_path / "j"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(JournalError, match=message) as caught:
        verify(path)
    assert str(path) in str(caught.value)

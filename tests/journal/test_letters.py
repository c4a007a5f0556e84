"""Dead letters: with their record's acknowledgement or not at all, bounded, and read back whole."""

import asyncio
import json
import sqlite3
import threading
from dataclasses import replace

import pytest

from kevmond.errors import JournalError
from kevmond.events.event import Context
from kevmond.journal import DeadLetter, NoticeKind
from kevmond.journal import letters as letters_module
from kevmond.journal.letters import UNSEEN
from kevmond.journal.pipeline import Pace
from kevmond.journal.verify import verify

CONTEXT = Context(host="mac", boot_id="boot-1", os_release="20.6.0", vendor_names={1: "apple"})
SLOW = Pace(flush=0.01, retry_first=1e6, retry_most=1e6)


def dead(record, story="{}", context=CONTEXT):
    """Make the letter of a record of the tests, whose event has no id."""
    return DeadLetter(
        record.seq, f"id-{record.seq}", record.wall_ns, record.kind, record.body, context, story
    )


async def buried(journal, kit, last, *, name="sink.a", upto=None, story="{}"):
    """Append records to `last`, and bury them all."""
    cursor = journal._cursors.get(name) or journal.cursor(name, start="oldest")
    journal.append(kit.records(journal.next_seq, last))
    read = await kit.read_to(cursor, last, limit=10_000)
    journal.bury(name, [dead(record, story) for record in read], (name, upto or last))
    return cursor


async def all_letters(journal, consumer=None, page=100):
    """Read every letter, page by page."""
    found, after = [], 0
    while letters := await journal.letters(consumer, after=after, limit=page):
        found += letters
        after = letters[-1].number
    return found


def numbers(found):
    """Numbers of letters."""
    return [each.number for each in found]


def seqs(found):
    """Positions of letters."""
    return [each.seq for each in found]


def rows(path):
    """Look at the table with another connection."""
    with sqlite3.connect(path) as db:
        found = db.execute("SELECT number, consumer, seq FROM letters ORDER BY number").fetchall()
    db.close()
    return found


@pytest.mark.parametrize("when", ["in memory", "on disk", "next run"])
async def test_letters_are_read_back_whole(journals, kit, clock, when):
    """A letter gives back consumer, time, story and the record with its context, at any moment."""
    journal = journals()
    cursor = journal.cursor("sink.a", start="oldest")
    journal.append(kit.records(1, 2))
    one, two = await kit.read_to(cursor, 2)
    other = replace(CONTEXT, boot_id="boot-é", vendor_names={1001: "acme"})
    journal.bury("sink.a", [dead(one, '{"why": "é"}', other), dead(two)], ("sink.a", 2))
    if when != "in memory":
        await kit.settled(journal)
    if when == "next run":
        await journal.aclose(10)
        journal = journals()
    first, second = await journal.letters()
    assert (first.number, first.consumer, first.buried_ns) == (1, "sink.a", clock.wall)
    assert (first.seq, first.event_id, first.story) == (1, "id-1", '{"why": "é"}')
    record = first.record
    assert (record.seq, record.wall_ns, record.kind, record.body) == (
        one.seq,
        one.wall_ns,
        one.kind,
        one.body,
    )
    assert record.event.context == other
    assert (second.number, second.seq, second.record.event.context) == (2, 2, CONTEXT)
    assert journal.letter_counts() == {"sink.a": 2}
    assert journal.statistics().letters == 2


async def test_letters_of_one_consumer_page_by_page(journals, kit):
    """Letters come in the order they were buried, of one consumer or of all, a page at a time."""
    journal = journals()
    a = journal.cursor("sink.a", start="oldest")
    b = journal.cursor("sink.b", start="oldest")
    journal.append(kit.records(1, 30))
    for name, cursor in (("sink.a", a), ("sink.b", b)):
        for record in await kit.read_to(cursor, 30):
            if record.seq % 3:
                journal.bury(name, [dead(record)], (name, record.seq))
            else:
                cursor.acknowledge(record.seq)
    await kit.settled(journal)
    expected = [seq for seq in range(1, 31) if seq % 3]
    for page in (1, 7, 100):
        assert seqs(await all_letters(journal, "sink.a", page)) == expected
    assert numbers(await all_letters(journal)) == list(range(1, 41))
    assert await journal.letters("sink.c") == []
    assert journal.letter_counts() == {"sink.a": 20, "sink.b": 20}


async def test_letter_and_acknowledgement_are_of_one_transaction(journals, kit, disk):
    """While the disk refuses, neither the letter nor the position is there; then both are."""
    journal = journals(make_store=disk.store)
    cursor = journal.cursor("sink.a", start="oldest")
    journal.append(kit.records(1, 5))
    read = await kit.read_to(cursor, 5)
    await kit.settled(journal)
    disk.fill()
    journal.append(kit.records(6, 6))  # so that the store is asked to insert
    journal.bury("sink.a", [dead(read[0])], ("sink.a", 1))
    async with asyncio.timeout(20):
        while journal.statistics().refusal is None:  # noqa: ASYNC110 - a state, not an event
            await asyncio.sleep(0.001)
    with sqlite3.connect(journal.settings.path) as db:
        assert db.execute("SELECT seq FROM cursors").fetchall() == [(0,)]
        assert not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'letters'").fetchall()
    db.close()
    assert seqs(await journal.letters()) == [1]
    assert journal.letter_counts() == {"sink.a": 1}
    disk.error = None
    await kit.settled(journal)
    with sqlite3.connect(journal.settings.path) as db:
        assert db.execute("SELECT seq FROM cursors").fetchall() == [(1,)]
    db.close()
    assert rows(journal.settings.path) == [(1, "sink.a", 1)]
    assert seqs(await journal.letters()) == [1]


async def test_what_dies_unwritten_is_neither_buried_nor_acknowledged(
    journals, kit, disk, tmp_path
):
    """A process that ends while the disk refuses leaves the records to be read again."""
    journal = journals(make_store=disk.store, pace=SLOW)
    cursor = journal.cursor("sink.a", start="oldest")
    journal.append(kit.records(1, 3))
    read = await kit.read_to(cursor, 3)
    await kit.settled(journal)
    disk.fill()
    journal.append(kit.records(4, 4))
    journal.bury("sink.a", [dead(each) for each in read], ("sink.a", 3))
    await journal.aclose(1)
    disk.error = None
    journal = journals()
    assert await journal.letters() == []
    assert kit.seqs(await kit.read_to(journal.cursor("sink.a"), 3)) == [1, 2, 3]


async def test_unburied_letters_are_gone(journals, kit):
    """Letters taken out are gone at once, from the disk too; unknown numbers do no harm."""
    journal = journals()
    await buried(journal, kit, 6)
    assert journal.unbury([2]) == 1  # before the disk has it
    await kit.settled(journal)
    assert journal.unbury([4, 4, 2, 99]) == 1
    assert seqs(await journal.letters()) == [1, 3, 5, 6]
    await kit.settled(journal)
    assert [number for number, _, _ in rows(journal.settings.path)] == [1, 3, 5, 6]
    assert journal.unbury(range(100)) == 4
    assert journal.letter_counts() == {}
    assert journal.statistics().letters_bytes == 0


async def test_no_number_is_given_twice(journals, kit):
    """Numbers go on rising when all letters are gone, over a restart as well."""
    journal = journals()
    await buried(journal, kit, 3)
    await kit.settled(journal)
    journal.unbury([1, 2, 3])
    await journal.aclose(10)
    journal = journals()
    await buried(journal, kit, 5)
    assert numbers(await journal.letters()) == [4, 5]


async def test_letters_and_removals_survive_a_refusing_disk(journals, kit, disk):
    """What is buried and unburied while the disk refuses is all done when it takes it again."""
    journal = journals(make_store=disk.store, pace=SLOW)
    await buried(journal, kit, 4)
    await kit.settled(journal)
    disk.fill()
    await buried(journal, kit, 8)
    await asyncio.sleep(0.05)
    journal.unbury([2, 6])
    await buried(journal, kit, 9)
    assert seqs(await journal.letters()) == [1, 3, 4, 5, 7, 8, 9]
    disk.error = None
    journal._pipeline._retry_due()
    await asyncio.sleep(0)
    journal._pipeline._retry and journal._pipeline._retry.cancel()
    await kit.settled(journal)
    assert [seq for _, _, seq in rows(journal.settings.path)] == [1, 3, 4, 5, 7, 8, 9]
    assert numbers(await journal.letters()) == [1, 3, 4, 5, 7, 8, 9]


async def test_beyond_their_number_the_oldest_are_lost_and_said(journals, kit, monkeypatch):
    """Letters beyond the bound push out the oldest, a part at once, counted for each consumer."""
    monkeypatch.setattr(letters_module, "MAX_LETTERS", 160)
    journal = journals()
    await buried(journal, kit, 50, name="sink.a")
    other = journal.cursor("sink.b", start=50)
    journal.append(kit.records(51, 400))
    for record in await kit.read_to(other, 400, limit=1000):
        journal.bury("sink.b", [dead(record)], ("sink.b", record.seq))
        await asyncio.sleep(0)
        assert len(journal._letters) <= 160
    await kit.settled(journal)
    kept = await all_letters(journal)
    assert seqs(kept) == list(range(401 - len(kept), 401))
    assert 150 <= len(kept) <= 160
    lost = [notice for notice in journal.notices if notice.kind is NoticeKind.LOST]
    assert {notice.cursor for notice in lost} == {"sink.a", "sink.b"}
    assert sum(notice.count for notice in lost) == 400 - len(kept)
    assert lost[-1].total == 350 - len(kept)
    assert len(lost) < 40
    assert journal.statistics().counters.letters_lost == 400 - len(kept)
    assert len(rows(journal.settings.path)) == len(kept)


async def test_beyond_their_size_the_oldest_are_lost(journals, kit):
    """Letters take at most a quarter of the journal's own bound, their stories counted."""
    journal = journals(max_bytes=1 << 20)
    for last in range(10, 210, 10):
        await buried(journal, kit, last, story=json.dumps("x" * 5000))
        await kit.settled(journal)
    figures = journal.statistics()
    assert figures.letters_bytes <= 1 << 18
    assert figures.disk_bytes <= (1 << 20) + 200_000
    kept = await all_letters(journal)
    assert seqs(kept) == list(range(201 - len(kept), 201))
    assert figures.counters.letters_lost == 200 - len(kept)
    assert figures.counters.trimmed == 0


async def test_one_letter_is_kept_however_large(journals, kit):
    """The newest letter is never the one that makes room."""
    journal = journals(max_bytes=1 << 20)
    await buried(journal, kit, 1, story="x" * (1 << 19))
    assert len(await journal.letters()) == 1
    await buried(journal, kit, 2, story="y" * (1 << 19))
    assert seqs(await journal.letters()) == [2]


async def test_letters_outlive_their_records(journals, kit, clock):
    """Retention takes records and contexts; a letter has all it needs itself."""
    journal = journals(max_age=3600)
    await buried(journal, kit, 3)
    await kit.settled(journal)
    clock.pass_time(1000 * kit.HOUR + 10**15)
    journal.set_context(replace(CONTEXT, boot_id="boot-2"))
    cursor = journal._cursors["sink.a"]
    journal.append([kit.record(4, wall_ns=clock.wall)])
    cursor.acknowledge(4)
    await kit.settled(journal)
    assert kit.seqs(await journal.read()) == [4]
    assert {letter.record.event.context.boot_id for letter in await journal.letters()} == {"boot-1"}


async def test_a_damaged_letter_is_lost_and_said(journals, kit):
    """A letter that is not what was written is removed and counted; the others are given out."""
    journal = journals()
    await buried(journal, kit, 5)
    await journal.aclose(10)
    with sqlite3.connect(journal.settings.path) as db:
        db.execute("UPDATE letters SET body = 'x' WHERE number = 2")
        db.execute("UPDATE letters SET wall_ns = 5 WHERE number = 3")
        db.execute("UPDATE letters SET context = '[]', crc = crc + 1 WHERE number = 4")
    db.close()
    journal = journals()
    assert numbers(await journal.letters()) == [1, 5]
    lost = [notice for notice in journal.notices if notice.kind is NoticeKind.LOST]
    assert [(notice.cursor, notice.count, notice.total) for notice in lost] == [
        ("sink.a", 1, 1),
        ("sink.a", 1, 2),
        ("sink.a", 1, 3),
    ]
    await kit.settled(journal)
    assert [number for number, _, _ in rows(journal.settings.path)] == [1, 5]


async def test_letters_that_cannot_be_listed_cost_no_records(journals, kit):
    """A table of letters that is of another form is left alone, which is said; records are kept."""
    journal = journals()
    await buried(journal, kit, 5)
    await journal.aclose(10)
    with sqlite3.connect(journal.settings.path) as db:
        db.execute("ALTER TABLE letters RENAME COLUMN size TO breadth")
    db.close()
    journal = journals()
    assert [notice.kind for notice in journal.notices] == [NoticeKind.DAMAGED]
    assert journal.letter_counts() == {}
    assert kit.seqs(await journal.read()) == [1, 2, 3, 4, 5]


async def test_letters_of_a_database_that_is_gone_are_lost_and_said(journals, kit):
    """When the file is replaced amid the run, its letters are counted; new ones are kept."""
    journal = journals()
    await buried(journal, kit, 5)
    await kit.settled(journal)
    for left in journal.settings.path.parent.glob("journal.sqlite*"):
        if not left.name.endswith(".lock"):
            left.unlink()
    cursor = await buried(journal, kit, 7)
    await kit.settled(journal)
    assert cursor.position == 7
    assert numbers(await journal.letters()) == [6, 7]
    assert journal.letter_counts() == {"sink.a": 2}
    lost = [notice for notice in journal.notices if notice.kind is NoticeKind.LOST]
    assert [(notice.cursor, notice.count) for notice in lost] == [("sink.a", 5)]
    await journal.aclose(10)
    journal = journals()
    assert numbers(await journal.letters()) == [6, 7]
    assert journal.cursor("sink.a").position == 7


async def test_letters_unseen_at_the_start_are_found_later(journals, kit, disk):
    """A disk that refuses at the start hides letters until it does not; no number meets another."""
    journal = journals()
    await buried(journal, kit, 3)
    await journal.aclose(10)
    disk.error = kit.sqlite_error("database or disk is full", "SQLITE_FULL")
    journal = journals(make_store=disk.store, pace=SLOW)
    cursor = journal.cursor("sink.b", start="newest")
    first = journal.next_seq
    journal.append(kit.records(first, first))
    assert journal.statistics().refusal is not None
    (record,) = await kit.read_to(cursor, first)
    journal.bury("sink.b", [dead(record)], ("sink.b", first))
    disk.error = None
    for _ in range(3):
        if journal._pipeline._retry:
            journal._pipeline._retry.cancel()
            journal._pipeline._retry_due()
        await asyncio.sleep(0.05)
    assert numbers(await journal.letters()) == [1, 2, 3, UNSEEN + 4]
    assert journal.letter_counts() == {"sink.a": 3, "sink.b": 1}


async def test_texts_that_no_database_takes_hold_nothing_up(journals, kit):
    """A letter with text that is no text is stored all the same."""
    journal = journals()
    cursor = journal.cursor("sink.a", start="oldest")
    journal.append(kit.records(1, 1))
    (record,) = await kit.read_to(cursor, 1)
    bad = replace(dead(record, '"\ud800"'), event_id="\udfff")
    journal.bury("sink.a", [bad], ("sink.a", 1))
    await kit.settled(journal)
    assert journal.statistics().refusal is None
    (letter,) = await journal.letters()
    assert letter.story == '"?"'


async def test_who_has_no_place_buries_nothing(journals, kit):
    """A cursor that is not open cannot be acknowledged, so there is no letter either."""
    journal = journals()
    journal.append(kit.records(1, 1))
    with pytest.raises(JournalError, match=r"'sink\.x' is not open"):
        journal.bury("sink.x", [dead(kit.record(1))], ("sink.x", 1))
    assert await journal.letters() == []


async def test_verify_looks_at_letters_too(journals, kit):
    """Sound letters are counted by consumer, a damaged one is told by its number."""
    journal = journals()
    await buried(journal, kit, 3)
    await buried(journal, kit, 5, name="sink.b")
    await journal.aclose(10)
    assert verify(journal.settings.path).letters == {"sink.a": 3, "sink.b": 5}
    with sqlite3.connect(journal.settings.path) as db:
        db.execute("UPDATE letters SET seq = 9 WHERE number = 2")
    db.close()
    verdict = verify(journal.settings.path)
    assert (verdict.letters, verdict.sound) == ({"sink.a": 2, "sink.b": 5}, False)
    assert verdict.problems == ["dead letter 2: its check sum is wrong"]


# ---------------------------------------------------------------------- state


async def test_states_by_prefix_and_their_removal(journals, kit):
    """Values are listed by prefix; one set to None is gone, in the next run too."""
    journal = journals()
    journal.set_state("webhook.a", "1")
    journal.set_state("webhook.b", "2")
    journal.set_state("webhoot", "3")
    assert journal.states("webhook.") == {"webhook.a": "1", "webhook.b": "2"}
    await kit.settled(journal)
    journal.set_state("webhook.a", None)
    journal.set_state("webhook.c", None)
    assert journal.states("webhook.") == {"webhook.b": "2"}
    assert journal.state("webhook.a") is None
    await journal.aclose(10)
    journal = journals()
    assert journal.states("") == {"webhook.b": "2", "webhoot": "3"}


async def test_a_removed_value_stays_removed_in_a_new_database(journals, kit):
    """A database made anew amid a run gets the values there are, and no older ones."""
    journal = journals()
    journal.set_state("a", "1")
    journal.set_state("b", "2")
    await kit.settled(journal)
    journal.set_state("a", None)
    await kit.settled(journal)
    journal.settings.path.unlink()
    journal.append(kit.records(1, 1))
    await kit.settled(journal)
    await journal.aclose(10)
    assert journals().states("") == {"b": "2"}


async def test_a_consumers_note_goes_with_its_place(journals):
    """What a consumer keeps for itself is forgotten when its place is."""
    journal = journals()
    journal.cursor("sink.a")
    journal.cursor("sink.b")
    journal.set_state("note.sink.a", "x")
    journal.set_state("note.sink.b", "y")
    journal.retain_only(["sink.b"])
    assert journal.states("note.") == {"note.sink.b": "y"}


# ---------------------------------------------------------------------- what lasts


async def test_lasting_waits_for_the_disk(journals, kit, disk):
    """`lasting` returns once all of it is committed, and does not wait for a disk that refuses."""
    journal = journals(make_store=disk.store, pace=Pace(flush=1e6, retry_first=1e6, retry_most=1e6))
    assert await journal.lasting()
    commits = disk.commits
    journal.append(kit.records(1, 3))
    cursor = journal.cursor("sink.a", start="oldest")
    await kit.read_to(cursor, 3)
    journal.set_state("a", "1")
    cursor.acknowledge(3)
    assert await asyncio.wait_for(journal.lasting(), 20)
    assert disk.commits > commits
    with sqlite3.connect(journal.settings.path) as db:
        assert db.execute("SELECT seq FROM cursors").fetchall() == [(3,)]
        assert db.execute("SELECT value FROM state WHERE key = 'a'").fetchall() == [("1",)]
    db.close()
    assert await asyncio.wait_for(journal.lasting(), 20)
    disk.fill()
    journal.append(kit.records(4, 4))
    assert not await asyncio.wait_for(journal.lasting(), 20)
    assert not await asyncio.wait_for(journal.lasting(), 20)
    disk.error = None


async def test_lasting_takes_in_what_comes_amid_a_commit(journals, kit, disk):
    """What is set while a commit is under way is waited for too."""
    journal = journals(make_store=disk.store, pace=Pace(flush=1e6))
    disk.gate = threading.Event()
    journal.append(kit.records(1, 1))
    first = asyncio.ensure_future(journal.lasting())
    await asyncio.sleep(0.01)
    journal.set_state("a", "1")
    second = asyncio.ensure_future(journal.lasting())
    await asyncio.sleep(0)
    assert not first.done()
    disk.gate.set()
    assert await asyncio.wait_for(second, 20)
    assert first.done()
    with sqlite3.connect(journal.settings.path) as db:
        assert db.execute("SELECT value FROM state").fetchall() == [("1",)]
    db.close()


async def test_lasting_ends_with_the_journal(journals, kit, disk):
    """Nobody waits for a disk that is given up on."""
    journal = journals(make_store=disk.store)
    disk.gate = threading.Event()
    journal.append(kit.records(1, 1))
    waiting = asyncio.ensure_future(journal.lasting())
    await asyncio.sleep(0.01)
    await journal.aclose(0.01)
    assert not await asyncio.wait_for(waiting, 20)
    disk.gate.set()

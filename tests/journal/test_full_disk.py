"""A disk that refuses: nothing stops, the newest is kept, what is lost is counted, all recovers."""

import asyncio
import sqlite3
import threading

import pytest

from kevmond.journal import NoticeKind
from kevmond.journal.pipeline import Pace
from kevmond.journal.store import Store
from kevmond.journal.writer import RESERVE

KINDS = [
    ("database or disk is full", "SQLITE_FULL"),
    ("disk I/O error", "SQLITE_IOERR"),
    ("attempt to write a readonly database", "SQLITE_READONLY"),
    ("database is locked", "SQLITE_BUSY"),
    ("unable to open database file", "SQLITE_CANTOPEN"),
    (None, None),
]


def refusal(kit, text, name):
    """Make the error of a refusing disk, with a code or without one."""
    if name is None:
        return sqlite3.OperationalError("database or disk is full")
    return kit.sqlite_error(text, name)


def said(journal):
    """Kinds of the notices so far."""
    return [notice.kind for notice in journal.notices]


@pytest.mark.parametrize(("text", "name"), KINDS)
async def test_consumers_go_on_and_the_disk_catches_up(journals, kit, disk, text, name):
    """While the disk refuses, consumers get records from memory; later the disk gets them too."""
    journal = journals(make_store=disk.store)
    cursor = journal.cursor("c")
    journal.append(kit.records(1, 5))
    await kit.read_to(cursor, 5)
    disk.error = refusal(kit, text, name)
    journal.append(kit.records(6, 9))
    assert kit.seqs(await kit.read_to(cursor, 9)) == [6, 7, 8, 9]
    journal.append(kit.records(10, 12))
    assert kit.seqs(await kit.read_to(cursor, 12)) == [10, 11, 12]
    cursor.acknowledge(12)
    journal.set_state("id", "12")
    assert "full" in journal.statistics().refusal or name in journal.statistics().refusal
    assert journal.statistics().pending == 7

    disk.error = None
    await kit.settled(journal)
    assert journal.statistics().refusal is None
    assert said(journal) == [NoticeKind.DEGRADED, NoticeKind.RECOVERED]
    await journal.aclose(10)
    journal = journals()
    assert journal.state("id") == "12"
    assert journal.next_seq == 13
    assert journal.cursor("c").position == 12
    assert kit.seqs(await journal.read()) == list(range(1, 13))


async def test_the_bound_drops_the_oldest_and_counts_them(journals, kit, disk):
    """Beyond the bound the oldest unwritten records are lost: counted, said, and missed."""
    journal = journals(make_store=disk.store, held_records=20)
    quick, slow = journal.cursor("quick"), journal.cursor("slow")
    journal.append(kit.records(1, 10))
    await kit.read_to(quick, 10)
    disk.fill()
    for first in range(11, 101, 5):
        journal.append(kit.records(first, first + 4))
        await kit.read_to(quick, first + 4)
    figures = journal.statistics()
    assert (figures.pending, figures.counters.lost) == (20, 70)
    disk.error = None
    await kit.settled(journal)
    assert kit.seqs(await kit.read_to(slow, 100)) == [*range(1, 11), *range(81, 101)]
    assert (quick.missed, slow.missed) == (0, 70)
    lost = [notice for notice in journal.notices if notice.kind is NoticeKind.LOST]
    assert len(lost) <= 8  # told at 5, 10, 20, 40 ..., not 14 times
    assert sum(notice.count for notice in lost) == lost[-1].total == 70
    assert journal.notices[-1].kind is NoticeKind.RECOVERED
    assert journal.notices[-1].count == 70


async def test_misses_of_a_refusing_disk_outlive_the_process(journals, kit, disk):
    """A consumer that was not there learns after a restart what was lost; acknowledged, it is over.

    The same number again until it has acknowledged something newer, and then none.
    """
    journal = journals(make_store=disk.store, held_records=10)
    journal.cursor("absent", start="oldest").close()
    await kit.settled(journal)
    disk.fill()
    for seq in range(1, 31):
        journal.append([kit.record(seq)])
        await asyncio.sleep(0)
    disk.error = None
    await kit.settled(journal)
    lost = journal.statistics().counters.lost
    assert lost >= 19
    await journal.aclose(10)
    for acknowledged in (0, 30):
        journal = journals()
        cursor = journal.cursor("absent")
        assert cursor.missed == lost
        found = await kit.read_to(cursor, 30)
        assert len(found) + lost == 30
        assert cursor.missed == lost
        cursor.acknowledge(acknowledged)
        await journal.aclose(10)
    assert journals().cursor("absent").missed == 0


async def test_a_name_that_begins_amid_losses_misses_only_later_ones(journals, kit, disk):
    """What was lost before a consumer was known is no miss of its, over a restart as well."""
    slow = Pace(flush=0.01, retry_first=1e6, retry_most=1e6)
    journal = journals(make_store=disk.store, held_records=5, pace=slow)
    await kit.settled(journal)
    disk.fill()

    async def append(first, last):
        for seq in range(first, last + 1):
            journal.append([kit.record(seq)])

    async def try_again():
        journal._pipeline._retry.cancel()
        journal._pipeline._retry_due()
        async with asyncio.timeout(20):
            while journal._pipeline._in_flight is not None:  # noqa: ASYNC110 - a state
                await asyncio.sleep(0)

    watcher = journal.cursor("watcher", durable=False)
    await append(1, 20)
    await kit.read_to(watcher, 20)
    await try_again()
    await append(21, 30)
    journal.cursor("new", start=2).close()
    lost = journal.statistics().counters.lost
    await try_again()
    await append(31, 40)
    later = journal.statistics().counters.lost - lost
    assert later > 0
    disk.error = None
    await try_again()
    expected = kit.seqs(await journal.read(first_seq=3))

    here = journal.cursor("new")
    assert kit.seqs(await kit.read_to(here, 40)) == expected
    assert here.missed == later
    await journal.aclose(10)
    cursor = journals().cursor("new")
    assert kit.seqs(await kit.read_to(cursor, 40)) == expected
    assert cursor.missed == later


async def test_a_name_that_begins_amid_a_refused_commit_misses_nothing(journals, kit, disk):
    """Losses that a commit under way was to write are none of a name that begins meanwhile."""
    disk.gate = threading.Event()
    disk.gate.set()
    slow = Pace(flush=0.01, retry_first=1e6, retry_most=1e6)
    journal = journals(make_store=disk.store, held_records=5, pace=slow)
    await kit.settled(journal)
    disk.fill()
    watcher = journal.cursor("watcher", durable=False)
    for seq in range(1, 21):
        journal.append([kit.record(seq)])
    await kit.read_to(watcher, 20)
    disk.error = None
    disk.gate.clear()
    journal._pipeline._retry.cancel()
    journal._pipeline._retry_due()
    async with asyncio.timeout(20):
        while journal._pipeline._in_flight is None:  # noqa: ASYNC110 - a state
            await asyncio.sleep(0)
    journal.cursor("new", start=0).close()
    disk.fill()
    disk.gate.set()
    async with asyncio.timeout(20):
        while journal._pipeline._in_flight is not None:  # noqa: ASYNC110 - a state
            await asyncio.sleep(0.001)
    assert journal.statistics().counters.lost == 15
    disk.error = None
    await journal.aclose(10)
    assert journals().cursor("new").missed == 0


async def test_a_slow_consumer_is_served_from_memory(journals, kit, disk):
    """What no disk has taken stays in memory for those who have not read it, whatever its bound."""
    journal = journals(make_store=disk.store, window_records=0)
    slow, quick = journal.cursor("slow"), journal.cursor("quick")
    await kit.settled(journal)
    disk.fill()
    journal.append(kit.records(1, 50))
    await kit.read_to(quick, 50)
    assert kit.seqs(await kit.read_to(slow, 50)) == list(range(1, 51))
    disk.error = None
    await kit.settled(journal)
    assert journal.statistics().memory_records == 0


async def test_bytes_bound_the_memory_too(journals, kit, disk):
    """Long records are dropped by their bytes before their count is reached."""
    journal = journals(make_store=disk.store, held_records=1000, held_bytes=1 << 16)
    await kit.settled(journal)
    disk.fill()
    for seq in range(1, 21):
        journal.append([kit.record(seq, size=10_000)])
        await asyncio.sleep(0)
    assert journal.statistics().pending <= 7  # the ones just being tried are not dropped
    assert journal.statistics().counters.lost >= 13
    disk.error = None
    await kit.settled(journal)
    found = kit.seqs(await journal.read())
    assert found[-4:] == [17, 18, 19, 20]
    assert len(found) + journal.statistics().counters.lost == 20


async def test_no_retry_without_something_to_write(journals, kit, disk):
    """A refusing disk is tried while records wait, with growing pauses, and not when none do."""
    journal = journals(make_store=disk.store)
    await kit.settled(journal)
    disk.fill()
    before = disk.refused
    await asyncio.sleep(0.05)
    assert disk.refused == before
    journal.append(kit.records(1, 1))
    async with asyncio.timeout(20):
        while disk.refused < before + 3:  # noqa: ASYNC110 - a state, not an event
            await asyncio.sleep(0.005)
    disk.error = None
    await kit.settled(journal)
    assert journal._pipeline._retry is None


async def test_a_stuck_disk_is_not_waited_for(journals, kit, disk):
    """A commit that never returns counts as refused; consumers go on, and when it does return fine.

    Appending never blocks, and what waits is bounded.
    """
    disk.gate = threading.Event()
    disk.gate.set()
    pace = Pace(flush=0.01, retry_first=0.01, retry_most=0.02, stuck=0.05)
    journal = journals(make_store=disk.store, pace=pace, held_records=50)
    cursor = journal.cursor("c")
    await kit.settled(journal)
    disk.gate.clear()
    journal.append(kit.records(1, 10))
    assert kit.seqs(await kit.read_to(cursor, 10)) == list(range(1, 11))
    for seq in range(11, 111):
        journal.append([kit.record(seq)])
        await kit.read_to(cursor, seq)
    assert journal.statistics().refusal == "no answer for 0.05 s"
    assert journal.statistics().pending == 60
    disk.gate.set()
    await kit.settled(journal)
    assert journal.statistics().refusal is None
    assert kit.seqs(await journal.read()) == [*range(1, 11), *range(61, 111)]
    assert cursor.missed == 0


async def test_a_stuck_disk_shows_no_position_that_could_be_given_out_again(journals, kit, disk):
    """Consumers get what is below the reservation that is written down, and the rest afterwards."""
    disk.gate = threading.Event()
    disk.gate.set()
    pace = Pace(flush=0.01, retry_first=0.01, retry_most=0.02, stuck=0.05)
    journal = journals(make_store=disk.store, pace=pace)
    cursor = journal.cursor("c")
    await kit.settled(journal)
    disk.gate.clear()
    journal._pipeline.reserved = 6
    for seq in range(1, 11):
        journal.append([kit.record(seq)])
    assert kit.seqs(await kit.read_to(cursor, 5)) == [1, 2, 3, 4, 5]
    assert cursor.read_now(10) == []
    disk.gate.set()
    assert kit.seqs(await kit.read_to(cursor, 10)) == [6, 7, 8, 9, 10]


async def test_closing_does_not_wait_for_a_stuck_disk(journals, kit, disk):
    """`aclose` returns at its deadline and tells what is unwritten; the thread is left alone."""
    disk.gate = threading.Event()
    disk.gate.set()
    journal = journals(make_store=disk.store)
    await kit.settled(journal)
    disk.gate.clear()
    journal.append(kit.records(1, 10))
    await asyncio.sleep(0)
    journal.append(kit.records(11, 15))
    await asyncio.wait_for(journal.aclose(0.05), 20)
    assert journal.statistics().pending == 15
    disk.gate.set()
    journal._pipeline._owner._thread.join(20)


async def test_closing_on_a_full_disk(journals, kit, disk):
    """`aclose` tries once more and returns; the next run begins beyond what was handed out."""
    journal = journals(make_store=disk.store)
    cursor = journal.cursor("c")
    journal.append(kit.records(1, 5))
    await kit.read_to(cursor, 5)
    disk.fill()
    journal.append(kit.records(6, 9))
    await kit.read_to(cursor, 9)
    await asyncio.wait_for(journal.aclose(10), 20)
    assert journal.statistics().pending == 4
    disk.error = None
    journal = journals()
    assert journal.next_seq >= RESERVE
    assert journal.clean_stop_ns is None
    assert kit.seqs(await journal.read()) == [1, 2, 3, 4, 5]


async def test_starting_on_a_full_disk(journals, kit, disk, tmp_path):
    """With a disk that takes nothing at all the journal works from memory until it does."""
    disk.fill()
    journal = journals(make_store=disk.store)
    assert said(journal) == [NoticeKind.DEGRADED]
    cursor = journal.cursor("c")
    journal.append(kit.records(1, 5))
    assert kit.seqs(await kit.read_to(cursor, 5)) == [1, 2, 3, 4, 5]
    cursor.acknowledge(3)
    disk.error = None
    await kit.settled(journal)
    assert said(journal) == [NoticeKind.DEGRADED, NoticeKind.RECOVERED]
    await journal.aclose(10)
    journal = journals()
    assert kit.seqs(await kit.read_to(journal.cursor("c"), 5)) == [4, 5]


async def test_starting_on_a_full_disk_keeps_an_old_journal(journals, kit, disk):
    """A sound journal that cannot be opened for want of space is not set aside, and goes on."""
    journal = journals()
    cursor = journal.cursor("c")
    journal.append(kit.records(1, 10))
    await kit.read_to(cursor, 10)
    cursor.acknowledge(7)
    journal.set_state("id", "10")
    await journal.aclose(10)

    disk.fill()
    journal = journals(make_store=disk.store)
    assert journal.next_seq >= RESERVE
    assert journal.state("id") == "10"
    cursor = journal.cursor("c")
    assert cursor.position == 7
    begin = journal.next_seq
    journal.append([kit.record(begin)])
    disk.error = None
    assert kit.seqs(await kit.read_to(cursor, begin)) == [8, 9, 10, begin]
    await kit.settled(journal)
    assert cursor.missed == 0
    assert NoticeKind.SET_ASIDE not in said(journal)


async def test_a_database_that_may_not_grow(journals, kit, tmp_path):
    """SQLite's own refusal (max_page_count) is survived, and so is its end."""
    stores = []

    class Small(Store):
        def __init__(self, *args):
            super().__init__(*args)
            stores.append(self)
            self.limit(30)

        def limit(self, pages):
            self._db.execute(f"PRAGMA max_page_count={pages}").fetchone()

    journal = journals(make_store=Small)
    cursor = journal.cursor("c")
    for first in range(1, 2001, 50):
        journal.append(kit.records(first, first + 49, size=200))
        await kit.read_to(cursor, first + 49)
    assert journal.statistics().refusal == "SQLITE_FULL: database or disk is full"
    assert journal.statistics().counters.lost == 0
    # The owner's thread waits for the loop, so its connection may be used from here.
    async with asyncio.timeout(20):
        while journal._pipeline._in_flight is not None:  # noqa: ASYNC110 - a state, not an event
            await asyncio.sleep(0)
    stores[0].limit(1 << 20)
    await kit.settled(journal)
    await journal.aclose(10)
    assert kit.seqs(await journals().read(limit=5000)) == list(range(1, 2001))


async def test_a_notice_may_append(journals, kit, disk):
    """News that becomes a record, while each record causes a loss, does not go on for ever."""
    journal = journals(make_store=disk.store, held_records=1)
    journal.cursor("c")
    journal.on_notice = lambda notice: journal.append([kit.record(journal.next_seq)])
    await kit.settled(journal)
    disk.fill()
    journal.append(kit.records(1, 1))
    for _ in range(200):
        await asyncio.sleep(0.001)
    assert journal.next_seq < 10
    disk.error = None
    await kit.settled(journal)
    figures = journal.statistics().counters
    assert figures.appended == figures.committed + figures.lost

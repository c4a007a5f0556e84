"""Append, read, acknowledge, and find it all again."""

import asyncio
import stat

import pytest

from kevmond.errors import JournalError
from kevmond.events.event import Context, Kind, Record
from kevmond.journal import CursorClosed, Journal, JournalSettings
from kevmond.journal.pipeline import Pace
from kevmond.journal.writer import RESERVE


async def test_records_reach_a_consumer_in_order(journals, kit):
    """What is appended is read, whole and in order, in as many pieces as are asked for."""
    journal = journals()
    cursor = journal.cursor("c")
    assert journal.next_seq == 1
    journal.append(kit.records(1, 300))
    journal.append(kit.records(301, 700))
    assert journal.next_seq == 701
    found = await kit.read_to(cursor, 700, limit=64)
    assert kit.seqs(found) == list(range(1, 701))
    assert [r.body for r in found] == [kit.body(seq) for seq in range(1, 701)]


async def test_nothing_is_seen_before_its_commit(journals, kit, disk):
    """A consumer gets no record that a kill could still take away."""
    import threading

    disk.gate = threading.Event()
    disk.gate.set()
    journal = journals(make_store=disk.store)
    cursor = journal.cursor("c")
    await kit.settled(journal)
    disk.gate.clear()
    journal.append(kit.records(1, 5))
    reading = asyncio.ensure_future(cursor.read(10))
    await asyncio.sleep(0.05)
    assert not reading.done()
    assert cursor.read_now(10) == []
    disk.gate.set()
    assert kit.seqs(await asyncio.wait_for(reading, 20)) == [1, 2, 3, 4, 5]


async def test_what_comes_during_a_commit_is_committed_together(journals, kit, disk):
    """A hundred appends made while the disk is busy share one transaction."""
    import threading

    disk.gate = threading.Event()
    disk.gate.set()
    journal = journals(make_store=disk.store)
    cursor = journal.cursor("c")
    await kit.settled(journal)
    before = disk.commits
    disk.gate.clear()
    for seq in range(1, 101):
        journal.append([kit.record(seq)])
        await asyncio.sleep(0)
    disk.gate.set()
    await kit.read_to(cursor, 100)
    assert disk.commits == before + 2


async def test_records_outlive_the_process(journals, kit):
    """After a restart a durable cursor goes on behind what it acknowledged, from the disk."""
    journal = journals()
    cursor = journal.cursor("c")
    journal.append(kit.records(1, 1000))
    await kit.read_to(cursor, 1000)
    cursor.acknowledge(600)
    await journal.aclose(10)

    journal = journals()
    assert journal.next_seq == 1001
    cursor = journal.cursor("c", start="newest")
    assert cursor.position == 600
    journal.append(kit.records(1001, 1010))
    found = await kit.read_to(cursor, 1010)
    assert kit.seqs(found) == list(range(601, 1011))
    assert cursor.missed == 0
    first = found[0]
    assert (first.body, first.kind, first.wall_ns) == (kit.body(601), Kind.KERNEL, 10**18 + 601000)
    assert first.event.context == kit.CONTEXT


@pytest.mark.parametrize(("start", "first"), [("oldest", 1), ("newest", 11), (4, 5), (99, 11)])
async def test_where_a_new_name_begins(journals, kit, start, first):
    """A new cursor begins with the oldest, the newest, or behind a position."""
    journal = journals()
    journal.append(kit.records(1, 10))
    cursor = journal.cursor("c", start=start)
    journal.append(kit.records(11, 12))
    assert kit.seqs(await kit.read_to(cursor, 12)) == list(range(first, 13))
    assert cursor.missed == 0


async def test_start_is_for_new_names_only(journals, kit):
    """A durable name that is known goes on where it was, whatever start says; others begin anew."""
    journal = journals()
    journal.append(kit.records(1, 10))
    for durable, second in ((True, 7), (False, 0)):
        cursor = journal.cursor("c", durable=durable, start="newest")
        cursor.close()
        cursor = journal.cursor(f"d{durable}", durable=durable, start=0)
        cursor.acknowledge(7)
        cursor.close()
        assert journal.cursor(f"d{durable}", durable=durable, start=0).position == second


async def test_a_new_durable_name_is_kept_without_any_acknowledgement(journals, kit):
    """A consumer that dies before it takes anything still gets what came after its start."""
    journal = journals()
    journal.append(kit.records(1, 5))
    journal.cursor("c", start="newest")
    await journal.aclose(10)
    journal = journals()
    journal.append(kit.records(6, 8))
    assert kit.seqs(await kit.read_to(journal.cursor("c"), 8)) == [6, 7, 8]


async def test_one_name_one_consumer(journals):
    """A durable cursor cannot be open twice; closed, it can be opened again."""
    journal = journals()
    cursor = journal.cursor("c")
    with pytest.raises(JournalError, match="'c' is open already"):
        journal.cursor("c")
    cursor.close()
    journal.cursor("c")


async def test_acknowledging_ahead_skips(journals, kit):
    """A consumer that holds records already is not given them, and has missed none."""
    journal = journals()
    cursor = journal.cursor("c", start="oldest")
    journal.append(kit.records(1, 10))
    cursor.acknowledge(6)
    cursor.acknowledge(3)
    assert cursor.position == 6
    assert kit.seqs(await kit.read_to(cursor, 10)) == [7, 8, 9, 10]
    assert cursor.missed == 0


async def test_positions_are_never_given_out_again(journals, kit):
    """Advancing skips positions for good, also over a restart with nothing appended."""
    journal = journals()
    cursor = journal.cursor("c")
    journal.append(kit.records(1, 3))
    journal.advance(2)
    assert journal.next_seq == 4
    journal.advance(9)
    assert journal.next_seq == 10
    await journal.aclose(10)
    journal = journals()
    assert journal.next_seq == 10
    journal.append(kit.records(10, 11))
    cursor = journal.cursor("c")
    assert kit.seqs(await kit.read_to(cursor, 11)) == [1, 2, 3, 10, 11]
    assert cursor.missed == 0


async def test_contexts_are_kept_with_their_records(journals, kit):
    """Old records are revived in the context they were appended in, not in the newest."""
    journal = journals()
    cursor = journal.cursor("c")
    journal.append(kit.records(1, 2))
    other = Context(host="mac", boot_id="boot-2", vendor_names={1: "apple", 1001: "org.x"})
    journal.set_context(other)
    journal.append(kit.records(3, 4))
    await journal.aclose(10)
    journal = journals()
    cursor = journal.cursor("c")
    found = await kit.read_to(cursor, 4)
    assert [r.event.context for r in found] == [kit.CONTEXT, kit.CONTEXT, other, other]


async def test_an_equal_context_is_stored_once(journals, kit, tmp_path):
    """Setting the same context before each append, over restarts too, costs nothing on the disk."""
    import sqlite3

    for seq in (1, 2, 3):
        journal = journals()
        journal.set_context(Context(**{f: getattr(kit.CONTEXT, f) for f in kit.CONTEXT.__slots__}))
        journal.append([kit.record(seq)])
        await journal.aclose(10)
    with sqlite3.connect(tmp_path / "journal.sqlite") as db:
        assert db.execute("SELECT count(*) FROM contexts").fetchone() == (1,)
    db.close()


async def test_state_is_kept(journals, kit):
    """Small values survive a restart; the last one set counts."""
    journal = journals()
    assert journal.state("id") is None
    journal.set_state("id", "1")
    journal.append(kit.records(1, 1))
    await kit.settled(journal)
    journal.set_state("id", "2")
    assert journal.state("id") == "2"
    await journal.aclose(10)
    assert journals().state("id") == "2"


async def test_clean_stop_is_told_from_a_death(journals, kit, clock):
    """The next run knows when this one stopped, if it did, and that it was the first."""
    first = journals()
    assert first.first_run
    assert first.clean_stop_ns is None
    clock.wall = 10**18 + 5
    await first.aclose(10)
    second = journals()
    assert not second.first_run
    assert second.clean_stop_ns == 10**18 + 5


async def test_acknowledgements_are_written_without_records(journals, kit, tmp_path):
    """With nothing appended, a position reaches the disk by itself, soon."""
    import sqlite3

    journal = journals()
    cursor = journal.cursor("c", start="oldest")
    journal.append(kit.records(1, 5))
    await kit.read_to(cursor, 5)
    await kit.settled(journal)
    cursor.acknowledge(4)
    await kit.settled(journal)
    db = sqlite3.connect(tmp_path / "journal.sqlite")
    assert db.execute("SELECT name, seq, missed FROM cursors").fetchall() == [("c", 4, 0)]
    db.close()


async def test_an_idle_journal_has_no_timer(journals, kit):
    """Once all is written no timer runs, whether a consumer waits or not."""
    journal = journals(pace=Pace(flush=0.01))
    cursor = journal.cursor("c")
    journal.append(kit.records(1, 5))
    await kit.read_to(cursor, 5)
    cursor.acknowledge(5)
    await kit.settled(journal)
    pipeline = journal._pipeline
    assert (pipeline._flush, pipeline._retry, pipeline._watch) == (None, None, None)
    reading = asyncio.ensure_future(cursor.read(1))
    await asyncio.sleep(0)
    assert pipeline.idle
    reading.cancel()


async def test_a_consumer_that_keeps_up_never_touches_the_disk(journals, kit):
    """Records in memory are handed on as the very objects that were appended."""
    journal = journals()
    cursor = journal.cursor("c")
    for first in range(1, 2000, 100):
        made = kit.records(first, first + 99)
        journal.append(made)
        found = await kit.read_to(cursor, first + 99)
        assert all(r is m for r, m in zip(found, made, strict=True))
        cursor.acknowledge(first + 99)
    assert journal._reader._thread is None
    assert journal.statistics().memory_records == 0


async def test_one_behind_does_not_hold_memory(journals, kit):
    """A consumer that stands still falls back to the disk; memory stays within its bounds."""
    journal = journals(window_records=50)
    slow, quick = journal.cursor("slow"), journal.cursor("quick")
    for first in range(1, 1000, 10):
        journal.append(kit.records(first, first + 9))
        await kit.read_to(quick, first + 9)
        assert journal.statistics().memory_records <= 60
    found = await kit.read_to(slow, 1000, limit=33)
    assert kit.seqs(found) == list(range(1, 1001))
    assert (slow.missed, quick.missed) == (0, 0)


async def test_memory_is_bounded_by_bytes_too(journals, kit):
    """Few long records are as bounded as many short ones."""
    journal = journals(window_bytes=100_000)
    cursor = journal.cursor("slow")
    for seq in range(1, 60):
        journal.append([kit.record(seq, size=20_000)])
        await kit.settled(journal)
    assert journal.statistics().memory_bytes <= 100_000
    assert kit.seqs(await kit.read_to(cursor, 59)) == list(range(1, 60))


async def test_read_now_does_not_wait(journals, kit):
    """What is in memory and on the disk is returned at once, and [] when there is nothing."""
    journal = journals(window_records=10)
    cursor = journal.cursor("c")
    assert cursor.read_now(10) == []
    journal.append(kit.records(1, 40))
    await kit.settled(journal)
    found = []
    while more := cursor.read_now(7):
        assert len(more) <= 7
        found += more
    assert kit.seqs(found) == list(range(1, 41))


async def test_a_cancelled_read_loses_nothing(journals, kit):
    """A read that was given up, waiting or amid a disk read, takes no record with it."""
    journal = journals(window_records=0)
    cursor = journal.cursor("c")
    waiting = asyncio.ensure_future(cursor.read(10))
    await asyncio.sleep(0)
    waiting.cancel()
    journal.append(kit.records(1, 20))
    await kit.settled(journal)
    fetching = asyncio.ensure_future(cursor.read(10))
    await asyncio.sleep(0)
    fetching.cancel()
    assert kit.seqs(await kit.read_to(cursor, 20)) == list(range(1, 21))


async def test_a_greedy_consumer_leaves_room(journals, kit):
    """Reading a long backlog without a pause lets others have their turn after each read."""
    journal = journals()
    greedy, other = journal.cursor("greedy"), journal.cursor("other")
    journal.append(kit.records(1, 1000))
    await kit.settled(journal)
    turns = []

    async def consume(cursor):
        while cursor.next_seq <= 1000:
            turns.append((cursor.name, (await cursor.read(100))[0].seq))

    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        group.create_task(consume(greedy))
        group.create_task(consume(other))
    assert [name for name, _ in turns] == ["greedy", "other"] * 10


async def test_closing_ends_reads(journals):
    """A waiting read ends with CursorClosed when its cursor, or the journal, is closed."""
    journal = journals()
    one, two = journal.cursor("one"), journal.cursor("two")
    reads = [asyncio.ensure_future(cursor.read(1)) for cursor in (one, two)]
    await asyncio.sleep(0)
    one.close()
    with pytest.raises(CursorClosed):
        await reads[0]
    await journal.aclose(10)
    with pytest.raises(CursorClosed):
        await reads[1]
    with pytest.raises(CursorClosed):
        await two.read(1)
    with pytest.raises(CursorClosed):
        two.read_now(1)


async def test_append_never_raises(journals, kit):
    """Records out of order or after the end are counted as lost, and said."""
    journal = journals()
    journal.append([])
    journal.append(kit.records(1, 3))
    journal.append(kit.records(2, 3))
    journal.append([kit.record(4), kit.record(6)])
    assert journal.next_seq == 4
    assert journal.statistics().counters.lost == 4
    assert "do not follow 3" in journal.notices[0].text
    await journal.aclose(10)
    journal.append(kit.records(4, 5))
    assert journal.statistics().counters.lost == 6


async def test_a_record_that_cannot_be_stored_stops_nothing(journals, kit):
    """One impossible record is lost and said; those around it are kept."""
    journal = journals()
    cursor = journal.cursor("c")
    bad = Record(2, 2**70, Kind.KERNEL, b"x")
    journal.append([kit.record(1)])
    journal.append([bad])
    journal.append([kit.record(3)])
    assert kit.seqs(await kit.read_to(cursor, 3)) == [1, 3]
    assert cursor.missed == 1
    assert journal.statistics().counters.lost == 1


async def test_all_of_one_callback_is_one_transaction(journals, kit, disk):
    """State set after an append in the same callback is committed with it."""
    journal = journals(make_store=disk.store)
    await kit.settled(journal)
    before = disk.commits
    journal.append(kit.records(1, 2))
    journal.set_state("last", "2")
    journal.append(kit.records(3, 4))
    await kit.settled(journal)
    assert disk.commits == before + 1


async def test_an_unclean_end_and_another_boot_move_positions_on(journals, kit, tmp_path):
    """After a power cut positions may be lost with the records; they are not given out again."""
    import shutil

    journal = journals()
    journal.append(kit.records(1, 5))
    await kit.settled(journal)
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in tmp_path.glob("journal.sqlite*"):
        shutil.copy(file, copy)
    same = journals(path=copy / "journal.sqlite")
    assert same.next_seq == 6
    await same.aclose(10)

    for file in tmp_path.glob("journal.sqlite*"):
        shutil.copy(file, copy)
    other = Journal.open(JournalSettings(path=copy / "journal.sqlite"), revive=kit.revive)
    other.set_context(Context(host="mac", boot_id="boot-2"))
    assert other.next_seq >= RESERVE
    await other.aclose(10)


async def test_forgotten_names_hold_nothing(journals, kit):
    """`retain_only` drops the places of consumers that are gone, also from the disk."""
    journal = journals()
    for name in "abc":
        journal.cursor(name, start="oldest").close()
    journal.append(kit.records(1, 5))
    await kit.settled(journal)
    journal.retain_only(["b", "z"])
    assert [c.name for c in journal.statistics().cursors] == ["b"]
    await journal.aclose(10)
    journal = journals()
    assert [c.name for c in journal.statistics().cursors] == ["b"]
    assert journal.cursor("a", start="newest").position == 5


async def test_a_forgotten_name_may_begin_anew(journals, kit):
    """Forgotten and opened again at once, a name starts where it says, on the disk as well."""
    journal = journals()
    cursor = journal.cursor("c", start="oldest")
    journal.append(kit.records(1, 5))
    await kit.read_to(cursor, 5)
    cursor.acknowledge(5)
    await kit.settled(journal)
    journal.forget("c")
    assert cursor.closed
    assert journal.cursor("c", start="oldest").position == 0
    await journal.aclose(10)
    assert journals().cursor("c").position == 0


async def test_files_are_private(journals, tmp_path):
    """Nobody else can read the journal; a folder it makes is private too."""
    journals(path=tmp_path / "new" / "deep" / "j.sqlite")
    assert stat.S_IMODE((tmp_path / "new/deep").stat().st_mode) == 0o700
    for name in ("j.sqlite", "j.sqlite-wal", "j.sqlite-shm"):
        assert stat.S_IMODE((tmp_path / "new/deep" / name).stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("durability", "synchronous", "full"), [("process", 1, 0), ("power", 2, 1)]
)
def test_durability_is_what_sqlite_is_told(tmp_path, durability, synchronous, full):
    """`process` is WAL with NORMAL; `power` flushes every commit, on a Mac to the platter."""
    from kevmond.journal.settings import Durability
    from kevmond.journal.store import Store

    store = Store(tmp_path / "j", Durability(durability))
    asked = ("synchronous", "fullfsync", "checkpoint_fullfsync")
    assert [store._pragma(name) for name in asked] == [synchronous, full, full]
    assert store._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    store.close()


async def test_history(journals, kit):
    """Past records are read by position or by time, in pages, from disk and memory."""
    journal = journals(window_records=10)
    journal.append(kit.records(1, 100))
    await kit.settled(journal)
    for seq in range(101, 121):
        journal.append([kit.record(seq)])
        await kit.settled(journal)
    assert kit.seqs(await journal.read(limit=5)) == [1, 2, 3, 4, 5]
    assert kit.seqs(await journal.read(first_seq=95, limit=500)) == list(range(95, 121))
    assert await journal.read(first_seq=121) == []
    since = 10**18 + 98 * 1000
    assert kit.seqs(await journal.read(since_ns=since)) == list(range(98, 121))
    assert kit.seqs(await journal.read(since_ns=since, first_seq=110, limit=2)) == [110, 111]
    assert await journal.read(since_ns=2 * 10**18) == []


async def test_statistics(journals, kit):
    """The figures say where everything is."""
    journal = journals()
    cursor = journal.cursor("c", start="oldest")
    journal.cursor("tail", durable=False)
    journal.append(kit.records(1, 10))
    assert journal.statistics().pending == 10
    await kit.read_to(cursor, 10)
    cursor.acknowledge(4)
    figures = journal.statistics()
    assert (figures.next_seq, figures.oldest_seq, figures.pending) == (11, 1, 0)
    assert figures.disk_bytes > 4096
    assert (figures.counters.appended, figures.counters.committed) == (10, 10)
    lags = {c.name: (c.position, c.lag, c.durable, c.open) for c in figures.cursors}
    assert lags == {"c": (4, 6, True, True), "tail": (0, 10, False, True)}


async def test_where_a_consumer_began_is_known_over_restarts(journals, kit):
    """The place that a durable cursor began at is kept, and forgotten with it."""
    journal = journals()
    journal.append(kit.records(1, 5))
    assert journal.began("sink.a") is None
    journal.cursor("sink.a").close()
    journal.cursor("sink.b", start="oldest")
    journal.append(kit.records(6, 9))
    await kit.settled(journal)
    await journal.aclose(10)
    journal = journals()
    journal.cursor("sink.a", start="oldest")
    assert (journal.began("sink.a"), journal.began("sink.b")) == (5, 0)
    journal.forget("sink.a")
    assert journal.began("sink.a") is None

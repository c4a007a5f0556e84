"""What is given up, when, and who is told."""

import asyncio

import pytest

from kevmond.journal import NoticeKind
from kevmond.journal.retention import INTERVAL_NS

MIB = 1 << 20


async def fill(journal, kit, first, last, *, size=1000, step=50):
    """Append and commit records in steps."""
    for begin in range(first, last + 1, step):
        journal.append(kit.records(begin, min(begin + step - 1, last), size=size))
        await kit.settled(journal)


async def test_age_takes_what_all_have_acknowledged(journals, kit, clock):
    """Old records go once every durable consumer has acknowledged them, and not before."""
    journal = journals(max_age=3600)
    one, two = journal.cursor("one"), journal.cursor("two", start="oldest")
    two.close()
    await fill(journal, kit, 1, 200)
    await kit.read_to(one, 200)
    one.acknowledge(200)
    clock.pass_time(2 * kit.HOUR)
    await fill(journal, kit, 201, 250)
    assert journal.statistics().oldest_seq == 1

    two = journal.cursor("two")
    two.acknowledge(120)
    await kit.settled(journal)
    clock.pass_time(INTERVAL_NS)
    await fill(journal, kit, 251, 300)
    assert journal.statistics().oldest_seq == 101  # rows of 50 records: the third is still wanted
    assert journal.statistics().counters.trimmed == 100
    assert journal.statistics().counters.forced == 0
    assert kit.seqs(await kit.read_to(two, 300)) == list(range(121, 301))
    assert two.missed == 0
    assert journal.notices == []


async def test_without_durable_consumers_age_alone_counts(journals, kit, clock):
    """A consumer that is not durable holds nothing, and learns what it missed."""
    journal = journals(max_age=3600, window_records=0)
    tail = journal.cursor("tail", durable=False, start="oldest")
    await fill(journal, kit, 1, 200)
    clock.pass_time(2 * kit.HOUR)
    fresh = kit.records(201, 210, wall_ns=clock.wall)
    journal.append(fresh)
    await kit.settled(journal)
    assert journal.statistics().oldest_seq == 201
    assert kit.seqs(await kit.read_to(tail, 210)) == list(range(201, 211))
    assert tail.missed == 200


async def test_size_bound_is_kept_and_forces(journals, kit, tmp_path):
    """The database never outgrows its bound; who had not acknowledged counts what it missed."""
    journal = journals(max_bytes=MIB, window_records=100)
    dead, live = journal.cursor("dead"), journal.cursor("live")
    for begin in range(1, 6001, 50):
        journal.append(kit.records(begin, begin + 49, size=1000))
        await kit.read_to(live, begin + 49)
        live.acknowledge(begin + 49)
        await kit.settled(journal)
        assert journal.statistics().disk_bytes <= MIB
    assert (tmp_path / "journal.sqlite").stat().st_size <= MIB * 1.1
    oldest = journal.statistics().oldest_seq
    assert oldest > 4500
    found = kit.seqs(await kit.read_to(dead, 6000))
    assert found == list(range(oldest, 6001))
    assert (dead.missed, live.missed) == (oldest - 1, 0)
    assert journal.statistics().counters.forced == oldest - 1
    said = [notice for notice in journal.notices if notice.kind is NoticeKind.TRIMMED]
    assert {notice.cursor for notice in said} == {"dead"}
    assert 0 < len(said) <= 14


async def test_forced_misses_outlive_the_process(journals, kit):
    """A consumer that is away learns at its return exactly what it missed, once."""
    journal = journals(max_bytes=MIB)
    journal.cursor("away", start="oldest").close()
    await fill(journal, kit, 1, 3000)
    oldest = journal.statistics().oldest_seq
    (figures,) = journal.statistics().cursors
    assert figures.missed == oldest - 1
    await journal.aclose(10)
    for acknowledged in (0, oldest, 0):
        journal = journals(max_bytes=MIB)
        cursor = journal.cursor("away")
        expected = oldest - 1 if cursor.position == 0 else 0
        assert cursor.missed == expected
        assert kit.seqs(await kit.read_to(cursor, 3000))[0] == max(oldest, cursor.position + 1)
        assert cursor.missed == expected
        cursor.acknowledge(acknowledged)
        await journal.aclose(10)


async def test_what_was_read_is_not_missed(journals, kit):
    """Records that a consumer holds in its hands, unacknowledged, are no miss when they go."""
    journal = journals(max_bytes=MIB)
    cursor = journal.cursor("c")
    await fill(journal, kit, 1, 500)
    await kit.read_to(cursor, 500)
    await fill(journal, kit, 501, 3000)
    oldest = journal.statistics().oldest_seq
    assert oldest > 600
    await kit.read_to(cursor, 3000)
    assert cursor.missed <= oldest - 501  # some were still in memory when they went from the disk
    before = cursor.missed
    cursor.acknowledge(3000)
    await journal.aclose(10)
    assert before >= 0
    assert journals(max_bytes=MIB).cursor("c").missed == 0


async def test_memory_may_serve_what_the_disk_gave_up(journals, kit):
    """What is still in memory is delivered though the size bound took it from the disk."""
    journal = journals(max_bytes=MIB)
    cursor = journal.cursor("c")
    await fill(journal, kit, 1, 3000)
    assert journal.statistics().oldest_seq > 1
    assert len(await kit.read_to(cursor, 3000)) + cursor.missed == 3000
    assert cursor.missed == 0


async def test_a_lower_bound_shrinks_the_file(journals, kit, tmp_path):
    """After a restart with a lower bound the file is cut, not only emptied."""
    journal = journals(max_bytes=8 * MIB)
    await fill(journal, kit, 1, 5000, step=500)
    await journal.aclose(10)
    path = tmp_path / "journal.sqlite"
    assert path.stat().st_size > 4 * MIB
    journal = journals(max_bytes=MIB)
    await fill(journal, kit, 5001, 5010)
    await journal.aclose(10)
    assert path.stat().st_size < 2 * MIB


async def test_positions_survive_an_empty_journal(journals, kit, clock):
    """When age has taken every record, positions still go on."""
    journal = journals(max_age=60)
    await fill(journal, kit, 1, 100)
    clock.pass_time(kit.HOUR)
    await journal.aclose(10)
    journal = journals(max_age=60)
    journal.set_state("a", "b")
    await kit.settled(journal)
    assert await journal.read() == []
    await journal.aclose(10)
    journal = journals(max_age=60)
    assert journal.next_seq == 101
    assert journal.statistics().oldest_seq == 101
    cursor = journal.cursor("c", start="oldest")
    journal.append(kit.records(101, 102))
    assert kit.seqs(await kit.read_to(cursor, 102)) == [101, 102]


async def test_unused_contexts_go_with_their_records(journals, kit, tmp_path):
    """A context is removed when its last record is, and the newest never."""
    import sqlite3

    from kevmond.events.event import Context

    journal = journals(max_bytes=MIB)
    for turn in range(20):
        journal.set_context(Context(host="h", boot_id=f"boot-{turn}"))
        await fill(journal, kit, turn * 200 + 1, turn * 200 + 200)
    await journal.aclose(10)
    db = sqlite3.connect(tmp_path / "journal.sqlite")
    kept = [text for (text,) in db.execute("SELECT json FROM contexts ORDER BY id")]
    unknown = db.execute(
        "SELECT count(*) FROM batches WHERE context NOT IN (SELECT id FROM contexts)"
    ).fetchone()
    db.close()
    assert len(kept) < 10
    assert "boot-19" in kept[-1]
    assert unknown == (0,)


@pytest.mark.parametrize("jump", [-10, 10])
async def test_a_clock_that_jumps_takes_nothing_unacknowledged(journals, kit, clock, jump):
    """A wall clock set forth or back by years costs no consumer a record."""
    journal = journals(max_age=3600)
    cursor = journal.cursor("c")
    await fill(journal, kit, 1, 100)
    clock.wall += jump * 365 * 24 * kit.HOUR
    clock.monotonic += INTERVAL_NS
    await fill(journal, kit, 101, 200)
    assert len(await kit.read_to(cursor, 200)) == 200
    assert cursor.missed == 0
    await asyncio.sleep(0)


async def test_row_stamped_in_the_future_keeps_nothing_behind_it(journals, kit, clock):
    """A clock that was wrong once does not stop retention by age until that date."""
    journal = journals(max_age=3600)
    journal.append(kit.records(1, 50, wall_ns=clock.wall + 365 * 24 * kit.HOUR))
    await kit.settled(journal)
    await fill(journal, kit, 51, 100)
    clock.pass_time(2 * kit.HOUR)
    journal.append(kit.records(101, 110, wall_ns=clock.wall))
    await kit.settled(journal)
    assert journal.statistics().oldest_seq == 101

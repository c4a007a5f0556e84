"""Killed at every bad moment, the journal loses nothing, repeats no position, and starts again."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import kevmond
from kevmond.events.event import Kind, Record
from kevmond.journal import Journal, JournalSettings
from kevmond.journal.verify import verify
from kevmond.journal.writer import RESERVE

PROGRAM = Path(__file__).parent / "journal_program.py"

POINTS = {
    "journal.before-schema": 1,
    "journal.after-schema": 1,
    "journal.before-begin": 3,
    "journal.after-insert": 4,
    "journal.after-trim": 2,
    "journal.before-bury": 2,
    "journal.after-bury": 2,
    "journal.after-unbury": 1,
    "journal.before-commit": 4,
    "journal.after-commit": 3,
    "journal.before-hand-back": 3,
    "journal.before-publish": 3,
    "journal.before-clean-mark": 1,
    "journal.before-checkpoint": 1,
    "journal.after-checkpoint": 1,
}
"""Each point of normal running, and the pass to die at."""

SET_ASIDE = {"journal.before-set-aside": 1, "journal.during-set-aside": 1}
"""Points that only a damaged journal passes."""


def run(folder, name, count=200, **environment):
    """Run the program; return its exit status and what it said at the start."""
    done = subprocess.run(
        [sys.executable, PROGRAM, folder, name, str(count)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode in {0, -signal.SIGKILL}, done.stderr
    return done.returncode, json.loads(done.stdout) if done.stdout else None


def handed_on(folder):
    """Return what the consumer `file` was given, over all runs: position to run."""
    given = {}
    path = folder / "out"
    for line in path.read_text().splitlines() if path.exists() else []:
        seq, name = line.split()
        assert given.setdefault(int(seq), name) == name, f"position {seq} given out twice"
    return given


async def left(folder):
    """Return what `slow` gets and has missed, and the next position."""
    journal = Journal.open(
        JournalSettings(path=folder / "journal.sqlite", max_bytes=1 << 20),
        revive=lambda context, seq, wall_ns, kind, body: Record(seq, wall_ns, Kind(kind), body),
    )
    cursor = journal.cursor("slow")
    found = {}
    while batch := cursor.read_now(500):
        found.update((record.seq, record.body.split()[1].decode()) for record in batch)
    await check_letters(journal, found)
    await journal.aclose(20)
    return found, cursor.missed, journal.next_seq


async def check_letters(journal, found):
    """Check that what `poor` acknowledged and did not take is buried, once, in order."""
    poor = journal.cursor("poor")
    letters = await journal.letters("poor", limit=10_000)
    buried = [letter.seq for letter in letters]
    assert buried == sorted(set(buried))
    assert not buried or buried[-1] <= poor.position
    assert [letter.record.body.split()[0] for letter in letters] == [b"%d" % seq for seq in buried]
    # From the oldest on, letters were taken out again; of what is left none is missing.
    first = buried[0] if buried else poor.position + 1
    wanted = {seq for seq in found if seq % 2 == 0 and first <= seq <= poor.position}
    assert set(buried) >= wanted
    assert {letter.seq: letter.event_id for letter in letters}.items() >= {
        (seq, found[seq]) for seq in wanted
    }


def test_every_fault_point_is_tested():
    """A point somebody adds must be added here."""
    source = Path(kevmond.__file__).parent / "journal"
    named = {
        name
        for path in source.glob("*.py")
        for name in re.findall(r'fault\("(.*?)"\)', path.read_text())
    }
    assert named == set(POINTS) | set(SET_ASIDE)


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("point", POINTS)
async def test_killed_at(point, times, tmp_path):
    """Nothing committed is lost, no position is given twice, the start works; also twice in a row.

    The second of two deaths at the making of the schema finds it made.
    """
    if "schema" not in point:
        run(tmp_path, "before", 50)
    for turn in range(times):
        code, begin = run(tmp_path, f"killed{turn}", KEVMOND_FAULT_POINT=f"{point}:{POINTS[point]}")
        there_already = turn and point == "journal.after-schema"
        assert code == (0 if there_already else -signal.SIGKILL), f"{point} was not passed"
        assert begin is None or begin["notices"] == []
    code, begin = run(tmp_path, "after")
    assert code == 0
    assert begin["notices"] == []
    assert begin["next_seq"] < 1000

    given = handed_on(tmp_path)
    found, missed, next_seq = await left(tmp_path)
    # Positions have no holes, so what is not there was counted as taken by the size bound.
    assert len(found) + missed == next_seq - 1
    assert list(given) == sorted(given)
    assert given.keys() == set(range(1, next_seq))
    assert given.items() >= found.items()
    assert list(given.values())[-200:] == ["after"] * 200
    assert verify(tmp_path / "journal.sqlite").sound


async def test_state_is_as_old_as_its_records(tmp_path):
    """After a kill, state and records are of one transaction: neither runs ahead."""
    for point in ("journal.before-commit:9", "journal.after-commit:9"):
        run(tmp_path, point[-8:], KEVMOND_FAULT_POINT=point)
        _, begin = run(tmp_path, "look", 1)
        assert int(begin["state"]) == begin["next_seq"] - 1


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("point", SET_ASIDE)
async def test_killed_while_a_journal_is_set_aside(point, times, tmp_path):
    """The damaged journal is kept, the start works, and positions go on beyond all old ones."""
    run(tmp_path, "before", 50)
    path = tmp_path / "journal.sqlite"
    path.write_bytes(b"rubbish" * 1000)
    for turn in range(times):
        code, _ = run(tmp_path, "killed", KEVMOND_FAULT_POINT=point)
        # Once the database is renamed there is nothing left to set aside.
        assert code == -signal.SIGKILL or (turn and "during" in point)
    code, begin = run(tmp_path, "after", 100)
    assert code == 0
    assert begin["next_seq"] >= RESERVE
    (kept,) = tmp_path.glob("journal.sqlite.set-aside-*")
    assert kept.read_bytes() == b"rubbish" * 1000
    given = handed_on(tmp_path)
    assert list(given)[:50] == list(range(1, 51))
    assert sum(name == "after" for name in given.values()) == 100


async def test_killed_while_the_disk_is_full(tmp_path):
    """Records handed out from memory and never written leave a hole: no other takes their place."""
    run(tmp_path, "before", 50)
    code, begin = run(tmp_path, "full", 150, KEVMOND_TEST_FULL="500000")
    assert code == -signal.SIGKILL
    assert begin["next_seq"] == 51
    code, begin = run(tmp_path, "after", 10)
    assert code == 0
    assert begin["next_seq"] >= RESERVE
    given = handed_on(tmp_path)
    assert list(given.values()) == ["before"] * 50 + ["full"] * 150 + ["after"] * 10
    found, _, _ = await left(tmp_path)
    assert given.items() >= found.items()
    assert begin["notices"] == []

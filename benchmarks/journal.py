"""What the journal costs: CPU of append and commit per event, and how long a commit takes.

Bursts of 256 records with 48-byte bodies, as the capture appends them, with one consumer that reads
and acknowledges all of them.  CPU is that of the whole process: the loop and the owner's thread.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from pathlib import Path

import uvloop

from kevmond.events.event import Context, Event, Kind, Record, Severity
from kevmond.journal import Durability, Journal, JournalSettings

BURST = 256
BODY = bytes(range(48))


def records(count: int) -> list[Record]:
    """Make records of one shared event: what is measured is the journal, not the decoder."""
    event = Event(
        id="x", seq=0, time="", host="h", boot_id="b", type="network.dl.link-on",
        severity=Severity.INFO,
    )  # fmt: skip
    now = time.time_ns()
    return [Record(seq, now, Kind.KERNEL, BODY, event=event) for seq in range(1, count + 1)]


async def sustained(path: Path, count: int, *, consume: bool) -> tuple[float, int]:
    """Append `count` records; return CPU microseconds per event and the number of commits.

    `consume`: a durable consumer takes and acknowledges each burst before the next comes, so each
    is committed by itself, which is the dearest case; else commits gather what comes meanwhile.
    """
    journal = Journal.open(JournalSettings(path=path))
    journal.set_context(Context(host="h", boot_id="b"))
    cursor = journal.cursor("bench", durable=consume)
    made = records(count)
    begin = time.process_time_ns()
    for start in range(0, count, BURST):
        journal.append(made[start : start + BURST])
        await asyncio.sleep(0)
        while consume and cursor.position < start + BURST:
            cursor.acknowledge((await cursor.read(BURST))[-1].seq)
    while journal.statistics().pending:
        await asyncio.sleep(0.001)
    spent = time.process_time_ns() - begin
    commits = journal.statistics().counters.commits
    await journal.aclose(10)
    return spent / count / 1000, commits


async def latency(path: Path, durability: Durability, rounds: int) -> list[float]:
    """Milliseconds from the append of one record until a consumer has it."""
    journal = Journal.open(JournalSettings(path=path, durability=durability))
    cursor = journal.cursor("bench", durable=False)
    took = []
    for record in records(rounds):
        begin = time.perf_counter_ns()
        journal.append([record])
        await cursor.read(1)
        took.append((time.perf_counter_ns() - begin) / 1e6)
    await journal.aclose(10)
    return took


async def main() -> None:
    """Print the figures."""
    with tempfile.TemporaryDirectory() as folder:
        for name, consume in (
            ("burst upon burst, commits gather", False),
            ("each burst committed, read and acknowledged", True),
        ):
            runs = [
                await sustained(Path(folder) / f"{name}{turn}", 200 * BURST, consume=consume)
                for turn in range(5)
            ]
            cpu = min(run[0] for run in runs)
            print(f"journal: {name}: {cpu:.2f} us CPU per event ({runs[0][1]} commits)")
        for durability in Durability:
            took = await latency(Path(folder) / durability, durability, 200)
            print(
                f"journal: one record to one consumer, durability {durability}: "
                f"median {statistics.median(took):.2f} ms, worst of 200 {max(took):.2f} ms"
            )


if __name__ == "__main__":
    uvloop.run(main())

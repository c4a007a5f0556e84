"""A process with a journal, to be killed: appends, hands on, and writes down what it handed on.

    journal_program.py FOLDER RUN COUNT

Appends COUNT records of RUN to FOLDER/journal.sqlite.  The consumer `file` writes every record to
FOLDER/out before it acknowledges; the consumer `slow` only holds its place; the consumer `poor`
takes every second record and buries the others, and takes a few letters out again.  With
KEVMOND_TEST_FULL the files this process writes may not grow beyond that many bytes, and it kills
itself when records are out that no disk took.
"""

import asyncio
import json
import os
import resource
import signal
import sys
from pathlib import Path

import uvloop

from kevmond.events.event import Context, Kind, Record
from kevmond.journal import DeadLetter, Journal, JournalSettings

BODY = 6000
CONTEXT = Context(host="h", boot_id="b")


def revive(context, seq, wall_ns, kind, body):
    """Give back the bytes; nothing here looks at events."""
    return Record(seq, wall_ns, Kind(kind), body)


def record(seq, run):
    """Make a record that tells its position and the run it belongs to."""
    return Record(seq, 10**18 + seq, Kind.KERNEL, f"{seq} {run} ".encode().ljust(BODY, b"."))


async def hand_on(cursor, out, last):
    """Write down what comes, then acknowledge it."""
    while cursor.position < last:
        found = await cursor.read(7)
        lines = b"".join(record.body.rstrip(b".") + b"\n" for record in found)
        assert os.write(out, lines) == len(lines)
        cursor.acknowledge(found[-1].seq)


async def bury(journal, cursor, last):
    """Bury every second record, one acknowledgement for each; of those, unbury every tenth."""
    while cursor.position < last:
        for record in await cursor.read(7):
            if record.seq % 2:
                cursor.acknowledge(record.seq)
                continue
            run = record.body.split()[1].decode()
            letter = DeadLetter(
                record.seq, run, record.wall_ns, record.kind, record.body[:50], CONTEXT, "{}"
            )
            journal.bury("poor", [letter], ("poor", record.seq))
            if record.seq % 20 == 0:
                journal.unbury([found.number for found in await journal.letters(limit=1)])


async def append(journal, run, count):
    """Append in batches of several sizes, with the state that belongs to them."""
    done = 0
    while done < count:
        size = min(1 + done % 13, count - done)
        first = journal.next_seq
        journal.set_state("last", str(first + size - 1))
        journal.append([record(seq, run) for seq in range(first, first + size)])
        done += size
        await asyncio.sleep(0.001 if done % 3 else 0)


async def main(folder, run, count):
    """Run once."""
    full = int(os.environ.get("KEVMOND_TEST_FULL", "0"))
    if full:
        resource.setrlimit(resource.RLIMIT_FSIZE, (full, full))
    settings = JournalSettings(path=folder / "journal.sqlite", max_bytes=1 << 20)
    journal = Journal.open(settings, revive=revive)
    begin = {
        "next_seq": journal.next_seq,
        "state": journal.state("last"),
        "notices": [notice.kind for notice in journal.notices],
        "first_run": journal.first_run,
    }
    os.write(1, json.dumps(begin).encode())
    journal.set_context(CONTEXT)
    journal.cursor("slow", start="oldest")
    out = os.open(folder / "out", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    cursor = journal.cursor("file", start="oldest")
    poor = journal.cursor("poor", start="oldest")
    last = journal.next_seq + count - 1
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        group.create_task(append(journal, run, count))
        group.create_task(hand_on(cursor, out, last))
        group.create_task(bury(journal, poor, last))
    if full and journal.statistics().refusal:
        os.kill(os.getpid(), signal.SIGKILL)
    await journal.aclose(20)


if __name__ == "__main__":
    uvloop.run(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))

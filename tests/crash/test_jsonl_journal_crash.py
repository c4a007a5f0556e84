"""Journal and jsonl sink together are killed and started again: what was given out is there once.

Run as a program, this file is the process that is killed: it appends ten batches of events to the
journal, as the capture does, and delivers them.
"""

import asyncio
import gzip
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from kevmond.journal import Journal, JournalSettings
from kevmond.sinks.jsonl import JsonlSink
from kevmond.sinks.runner import SinkRunner
from kevmond.sinks.testing import CONTEXT, record

POINTS = [
    "jsonl.before-write",
    "jsonl.after-write",
    "jsonl.before-rotate",
    "jsonl.after-rotate",
]


async def deliver(directory):
    """Append and deliver; say how many events the journal has given out by the end."""
    journal = Journal.open(JournalSettings(path=directory / "journal.sqlite"))
    settings = JsonlSink.Settings(
        path=directory / "events.jsonl", max_bytes=9000, total_bytes=0, keep=1000, batch_size=8
    )
    sink = JsonlSink("events", settings)
    runner = SinkRunner("events", sink, settings, journal, announce=lambda payload: None)
    await runner.start()
    journal.set_context(CONTEXT)
    for _ in range(10):
        first = journal.next_seq
        journal.append([record(seq) for seq in range(first, first + 6)])
        await asyncio.sleep(0)
    await runner.drain(30.0)
    sys.stdout.write(f"{journal.next_seq - 1} {runner.lag} {runner.health.last_error}\n")
    await journal.aclose(30.0)


def run(directory, point):
    """Run the process, killed at `point` if it is not empty; return how it ended."""
    done = subprocess.run(
        [sys.executable, __file__, str(directory)],
        env={**os.environ, "KEVMOND_FAULT_POINT": point},
        timeout=60,
        capture_output=True,
        check=False,
        text=True,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("passes", [1, 2])
@pytest.mark.parametrize("point", POINTS)
def test_every_event_given_out_is_there_once(point, passes, tmp_path):
    """After two kills and a run to the end the files hold events 1 to the last, each once."""
    for _ in range(2):
        code, _, said = run(tmp_path, f"{point}:{passes}")
        assert code == -signal.SIGKILL, said
    code, said, errors = run(tmp_path, "")
    assert (code, errors) == (0, "")
    last, lag, error = said.split()
    assert (lag, error) == ("0", "None")
    found = []
    for path in tmp_path.glob("events*"):
        data = path.read_bytes()
        data = gzip.decompress(data) if path.suffix == ".gz" else data
        assert data.endswith(b"\n") or not data
        found += [json.loads(line)["seq"] for line in data.splitlines()]
    assert sorted(found) == list(range(1, int(last) + 1))


if __name__ == "__main__":
    asyncio.run(deliver(Path(sys.argv[1])))

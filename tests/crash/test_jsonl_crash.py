"""The jsonl sink is killed at each of its worst moments, twice at the same one, and started again.

Run as a program, this file is the process that is killed: it delivers events 1 to 150 through the
runner, with a journal that remembers what was acknowledged in a file.
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

from kevmond.sinks.jsonl import JsonlSink
from kevmond.sinks.runner import SinkRunner
from kevmond.sinks.testing import MemoryJournal, records

LAST = 150
POINTS = [
    "jsonl.before-write",
    "jsonl.after-write",
    "jsonl.before-rotate",
    "jsonl.after-rotate",
    "jsonl.before-gzip-rename",
    "jsonl.after-gzip-rename",
]


class Positions(dict):
    """Positions that are in a file before `__setitem__` returns."""

    def __init__(self, path):
        super().__init__(json.loads(path.read_text()) if path.exists() else {})
        self.path = path

    def __setitem__(self, name, position):
        super().__setitem__(name, position)
        fresh = self.path.with_suffix(".new")
        fresh.write_text(json.dumps(self))
        fresh.replace(self.path)


class PatientSink(JsonlSink):
    """A jsonl sink that is closed only when everything is compressed."""

    async def aclose(self):
        await asyncio.to_thread(self._shelf.settle)
        await super().aclose()


async def deliver(directory):
    """Deliver what is not acknowledged yet, compress what is to be compressed, and stop."""
    journal = MemoryJournal(records(1, LAST))
    journal.positions = Positions(directory / "positions.json")
    settings = JsonlSink.Settings(
        path=directory / "out/events.jsonl",
        start="oldest",
        batch_size=7,
        max_bytes=9000,
        max_age=0,
        total_bytes=0,
        keep=1000,
    )
    sink = PatientSink("events", settings)
    runner = SinkRunner("events", sink, settings, journal, announce=lambda payload: None)
    await runner.start()
    await runner.drain(30.0)
    assert runner.health.last_error is None, runner.health.last_error
    assert runner.lag == 0


def run(directory, point=None):
    """Run the process in `directory`, killed at `point` if one is given; return how it ended."""
    environment = {**os.environ, "KEVMOND_FAULT_POINT": point or ""}
    done = subprocess.run(
        [sys.executable, __file__, str(directory)],
        env=environment,
        timeout=60,
        capture_output=True,
        check=False,
    )
    return done.returncode, done.stderr.decode()


def sequences(directory):
    """Return the positions of all events in all files, in order; every line must be whole JSON."""
    found = []
    for path in sorted(directory.glob("events*")):
        data = path.read_bytes()
        if path.suffix == ".gz":
            data = gzip.decompress(data)
        assert data.endswith(b"\n") or not data, f"{path.name} ends in the middle of a line"
        found += [json.loads(line)["seq"] for line in data.splitlines()]
    return found


@pytest.mark.parametrize("passes", [1, 3])
@pytest.mark.parametrize("point", POINTS)
def test_killed_twice_and_started_again(point, passes, tmp_path):
    """After two kills at the same point the third run leaves every event there, once."""
    for _ in range(2):
        code, said = run(tmp_path, f"{point}:{passes}")
        assert code == -signal.SIGKILL, said
    assert run(tmp_path) == (0, "")
    out = tmp_path / "out"
    assert sorted(sequences(out)) == list(range(1, LAST + 1))
    names = [path.name for path in out.iterdir()]
    assert not [name for name in names if name.endswith(".tmp")]
    assert [name for name in names if name.endswith(".gz")]
    assert not [name for name in names if name.startswith("events-") and name.endswith(".jsonl")]


if __name__ == "__main__":
    asyncio.run(deliver(Path(sys.argv[1])))

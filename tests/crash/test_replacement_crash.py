"""Killed while a damaged journal is being replaced, kevmond still gives no position out twice."""

import json
import os
import runpy
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from kevmond.journal.writer import RESERVE

PROGRAM = Path(__file__).parent / "journal_program.py"
SPOIL = runpy.run_path(str(Path(__file__).parent / "test_webhook_crash.py"))["spoil"]


def run(folder, name, point="", count=20):
    """Run the journal's program; return its exit status and the first position of the run."""
    done = subprocess.run(
        [sys.executable, PROGRAM, folder, name, str(count)],
        env={**os.environ, "KEVMOND_FAULT_POINT": point},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode in {0, -signal.SIGKILL}, done.stderr
    return done.returncode, json.loads(done.stdout)["next_seq"] if done.stdout else None


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize(
    "point", ["journal.before-schema", "journal.after-schema", "journal.before-begin"]
)
def test_killed_when_the_new_journal_is_empty(tmp_path, point, times):
    """The new one knows no positions yet; the next start stays above the old ones all the same."""
    run(tmp_path, "before")
    SPOIL(tmp_path / "journal.sqlite")
    for turn in range(times):
        code, _ = run(tmp_path, "killed", point)
        assert code == -signal.SIGKILL or (turn and point == "journal.after-schema")
    code, begin = run(tmp_path, "after")
    assert code == 0
    assert begin >= RESERVE

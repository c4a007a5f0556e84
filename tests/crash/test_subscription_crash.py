"""Killed in the middle of a change, the daemon knows all that it has told as done, and no more."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import kevmond

PROGRAM = Path(__file__).parent / "subscription_program.py"

POINTS = (
    "subscription.after-secret",
    "subscription.before-state",
    "subscription.after-state",
    "subscription.before-clear",
)
PASSES = (1, 2, 3)


def run(folder, point=""):
    """Run the program; return whether it was killed, and what it said."""
    done = subprocess.run(
        [sys.executable, PROGRAM, folder],
        env={**os.environ, "KEVMOND_FAULT_POINT": point},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode in {0, -signal.SIGKILL}, done.stderr
    return done.returncode != 0, [json.loads(line) for line in done.stdout.splitlines()]


def told(said):
    """Return the secret of each webhook as a run left them, by all that it told as done."""
    known = {name: secrets[0] for name, secrets in said[0]["found"].items()}
    for line in said[1:]:
        if line["done"] == "removed":
            del known[line["name"]]
        elif "secret" in line:
            known[line["name"]] = line["secret"]
    return known


def test_every_fault_point_of_subscriptions_is_tested():
    """A point somebody adds must be added here."""
    source = Path(kevmond.__file__).parent / "sinks"
    named = {
        name
        for path in source.glob("*.py")
        for name in re.findall(r'fault\("(subscription\..*?)"\)', path.read_text())
    }
    assert named == set(POINTS)


@pytest.mark.parametrize("number", PASSES)
@pytest.mark.parametrize("point", POINTS)
def test_killed_in_the_middle_of_a_change(tmp_path, point, number):
    """Twice in a row: what was told as done lasts, every secret is there, and none is left over."""
    known, under_way = {}, False
    for armed in (f"{point}:{number}", f"{point}:{number}", ""):
        killed, said = run(tmp_path, armed)
        found = said[0]["found"]
        # A change that was under way may have come through: one webhook more or less, or a secret.
        assert len(found.keys() ^ known.keys()) <= (1 if under_way else 0)
        for name in found.keys() & known.keys():
            assert known[name] in found[name]
        assert said[0]["files"] == sum(len(secrets) for secrets in found.values())
        known, under_way = told(said), killed
    assert not killed

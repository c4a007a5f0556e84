"""The shipped daemon as a process, and a simulated kernel in another."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from kevmond.kernel.simulated.remote import RemoteKernel

PATIENCE = 30
"""Seconds after which a wait counts as failed; nothing waits this long when all is well."""


def until(condition, what):
    """Wait until `condition()` is true and return what it returned."""
    end = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < end, f"waited {PATIENCE} s for {what}"
        time.sleep(0.01)
    return found


class Daemon:
    """`kevmond run` in a state folder of its own."""

    def __init__(self, state, *args, environment=None, umask=-1):
        self.state = state
        self.file = state / "events.jsonl"
        self.errors = state.parent / f"{state.name}.stderr"
        with self.errors.open("ab") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "kevmond", "run", "--state-dir", str(state), *args],
                stderr=errors,
                stdout=subprocess.DEVNULL,
                env={**os.environ, **(environment or {})},
                umask=umask,
            )

    def events(self, kind=""):
        """Return events in the JSON lines file whose type starts with `kind`, whole lines only."""
        if not self.file.exists():
            return []
        lines = self.file.read_bytes().split(b"\n")[:-1]
        return [event for line in lines if (event := json.loads(line))["type"].startswith(kind)]

    def wait_for(self, kind, count=1):
        """Wait until so many events of a kind are in the file, and return them."""
        needle = f'"type":"{kind}'.encode()

        def enough():
            assert self.process.poll() is None, self.errors.read_text()
            return self.file.exists() and self.file.read_bytes().count(needle) >= count

        until(enough, f"{count} x {kind}")
        return self.events(kind)

    def send(self, number):
        self.process.send_signal(number)

    def stop(self, number=signal.SIGTERM):
        """Send a signal and return the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(PATIENCE)


@pytest.fixture
def daemon(tmp_path):
    """Start daemons; whatever still runs at the end is killed."""
    with contextlib.ExitStack() as stack:

        def start(*args, state="state", **more):
            running = Daemon(tmp_path / state, *args, **more)
            stack.callback(running.process.wait, PATIENCE)
            stack.callback(running.process.kill)
            return running

        yield start


@pytest.fixture
def kernel(tmp_path):
    """Serve a simulated kernel by `kevmond simulate`, and hand out a client of it."""
    path = tmp_path / "kernel"
    server = subprocess.Popen(
        [sys.executable, "-m", "kevmond", "simulate", "--listen", str(path)],
        stdout=subprocess.DEVNULL,
    )
    until(path.exists, "the simulated kernel")
    remote = RemoteKernel(str(path))
    remote.path = path
    yield remote
    server.terminate()
    server.wait(PATIENCE)


@pytest.fixture
def place():
    """Make a state folder with a short path, in a folder that does not exist any more after."""
    folder = tempfile.mkdtemp(prefix="kev")
    yield Path(folder) / "state"
    shutil.rmtree(folder)

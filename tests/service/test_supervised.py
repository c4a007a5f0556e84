"""The installed job, run as launchd.plist(5) says: kept alive, started on demand, left alone.

What stands in for launchd takes the property list as it is, but for the time between two starts.
"""

import contextlib
import fcntl
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kevmond.api.client import ApiClient, ApiRefusal
from kevmond.service import launchd as jobs

PATIENCE = 60


class Launchd:
    """Runs one job."""

    def __init__(self, job, environment):
        self.job = job
        self.starts = 0
        self.exits = []
        self.process = None
        self._environment = environment
        told = job["Sockets"]["Api"]
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(told["SockPathName"])
        Path(told["SockPathName"]).chmod(told["SockPathMode"])
        self.socket.listen()
        if job["RunAtLoad"]:
            self.start()

    def start(self):
        self.starts += 1
        number = self.socket.fileno()
        with Path(self.job["StandardErrorPath"]).open("a+b") as errors:
            self.process = subprocess.Popen(
                self.job["ProgramArguments"],
                env=self._environment(Api=[number]) | self.job["EnvironmentVariables"],
                pass_fds=[number],
                umask=self.job["Umask"],
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
            )

    def step(self):
        """Do what is due: note an end, start again after a failure, or for whoever calls."""
        if self.process is not None and self.process.poll() is not None:
            self.exits.append(self.process.returncode)
            self.process = None
            if self.exits[-1] != 0:
                assert self.job["KeepAlive"] == {"SuccessfulExit": False}
                self.start()
        if self.process is None and select.select([self.socket], [], [], 0)[0]:
            self.start()

    def until(self, condition):
        """Go on until something is so."""
        end = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < end, Path(self.job["StandardErrorPath"]).read_text()
            self.step()
            time.sleep(0.01)

    def bootout(self):
        """Stop the job as the system does."""
        if self.process is not None:
            self.process.terminate()
            self.exits.append(self.process.wait(self.job["ExitTimeOut"]))
        self.socket.close()


@pytest.fixture
def folder():
    """Return a folder whose path is short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="kv-", dir="/tmp") as made:
        yield Path(made)


@pytest.fixture
def supervised(folder, as_job):
    """Load the job of a daemon in that folder."""
    with contextlib.ExitStack() as stack:

        def load(config):
            (folder / "kevmond.toml").write_text(config)
            job = jobs.Job(
                label=jobs.DAEMON,
                program=(sys.executable, "-P", "-m", "kevmond"),
                config=folder / "kevmond.toml",
                error_file=folder / "kevmond.err",
                socket=jobs.Socket(folder / "kevmond.sock"),
                state_dir=folder,
            )
            made = Launchd(jobs.properties(job), as_job)
            stack.callback(made.bootout)
            return made

        yield load


def asked(launchd, folder):
    """Ask for the daemon's configuration file while launchd does its work; or what was refused."""
    client = ApiClient(folder / "kevmond.sock", timeout=PATIENCE)
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(client.ask, "GET", "config")
        launchd.until(call.done)
    refusal = call.exception()
    return str(refusal) if isinstance(refusal, ApiRefusal) else call.result()["file"]


GOOD = "[kernel]\nsource = 'simulated'\n[sinks]\n"


def test_a_daemon_that_is_killed_is_started_again(supervised, folder):
    """Its callers notice no more than a wait."""
    launchd = supervised(GOOD)
    assert asked(launchd, folder) == str(folder / "kevmond.toml")
    launchd.process.send_signal(signal.SIGKILL)
    launchd.until(lambda: launchd.starts == 2)
    assert asked(launchd, folder) == str(folder / "kevmond.toml")
    assert launchd.exits == [-signal.SIGKILL]
    launchd.bootout()
    assert launchd.exits[-1] == 0
    assert (folder / "kevmond.err").read_text() == ""


def test_a_wrong_configuration_is_started_once_and_then_for_each_caller(supervised, folder):
    """No loop; whoever asks is told what is wrong; and once it is right, it runs."""
    launchd = supervised("[zebra]\n")
    launchd.until(lambda: launchd.exits)
    for _ in range(20):
        launchd.step()
    assert (launchd.starts, launchd.exits) == (1, [0])
    assert "zebra" in asked(launchd, folder)
    launchd.until(lambda: launchd.process is None)
    assert (launchd.starts, launchd.exits) == (2, [0, 0])
    (folder / "kevmond.toml").write_text(GOOD)
    assert asked(launchd, folder) == str(folder / "kevmond.toml")
    assert launchd.starts == 3


def test_what_the_job_writes_is_private(supervised, folder):
    """By the umask of the job."""
    asked(supervised(GOOD), folder)
    modes = {path.name: path.stat().st_mode & 0o077 for path in folder.iterdir()}
    del modes["kevmond.toml"], modes["kevmond.err"]  # written by this test
    assert set(modes.values()) == {0}
    assert "journal.sqlite" in modes


def test_a_failure_is_tried_again(supervised, folder):
    """Here a state folder that another daemon has; when that one is gone, the service runs."""
    with (folder / "journal.sqlite.lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        launchd = supervised(GOOD)
        launchd.until(lambda: launchd.exits)
    assert asked(launchd, folder) == str(folder / "kevmond.toml")
    assert set(launchd.exits) == {os.EX_CANTCREAT}
    assert "in use by another process" in (folder / "kevmond.err").read_text()

"""The launchd job."""

import plistlib
from pathlib import Path

import pytest

PLIST = Path(__file__).parents[1] / "launchd/net.kevmond.daemon.plist"


@pytest.fixture
def job():
    """Read the job as launchd would."""
    return plistlib.loads(PLIST.read_bytes())


def test_label_is_the_files_name(job):
    """The tool addresses the job by its label, people by its file."""
    assert job["Label"] == PLIST.stem


def test_crash_loops_are_throttled(job):
    """A start that always fails is not tried more than twice a minute."""
    assert job["ThrottleInterval"] >= 30
    assert job["KeepAlive"] == {"SuccessfulExit": False}


def test_launchd_waits_longer_than_the_daemon_drains(job):
    """The kill comes after the deadline that the daemon gives its sinks."""
    from kevmond.config.settings import DaemonSettings

    assert job["ExitTimeOut"] > DaemonSettings().drain_deadline + 5


def test_files_are_private(job):
    """What the daemon writes is its own user's."""
    assert job["Umask"] == 0o077

"""The jobs that launchd is given."""

import plistlib
import runpy
from dataclasses import replace
from pathlib import Path

import pytest

from kevmond.config.settings import DaemonSettings
from kevmond.daemon import JOURNAL_DEADLINE
from kevmond.service import launchd

HERE = Path(__file__).parent
SHIPPED = HERE.parents[1] / "launchd"
mistakes = runpy.run_path(str(HERE / "stand_in/keys.py"))["mistakes"]
LABELS = (launchd.DAEMON, launchd.AGENT)


def listed(label=launchd.DAEMON, **changed):
    """Return the property list of an example with some of its facts changed."""
    return launchd.properties(replace(launchd.example(label), **changed))


@pytest.mark.parametrize("label", LABELS)
def test_shipped_files_are_what_the_code_makes(label):
    """People look at what `kevmond service print` prints for an ordinary installation."""
    made = launchd.to_plist(launchd.properties(launchd.example(label)))
    assert (SHIPPED / f"{label}.plist").read_bytes() == made


@pytest.mark.parametrize("label", LABELS)
def test_a_file_says_what_was_listed(label):
    """Nothing is lost or changed on the way into XML."""
    assert plistlib.loads(launchd.to_plist(listed(label))) == listed(label)


@pytest.mark.parametrize(
    "job",
    [
        *map(listed, LABELS),
        listed(user="alice", state_dir=Path("/var/db/kevmond"), stop=61.5),
        listed(socket=None),
        listed(socket=launchd.Socket(Path("/s/kevmond.sock"), owner=501, group=80)),
    ],
)
def test_every_key_is_one_that_launchd_knows(job):
    """It passes over keys that it does not know, and values of the wrong type."""
    assert mistakes(job) == []


@pytest.mark.parametrize(
    ("job", "told"),
    [
        ({"Lable": "x"}, ".Lable: unknown"),
        ({"ExitTimeOut": True}, ".ExitTimeOut: True is no int"),
        ({"ProcessType": "Fast"}, "none of"),
        ({"Sockets": {"Api": {"SockPathMode": "600"}}}, "is no list"),
        ({"ProgramArguments": ["a", 1]}, ".ProgramArguments[]: 1 is no str"),
        ({"KeepAlive": {"SuccessfulExit": 0}}, "0 is no bool"),
    ],
)
def test_the_table_finds_mistakes(job, told):
    """It is no table that everything passes."""
    assert any(told in line for line in mistakes(job))


@pytest.mark.parametrize("label", LABELS)
def test_label_is_the_files_name(label):
    """The tool addresses the job by its label, people by its file."""
    assert listed(label)["Label"] == label


def test_a_failure_is_tried_again_and_a_success_is_not():
    """And no more than twice a minute."""
    job = listed()
    assert job["KeepAlive"] == {"SuccessfulExit": False}
    assert job["ThrottleInterval"] >= 30
    assert "--launchd" in job["ProgramArguments"]


def test_launchd_waits_longer_than_the_daemon_takes():
    """The kill comes after every deadline of a stop, whatever the configuration makes of them."""
    assert DaemonSettings().drain_deadline + JOURNAL_DEADLINE == launchd.STOP
    assert listed()["ExitTimeOut"] >= launchd.STOP + launchd.MARGIN
    assert listed(stop=61.5)["ExitTimeOut"] == 62 + launchd.MARGIN


def test_files_are_private():
    """What the daemon writes is its own user's, and its socket too."""
    job = listed()
    assert job["Umask"] == 0o077
    assert job["Sockets"]["Api"]["SockPathMode"] == 0o600
    assert job["Sockets"]["Api"]["SockPathName"].endswith("/kevmond.sock")


def test_a_group_may_use_the_socket():
    """Mode and group are set by launchd, which makes the socket."""
    job = listed(socket=launchd.Socket(Path("/s/kevmond.sock"), owner=501, group=80))
    socket = job["Sockets"]["Api"]
    assert (socket["SockPathMode"], socket["SockPathOwner"], socket["SockPathGroup"]) == (
        0o660,
        501,
        80,
    )


def test_limits_of_the_whole_machine_are_left_alone():
    """NumberOfFiles of a daemon's limits sets kern.maxfiles."""
    assert not {"SoftResourceLimits", "HardResourceLimits"} & set(listed())


def test_the_reader_is_not_throttled():
    """A process that gets no time loses kernel events."""
    assert (listed()["ProcessType"], listed()["LowPriorityIO"]) == ("Standard", False)


def test_paths_are_of_fixed_places():
    """No `~` is known there, and launchd starts a job in the root folder."""
    for label in LABELS:
        job = listed(label)
        sockets = [each["SockPathName"] for each in job["Sockets"].values()]
        paths = [job["ProgramArguments"][0], job["StandardErrorPath"], *sockets]
        assert all(path.startswith("/") and "~" not in path for path in paths)


def test_standard_output_is_nobodys():
    """Only what goes wrong before the daemon runs is kept."""
    job = listed()
    assert job["StandardOutPath"] == "/dev/null"
    assert job["StandardErrorPath"] == "/var/log/kevmond.err"


def test_what_differs_is_in_the_command():
    """Configuration always, state folder where it is neither the default nor configured."""
    assert listed()["ProgramArguments"][-2:] == [
        "--config",
        "/Library/Application Support/kevmond/kevmond.toml",
    ]
    assert listed(state_dir=Path("/s"))["ProgramArguments"][-2:] == ["--state-dir", "/s"]
    assert "UserName" not in listed()
    assert listed(user="alice")["UserName"] == "alice"


def test_a_socket_has_to_fit_into_its_address():
    """103 bytes on macOS; bytes, not letters."""
    assert launchd.Socket(Path("/" + 102 * "x")).fits
    assert not launchd.Socket(Path("/" + 103 * "x")).fits
    assert not launchd.Socket(Path("/" + 52 * "ü")).fits

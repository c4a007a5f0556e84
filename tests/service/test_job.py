"""A run as a job of launchd's, in a process of its own as launchd starts it."""

import contextlib
import errno
import json
import os
import resource
import socket
import subprocess
import sys
import time

import pytest
import structlog

from kevmond.api.client import ApiClient, ApiRefusal
from kevmond.service import job, logging

PATIENCE = 60


class Job:
    """What launchd does for a job: its socket, its files, one process after the other."""

    def __init__(self, folder, environment):
        self.folder = folder
        self.path = folder / "kevmond.sock"
        self.config = folder / "kevmond.toml"
        self.errors = folder / "kevmond.err"
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.path))
        self.listener.listen()
        self._environment = environment
        self._processes = []

    def configure(self, text):
        self.config.write_text(text)

    def start(self, *more):
        number = self.listener.fileno()
        with self.errors.open("ab") as errors:
            process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "kevmond", "run", "--launchd"),
                    *("--config", self.config, "--state-dir", self.folder),
                    *("--kernel", "simulated", *more),
                ],
                env=self._environment(Api=[number]),
                pass_fds=[number],
                stdout=subprocess.DEVNULL,
                stderr=errors,
                cwd="/",
            )
        self._processes.append(process)
        return process

    def close(self):
        self.listener.close()
        for process in self._processes:
            process.kill()
            process.wait(PATIENCE)

    def wanted(self):
        """Whether somebody waits at the socket, for whom launchd would start the job."""
        with contextlib.suppress(BlockingIOError), self.listener.dup() as again:
            again.setblocking(False)
            again.accept()[0].close()
            return True
        return False

    def call(self):
        """Connect, as a client does, and ask something."""
        made = socket.socket(socket.AF_UNIX)
        made.settimeout(PATIENCE)
        made.connect(str(self.path))
        made.sendall(b"GET /v1/ HTTP/1.1\r\nHost: kevmond\r\n\r\n")
        return made


@pytest.fixture
def held(tmp_path, as_job):
    """Hold a job's socket as launchd does."""
    made = Job(tmp_path, as_job)
    yield made
    made.close()


def test_a_wrong_configuration_is_no_failure(held):
    """So that launchd leaves it alone; every mistake is said, with the time, and what to do."""
    held.configure("[daemon]\nlog_levl = 'info'\n[capture]\nvendors = 7\n")
    assert held.start().wait(PATIENCE) == 0
    first, second, last = held.errors.read_text().splitlines()
    assert first.split(" ", 1)[0].endswith("Z")
    assert "daemon.log_levl" in first
    assert "capture.vendors" in second
    assert last.endswith("correct it, then run `kevmond service start`")


def test_callers_are_told_of_a_wrong_configuration(held):
    """Or launchd, which has them in its socket, would start the daemon again at once."""
    held.configure("[zebra]\n")
    with held.call() as first, held.call():
        assert held.start().wait(PATIENCE) == 0
        head, _, body = first.recv(65536).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 ")
    assert "zebra" in json.loads(body)["error"]
    assert not held.wanted()


def test_the_client_shows_what_is_wrong(held):
    """Who asks the daemon for anything learns why it does not run."""
    held.configure("[zebra]\n")
    process = held.start()
    with pytest.raises(ApiRefusal, match=r"zebra.*kevmond service start"):
        ApiClient(held.path).ask("GET", "status")
    assert process.wait(PATIENCE) == 0


def test_wrong_words_are_no_failure_either(held):
    """A job that was written by another version would fail the same way every time."""
    held.configure("")
    assert held.start("--no-such-option").wait(PATIENCE) == 0
    assert "No such option" in held.errors.read_text()


def test_other_failures_are_for_launchd_to_try_again(held):
    """A state folder that another daemon has is free one day."""
    held.configure("[sinks]\n")
    held.start()
    ApiClient(held.path).ask("GET", "")
    assert held.start().wait(PATIENCE) == os.EX_CANTCREAT
    (line,) = held.errors.read_text().splitlines()
    assert "journal" in line
    assert "kevmond service start" not in line


def test_the_socket_outlives_a_restart(held):
    """Callers wait in it while no daemon runs, and are answered by the next one."""
    held.configure("[sinks]\n")
    inode = held.path.stat().st_ino
    for _ in range(2):
        waiting = held.call()
        process = held.start()
        with waiting:
            assert waiting.recv(65536).startswith(b"HTTP/1.1 200 ")
        process.terminate()
        assert process.wait(PATIENCE) == 0
    assert held.path.stat().st_ino == inode
    assert held.errors.read_text() == ""


def test_more_files_may_be_open_than_launchd_allows():
    """256 are few for many callers; the limit is this process's own, not the machine's."""
    code = """
import resource
from kevmond.service import job
resource.setrlimit(resource.RLIMIT_NOFILE, (256, HARD))
job.begin()
print(*resource.getrlimit(resource.RLIMIT_NOFILE))
"""
    for hard, soft in ((4096, job.FILES), (300, 300)):
        done = subprocess.run(
            [sys.executable, "-c", code.replace("HARD", str(hard))],
            capture_output=True,
            text=True,
            check=True,
            timeout=PATIENCE,
        )
        assert done.stdout.split() == [str(soft), str(hard)]


def test_a_higher_limit_stays(monkeypatch):
    """What somebody set is not lowered."""
    asked = []
    monkeypatch.setattr(resource, "getrlimit", lambda which: (8192, resource.RLIM_INFINITY))
    monkeypatch.setattr(resource, "setrlimit", lambda *what: asked.append(what))
    job._raise_file_limit()
    assert asked == []


@pytest.mark.parametrize("mode", ["a+b", "ab"])
def test_a_long_error_file_is_cut(tmp_path, mode):
    """It grows start after start, and an agent's has no newsyslog; its end stays if it can."""
    file = tmp_path / "kevmond.err"
    file.write_text("".join(f"line {number}\n" for number in range(200_000)))
    with file.open(mode) as errors:
        subprocess.run(
            [sys.executable, "-c", "from kevmond.service import job; job.begin(); job.end('x', 1)"],
            stderr=errors,
            check=True,
            timeout=PATIENCE,
        )
    lines = file.read_text().splitlines()
    assert file.stat().st_size <= job.KEPT + 100
    assert lines[-1].endswith("kevmond: x")
    if "+" in mode:
        assert lines[0].startswith("line ")
        assert lines[-2] == "line 199999"


@pytest.fixture
def system_log(monkeypatch):
    """Collect what is written to the system's log."""
    import syslog

    written = []
    monkeypatch.setattr(syslog, "syslog", lambda level, text: written.append((level, text)))
    monkeypatch.setattr(logging, "_to_system", False)
    return written


def test_the_daemons_own_log_is_the_systems(system_log, capsys):
    """Standard error, which nobody rotates while the daemon runs, stays empty."""
    import syslog

    logging.to_system_log()
    log = logging.configure("info")
    log.info("the API is served", path="/a b")
    log.error("no\0 zero bytes")
    log.debug("too small")
    assert system_log == [
        (syslog.LOG_INFO, 'kevmond: the API is served path="/a b"'),
        (syslog.LOG_ERR, "kevmond: no? zero bytes"),
    ]
    assert capsys.readouterr() == ("", "")
    structlog.reset_defaults()


def test_why_a_run_failed_is_in_the_systems_log_too(system_log, capsys):
    """Line by line."""
    assert job.end("one\ntwo", errno.EIO) == errno.EIO
    assert [text for _, text in system_log] == ["kevmond: one", "kevmond: two"]
    assert len(capsys.readouterr().err.splitlines()) == 2


def test_a_caller_that_says_nothing_holds_nobody_up(held, monkeypatch, system_log, capsys):
    """Each has half a second."""
    monkeypatch.setattr(job, "activated", lambda name: [os.dup(held.listener.fileno())])
    monkeypatch.setattr(job, "_HEARD", 0.01)
    began = time.monotonic()
    with socket.socket(socket.AF_UNIX) as silent:
        silent.connect(str(held.path))
        assert job.end("wrong", os.EX_CONFIG) == 0
    assert time.monotonic() - began < PATIENCE
    assert not held.wanted()
    capsys.readouterr()


def test_without_the_option_nothing_of_this_happens(tmp_path):
    """A wrong configuration is exit code 78 for everybody else."""
    done = subprocess.run(
        [sys.executable, "-m", "kevmond", "run", "--set", "zebra.x=1"],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
        env={**os.environ, "HOME": str(tmp_path)},
    )
    assert (done.returncode, "service start" in done.stderr) == (os.EX_CONFIG, False)

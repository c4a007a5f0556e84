"""What `kevmond doctor` finds out about an installation."""

import http.server
import json
import os
import plistlib
import socketserver
import subprocess
import tempfile
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from kevmond.cli.doctor_install import CHECKS, examine
from kevmond.service import place

STATE = Path("/Library/Application Support/kevmond")
CONFIG = STATE / "kevmond.toml"
PLIST = Path("/Library/LaunchDaemons/net.kevmond.daemon.plist")
ERRORS = Path("/var/log/kevmond.err")
TARGET = "system/net.kevmond.daemon"
NAMES = [f"daemon-{check.name}" for check in CHECKS]


class Api:
    """A daemon's API, as far as doctor asks it."""

    def __init__(self, path, **answers):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                body = json.dumps(answers[self.path.removeprefix("/v1/")]).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def address_string(self):
                return "a Unix socket"

            def log_message(self, *what):
                pass

        self.server = socketserver.UnixStreamServer(str(path), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def host(mac_in, launchd, monkeypatch):
    """Let the command line believe that this is a Mac."""
    monkeypatch.setattr("kevmond.service.control.STAYS", 0.0)
    monkeypatch.setattr("kevmond.service.control.PACE", 0.0)
    with tempfile.TemporaryDirectory(prefix="kv-", dir="/tmp") as folder:  # sockets need it short
        made = mac_in(Path(folder))
        monkeypatch.setattr(place, "here", lambda: made)
        yield made


@pytest.fixture
def process(host):
    """Run something that holds the error file, as the daemon does."""
    with host.disk(ERRORS).open("ab") as errors:
        running = subprocess.Popen(["sleep", "600"], stderr=errors)
    yield running
    running.kill()
    running.wait(60)


@pytest.fixture
def service(host, kevmond, launchd, process):
    """Install a service that runs and answers."""
    assert kevmond("service", "install").code == 0
    launchd.change(TARGET, pid=process.pid)
    api = Api(
        host.disk(STATE / "kevmond.sock"),
        status={"daemon": {"pid": process.pid}},
        config={"file": str(CONFIG), "settings": {"daemon": {"state_dir": str(STATE)}}},
    )
    yield process
    api.close()


def found(host):
    """Find out everything, by check."""
    return {finding.check: finding for finding in examine(host)}


def failed(host):
    """Names of the checks that failed."""
    return {
        name.removeprefix("daemon-") for name, one in found(host).items() if one.outcome == "fail"
    }


def test_a_good_installation_passes_everything(host, service):
    """In order, with what was found."""
    findings = found(host)
    assert list(findings) == NAMES
    assert {name: one.told for name, one in findings.items() if one.outcome != "pass"} == {}
    assert f"pid {service.pid}" in findings["daemon-exit"].told
    assert findings["daemon-program"].told.startswith("/opt/kevmond/bin/python: kevmond ")
    assert findings["daemon-config"].told == f"it runs with {CONFIG}"
    assert findings["daemon-errors"].told == f"{ERRORS}, 0 bytes"


def test_off_a_mac_it_is_one_line(host):
    """Not applicable, and no failure."""
    (one,) = examine(replace(host, platform="linux"))
    assert (one.check, one.outcome) == ("installation", "impossible")
    assert one.told == "not applicable: this system has no launchd"


def test_what_is_not_installed_is_one_line(host):
    """With the words that install it."""
    (one,) = examine(host)
    assert (one.outcome, "kevmond service install" in one.advice) == ("impossible", True)


def test_the_command_shows_it_after_the_kernel(host, service, kevmond):
    """And a failure there is exit code 1 too."""
    result = kevmond("doctor", "--kernel", "simulated")
    assert result.code == 0
    assert "daemon: the configuration in force" in result.out
    host.disk(host.executable).unlink()
    result = kevmond("doctor", "--kernel", "simulated", "--json")
    failures = [one for one in map(json.loads, result.out.splitlines()) if one["outcome"] == "fail"]
    assert (result.code, [one["check"] for one in failures]) == (1, ["daemon-program"])


# ---------------------------------------------------------------------- the job


def test_a_job_that_would_be_written_otherwise_is_told_by_key(host, service):
    """A configuration that gives a stop more time than launchd does, for one."""
    host.disk(CONFIG).write_text("[daemon]\ndrain_deadline = '60s'\n[sinks]\n")
    finding = found(host)["daemon-job"]
    assert finding.outcome == "fail"
    assert finding.told == "ExitTimeOut is 20, it would be 75"
    assert finding.advice == "sudo kevmond service install"


def test_a_configuration_that_became_wrong_is_told(host, service):
    """The next start would not succeed."""
    host.disk(CONFIG).write_text("[zebra]\n")
    finding = found(host)["daemon-job"]
    assert (finding.outcome, "zebra" in finding.told) == ("fail", True)


def test_a_job_that_cannot_be_read_is_told(host, service):
    """Nothing else can be checked then."""
    host.disk(PLIST).write_bytes(b"no plist")
    (one,) = examine(host)
    assert (one.check, one.outcome) == ("daemon-job", "fail")


def test_without_root_the_configuration_cannot_be_compared(host, service):
    """How it could be is said."""
    finding = found(replace(host, uid=host.superuser + 1))["daemon-job"]
    assert (finding.outcome, "sudo kevmond doctor" in finding.advice) == ("impossible", True)


def test_a_job_that_others_can_change_is_told(host, service):
    """Launchd would refuse it at the next boot."""
    host.disk(PLIST).chmod(0o666)
    finding = found(host)["daemon-owners"]
    assert (finding.outcome, "everybody" in finding.told) == ("fail", True)


def test_an_older_job_in_launchd_is_told(host, service, launchd):
    """The file was changed, and not loaded since."""
    launchd.change(TARGET, arguments=["/old/python", "-m", "kevmond"])
    assert failed(host) == {"loaded"}
    launchd.change(
        TARGET, arguments=plistlib.loads(host.disk(PLIST).read_bytes())["ProgramArguments"]
    )
    launchd.change(TARGET, timeout=5)
    assert failed(host) == {"loaded"}


def test_a_job_that_is_not_loaded_is_told(host, service, kevmond, launchd):
    """What needs it cannot be found out."""
    kevmond("service", "stop")
    findings = found(host)
    assert findings["daemon-loaded"].advice == "sudo kevmond service start"
    assert findings["daemon-exit"].outcome == "impossible"
    launchd.disable(TARGET)
    assert "launchctl enable" in found(host)["daemon-loaded"].advice


# ---------------------------------------------------------------------- the program


def test_a_program_that_is_gone_is_told(host, service):
    """An interpreter that an upgrade took away; launchd would try for ever."""
    host.disk(host.executable).unlink()
    finding = found(host)["daemon-program"]
    assert finding.told == f"{host.executable} is not there any more"


def test_a_program_that_does_not_run_is_told(host, service):
    """With its last words."""
    host.disk(host.executable).write_text("#!/bin/sh\necho No module named kevmond >&2\nexit 1\n")
    assert "No module named kevmond" in found(host)["daemon-program"].told


def test_a_user_that_is_gone_is_told(host, service):
    """Launchd would not start it."""
    job = plistlib.loads(host.disk(PLIST).read_bytes())
    host.disk(PLIST).write_bytes(plistlib.dumps(job | {"UserName": "kevmond-none"}))
    assert "no user 'kevmond-none'" in found(host)["daemon-program"].told


# ---------------------------------------------------------------------- what came of it


def test_a_loop_is_told(host, service, launchd):
    """With how often, how it ends, and its last words."""
    host.disk(ERRORS).write_text("2026-11-24T10:00:00Z kevmond: no room\n")
    launchd.change(TARGET, pid=None, runs=812, exit="73", state="spawn scheduled")
    finding = found(host)["daemon-exit"]
    assert finding.outcome == "fail"
    assert "started 812 times" in finding.told
    assert "launchd tries again every 30 s" in finding.told
    assert "could not use its journal (73)" in finding.told
    assert "no room" in finding.told
    assert "another daemon" in finding.advice


def test_a_loop_is_told_between_two_failures_too(host, service, launchd):
    """A process that was started just now, after others that failed."""
    launchd.change(TARGET, runs=9, exit="1")
    finding = found(host)["daemon-exit"]
    assert (finding.outcome, "again and again" in finding.told) == ("fail", True)


def test_an_old_failure_is_no_loop(host, service, launchd, monkeypatch):
    """It runs, and has done so for longer than a minute."""
    launchd.change(TARGET, runs=9, exit="1")
    monkeypatch.setattr("kevmond.service.launchd.THROTTLE", -1)
    assert found(host)["daemon-exit"].outcome == "pass"


def test_a_service_that_rests_is_told(host, service, launchd):
    """Because of its configuration, for one."""
    launchd.change(TARGET, pid=None, exit="0")
    finding = found(host)["daemon-exit"]
    assert "found its configuration wrong" in finding.told
    assert "tries again" not in finding.told


def test_launchds_own_failure_is_told_apart(host, service, launchd):
    """78 is never kevmond's own as a job."""
    launchd.change(TARGET, pid=None, exit="78: EX_CONFIG")
    assert "launchd could not start it (78)" in found(host)["daemon-exit"].told


def test_another_daemon_that_answers_is_told(host, service, launchd):
    """Somebody started it by hand."""
    launchd.change(TARGET, pid=os.getpid())
    finding = found(host)["daemon-config"]
    assert f"the daemon that answers, pid {service.pid}, is not launchd's" in finding.told


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"file": "/etc/other.toml"}, "it runs with /etc/other.toml, the job says"),
        ({"file": None, "settings": {"daemon": {"state_dir": "/s"}}}, "its state folder is /s"),
    ],
)
def test_a_daemon_that_runs_otherwise_is_told(host, process, kevmond, launchd, config, told):
    """It was started before the job was written anew."""
    kevmond("service", "install")
    launchd.change(TARGET, pid=process.pid)
    status = {"daemon": {"pid": process.pid}}
    api = Api(host.disk(STATE / "kevmond.sock"), status=status, config=config)
    try:
        finding = found(host)["daemon-config"]
    finally:
        api.close()
    assert (finding.outcome, told in finding.told) == ("fail", True)


def test_a_daemon_that_does_not_answer_cannot_be_compared(host, process, kevmond, launchd):
    """That is told by `kevmond status`."""
    kevmond("service", "install")
    launchd.change(TARGET, pid=process.pid)
    assert found(host)["daemon-config"].outcome == "impossible"


def test_a_rotated_error_file_that_is_still_held_is_told(host, service):
    """What it says would be in a file that nobody looks at."""
    disk = host.disk(ERRORS)
    disk.rename(disk.with_name("kevmond.err.0"))
    disk.touch()
    finding = found(host)["daemon-errors"]
    assert finding.outcome == "fail"
    assert "kevmond.err.0, which was rotated away" in finding.told
    assert finding.advice.startswith("sudo kevmond service restart")


def test_an_error_file_that_was_removed_is_told(host, service):
    """The daemon writes to nowhere."""
    host.disk(ERRORS).unlink()
    assert "no file that is there any more" in found(host)["daemon-errors"].told


def test_a_process_that_cannot_be_seen_is_no_failure(host, service, monkeypatch):
    """Another user's is root's to look at."""
    import psutil

    def refuse(self):
        raise psutil.AccessDenied

    monkeypatch.setattr(psutil.Process, "open_files", refuse)
    finding = found(host)["daemon-errors"]
    assert (finding.outcome, finding.advice) == ("impossible", "sudo kevmond doctor")


def test_a_job_without_socket_cannot_be_asked(host, service):
    """Its state folder was too deep for one."""
    job = plistlib.loads(host.disk(PLIST).read_bytes())
    del job["Sockets"]
    host.disk(PLIST).write_bytes(plistlib.dumps(job))
    assert found(host)["daemon-config"].outcome == "impossible"


def test_daemon_and_agent_are_both_checked(host, service):
    """Each with findings of its own."""
    where = place.agent(host)
    disk = host.disk(where.plist)
    disk.parent.mkdir(parents=True)
    disk.write_bytes(b"")
    assert [one.check for one in examine(host)] == [*NAMES, "agent-job"]

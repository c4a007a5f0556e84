"""launchctl, called and understood."""

import subprocess
from pathlib import Path

import pytest

from kevmond.service.exits import last_exit
from kevmond.service.launchctl import Launchctl, LaunchctlError, NoLaunchdError, Service, parse

TARGET = "system/net.kevmond.daemon"

RUNNING = """\
system/net.kevmond.daemon = {
	active count = 3
	path = /Library/LaunchDaemons/net.kevmond.daemon.plist
	type = LaunchDaemon
	state = running

	program = /opt/kevmond/bin/python
	arguments = {
		/opt/kevmond/bin/python
		-m
		kevmond
		state = not a row
	}

	stdout path = /dev/null
	stderr path = /var/log/kevmond.err
	default environment = {
		PATH => /usr/bin:/bin:/usr/sbin:/sbin
	}

	environment = {
		XPC_SERVICE_NAME => net.kevmond.daemon
	}

	domain = system
	minimum runtime = 30
	exit timeout = 20
	runs = 7
	pid = 4242
	immediate reason = inefficient
	forks = 0
	execs = 1
	last terminating signal = Killed: 9
	last exit reason = OS_REASON_JETSAM

	sockets = {
		"Api" = {
			type = stream
			state = 0
			active = 1
		}
	}

	resource coalition = {
		ID = 1262
		state = active
		active count = 1
		pid = 1
	}

	spawn type = daemon (3)
	job state = running
	properties = keepalive | runatload | inferred program
}
"""

REST = """\
gui/501/net.kevmond.agent = {
	active count = 0
	state = spawn scheduled
	minimum runtime = 30
	runs = 5
	last exit code = 78: EX_CONFIG
	job state = spawn failed
}
"""


@pytest.fixture
def launchctl(launchd):
    """Call the one that stands in."""
    return Launchctl()


@pytest.fixture
def plist(tmp_path):
    """Write a job."""
    path = tmp_path / "net.kevmond.daemon.plist"
    path.write_bytes((Path(__file__).parents[2] / "launchd" / path.name).read_bytes())
    return path


def test_a_running_service_is_read():
    """Its own rows count, and none of what is nested in it."""
    assert parse(RUNNING) == Service(
        state="running",
        pid=4242,
        runs=7,
        signal="Killed: 9",
        exit_reason="OS_REASON_JETSAM",
        throttle=30,
        exit_timeout=20,
        path="/Library/LaunchDaemons/net.kevmond.daemon.plist",
        arguments=("/opt/kevmond/bin/python", "-m", "kevmond", "state = not a row"),
    )


def test_a_service_that_waits_is_read():
    """Exit codes come with their names."""
    service = parse(REST)
    assert (service.state, service.pid, service.exit_code) == ("spawn scheduled", None, 78)
    assert (service.running, service.failed) == (False, True)


@pytest.mark.parametrize("text", ["", "}", "x = {\n", "{\n}\n}\nstate", "\x00 = {\n\tpid = x\n}"])
def test_another_form_is_no_error(text):
    """Apple promises none."""
    assert parse(text).pid is None


@pytest.mark.parametrize(
    ("service", "told", "advice"),
    [
        (Service("running", pid=1, runs=1), "has not ended yet", ""),
        (Service("not running"), "has not been started yet", ""),
        (Service("x", exit_code=0, runs=1), "as it was told to", "config check"),
        (Service("x", exit_code=73, runs=1), "journal", "another daemon"),
        (Service("x", exit_code=78, runs=1), "launchd could not start it", "kevmond doctor"),
        (Service("x", exit_code=41, runs=1), "exit code 41", "error file"),
        (Service("x", signal="Killed: 9", exit_reason="OS_REASON_JETSAM"), "JETSAM", "memory"),
        (Service("x", signal="Abort trap: 6"), "Abort trap: 6", "install kevmond again"),
        (Service("x", signal="of some kind"), "of some kind", ""),
    ],
)
def test_an_end_is_told_with_what_to_do(service, told, advice):
    """In words that fit what kevmond ends with."""
    found = last_exit(service)
    assert told in found.text
    assert advice in found.advice


def test_a_service_is_loaded_watched_and_unloaded(launchctl, launchd, plist):
    """By the words that launchctl knows."""
    assert launchctl.print(TARGET) is None
    launchctl.bootstrap("system", plist)
    service = launchctl.print(TARGET)
    assert (service.running, service.path, service.exit_timeout) == (True, str(plist), 20)
    assert service.arguments[0] == "/usr/local/bin/kevmond"
    launchctl.kickstart(TARGET, kill=True)
    assert launchctl.print(TARGET).pid == service.pid + 1
    launchctl.kickstart(TARGET)
    launchctl.kill("HUP", TARGET)
    assert launchctl.bootout(TARGET) is True
    assert launchctl.bootout(TARGET) is False
    assert launchd.calls() == [
        ["bootstrap", "system", str(plist)],
        ["kickstart", "-k", TARGET],
        ["kickstart", TARGET],
        ["kill", "HUP", TARGET],
        ["bootout", TARGET],
        ["bootout", TARGET],
    ]


def test_disabled_services_are_told(launchctl):
    """They are listed beside those that are not."""
    assert launchctl.disabled("system") == frozenset()
    launchctl.disable(TARGET)
    assert launchctl.disabled("system") == {"net.kevmond.daemon"}
    assert launchctl.disabled("gui/501") == frozenset()
    launchctl.enable(TARGET)
    assert launchctl.disabled("system") == frozenset()


def test_a_bootout_under_way_is_no_refusal(launchctl, launchd):
    """The service is stopping; `print` tells when it is gone."""
    launchd.answers("bootout", (36, "Boot-out failed: 36: Operation now in progress"))
    assert launchctl.bootout(TARGET) is True


REFUSALS = [
    (1, "Bootstrap failed: 1: Operation not permitted", "sudo"),
    (2, "Bootstrap failed: 2: No such file or directory", "kevmond service install"),
    (5, "Bootstrap failed: 5: Input/output error", "plutil -lint"),
    (5, "Bootstrap failed: 5: Input/output error", "launchctl print-disabled system"),
    (13, "Bootstrap failed: 13: Permission denied", "sudo"),
    (17, "Bootstrap failed: 17: File exists", "kevmond service restart"),
    (37, "Bootstrap failed: 37: Operation already in progress", "loaded already"),
    (64, "Unrecognized target specifier", "too old"),
    (109, "Bootstrap failed: 109: Invalid property list", "kevmond service install"),
    (112, "Could not find domain for user gui: 501", "logged in at the screen"),
    (114, "Bootstrap failed: 114: The specified username does not exist", "--user NAME"),
    (119, "Bootstrap failed: 119: Service is disabled", "launchctl enable system/net.kevmond"),
    (122, "Bootstrap failed: 122: Path had bad ownership/permissions", "chown root:wheel "),
    (125, "Bootstrap failed: 125: Domain does not support specified action", "at the screen"),
    (134, "Bootstrap failed: 134: Service cannot load in requested session", "at the screen"),
    (150, "Bootstrap failed: 150: Operation not permitted while SIP is engaged", "Integrity"),
    (155, "Bootstrap failed: 155: Refusing to execute", "com.apple.quarantine"),
    (161, "Bootstrap failed: 161: unknown", "Login Items"),
    (199, "Bootstrap failed: 199: Something new", "Something new"),
    (199, "Bootstrap failed: 199: Something new", "kevmond doctor"),
]


@pytest.mark.parametrize(("code", "said", "told"), REFUSALS)
def test_a_refusal_is_explained(launchctl, launchd, plist, code, said, told):
    """With its number, what it means, and what to do."""
    launchd.answers("bootstrap", (code, said))
    with pytest.raises(LaunchctlError) as refused:
        launchctl.bootstrap("system", plist)
    assert refused.value.code == code
    assert f"({code})" in str(refused.value)
    assert told in str(refused.value)
    assert "TARGET" not in str(refused.value)
    assert "PLIST" not in str(refused.value)
    assert "DOMAIN" not in str(refused.value)


def test_the_number_in_the_text_counts_more(launchctl, launchd, plist):
    """Versions of launchctl differ in what they exit with."""
    text = "Bootstrap failed: 119: Service is disabled\nTry re-running the command as root for more"
    launchd.answers("bootstrap", (1, text))
    with pytest.raises(LaunchctlError, match=r"\(119\).*launchctl enable") as refused:
        launchctl.bootstrap("system", plist)
    assert "re-running" not in str(refused.value)


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ('Could not find service "net.kevmond.daemon" in domain for system', 113),
        ("service already loaded", 17),
    ],
)
def test_words_count_where_there_is_no_number(launchctl, launchd, said, code):
    """As in older versions."""
    launchd.answers("kickstart", (1, said))
    with pytest.raises(LaunchctlError) as refused:
        launchctl.kickstart(TARGET)
    assert refused.value.code == code


def test_any_other_failure_to_print_is_told(launchctl, launchd):
    """Only a service that is not there is none."""
    launchd.answers("print", (5, "Bad request."))
    with pytest.raises(LaunchctlError, match="launchctl print"):
        launchctl.print(TARGET)


def test_without_launchctl_it_is_said(monkeypatch):
    """With the exit code of what is not there."""
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(NoLaunchdError, match="kevmond run") as missing:
        Launchctl().print(TARGET)
    assert missing.value.exit_code == 69


def test_one_that_hangs_is_given_up(monkeypatch):
    """After its time."""

    def hang(*args, **more):
        raise subprocess.TimeoutExpired("launchctl", 120)

    monkeypatch.setattr(subprocess, "run", hang)
    with pytest.raises(LaunchctlError, match="no answer within 120 s"):
        Launchctl().print(TARGET)

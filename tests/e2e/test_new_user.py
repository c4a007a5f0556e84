"""A new user's first hour, word for word: install, check, run, tail, subscribe, reload, upgrade."""

import contextlib
import http.server
import json
import os
import re
import runpy
import signal
import subprocess
import threading
from pathlib import Path

import pytest
from standardwebhooks import Webhook

until = runpy.run_path(str(Path(__file__).parent / "conftest.py"))["until"]
PATIENCE = 60


class Receiver(http.server.BaseHTTPRequestHandler):
    """Takes webhooks and notes them."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.taken.append((dict(self.headers), body))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *args):
        """Say nothing."""


@pytest.fixture
def receiver():
    """Serve a receiver of webhooks on loopback."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    server.taken = []
    server.url = f"http://127.0.0.1:{server.server_port}/hook"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


class User:
    """Somebody with a home, a configuration, and kevmond installed in an environment of its own."""

    def __init__(self, installed, home, stack):
        self.installed = installed
        self.home = home
        self.config = home / ".config/kevmond/kevmond.toml"
        self._stack = stack
        kept = ("PATH", "LANG", "LC_ALL")
        self._environment = {name: os.environ[name] for name in kept if name in os.environ}
        self._environment |= {"HOME": str(home)}

    def says(self, *words, code=0, environment=None):
        """Type a command, wait for its end, and return what it printed."""
        done = subprocess.run(
            [str(self.installed.kevmond), *words],
            cwd=self.home,
            env={**self._environment, **(environment or {})},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == code, (words, done.returncode, done.stdout, done.stderr)
        return done.stdout

    def starts(self, *words):
        """Start a command that stays, its output going into files; return it."""
        name = f"{words[0]}-{len(list(self.home.glob('*.out')))}"
        out, err = self.home / f"{name}.out", self.home / f"{name}.err"
        with out.open("wb") as stdout, err.open("wb") as stderr:
            process = subprocess.Popen(
                [str(self.installed.kevmond), *words],
                cwd=self.home,
                env=self._environment,
                stdout=stdout,
                stderr=stderr,
            )
        self._stack.callback(process.wait, PATIENCE)
        self._stack.callback(process.kill)
        process.out, process.err = out, err
        return process

    def daemon(self):
        """Start the daemon and wait until it answers that all is well."""
        process = self.starts("run")
        until(lambda: self._is_well(process), "a healthy daemon")
        return process

    def _is_well(self, process):
        assert process.poll() is None, process.err.read_text()
        done = subprocess.run(
            [str(self.installed.kevmond), "status"],
            env=self._environment,
            capture_output=True,
            check=False,
        )
        return done.returncode == 0


@pytest.fixture
def user(release, tmp_path):
    """Give somebody a home and install the wheel for them."""
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    with contextlib.ExitStack() as stack:
        yield User(release.install(tmp_path / "venv"), home, stack)


def lines(process):
    """Return what a command with --json has printed so far, whole lines only."""
    return [json.loads(line) for line in process.out.read_bytes().split(b"\n")[:-1]]


def stop(process, number=signal.SIGTERM):
    """Send a signal and return the exit code."""
    process.send_signal(number)
    return process.wait(PATIENCE)


def test_a_new_user_s_first_hour(user, release, receiver):
    """Everything works as the README says, and a tail that was there all along missed nothing."""
    configure(user)
    daemon = user.daemon()
    tail = user.starts("tail", "--json")
    until(lambda: len(lines(tail)) >= 10, "ten events in the tail")
    look_around(user)
    subscribe(user, receiver)
    reload(user, daemon, tail)
    daemon = upgrade(user, daemon, release.successor("99.0.0"))
    assert "mine" in user.says("webhook", "list")
    until(lambda: of_type(tail, "kevmond.start"), "the new daemon's start in the old tail")
    after = len(lines(tail))
    until(lambda: len(lines(tail)) >= after + 10, "ten more events in the tail")
    assert tail.poll() is None
    stop(tail, signal.SIGINT)
    compare(user, tail)
    assert stop(daemon) == 0
    assert "level=error" not in daemon.err.read_text()


def configure(user):
    """Write a configuration to begin from, whose kernel is a simulated one that is never idle."""
    assert user.says("--version").startswith("kevmond ")
    text = user.says("config", "default")
    state_dir = f'[daemon]\nstate_dir = "{user.home}/state"\n'  # root's own would be the system's
    for old, new in (
        ("[daemon]\n", state_dir),
        ('source = "auto"', 'source = "simulated"'),
        ("speed = 1.0", "speed = 8.0"),
    ):
        assert old in text
        text = text.replace(old, new, 1)
    user.config.parent.mkdir(parents=True)
    user.config.write_text(text)
    assert user.says("config", "check") == f"{user.config}: right; sinks: log, jsonl\n"


def look_around(user):
    """Ask how the daemon is, what was, and what the interfaces are."""
    status = json.loads(user.says("status", "--json"))
    assert status["health"] == "ok"
    assert status["config"]["file"] == str(user.config)
    told = user.says("history", "--json", "--limit", "5").splitlines()
    assert len([json.loads(line) for line in told]) == 5
    assert "en0" in user.says("state")


def subscribe(user, receiver):
    """Subscribe a webhook; its receiver checks signatures with the secret that was shown once."""
    told = user.says(
        "webhook", "add", receiver.url, "--name", "mine", "--allow-http", "--allow-private",
        "--filter", "class=network",
    )  # fmt: skip
    secret = re.search(r"whsec_\S+", told)[0]
    asked = {
        "_KEVMOND_COMPLETE": "bash_complete",
        "COMP_WORDS": "kevmond webhook test m",
        "COMP_CWORD": "3",
    }
    assert user.says(environment=asked) == "plain,mine\n"
    user.says("webhook", "test", "mine")
    until(lambda: len(receiver.taken) >= 3, "three webhooks")
    for headers, body in list(receiver.taken):
        Webhook(secret).verify(body, {name.lower(): value for name, value in headers.items()})


def reload(user, daemon, tail):
    """Change the configuration well, then badly: the first is applied, the second told."""
    text = user.config.read_text()
    user.config.write_text(text.replace('format = "console"', 'format = "json"', 1))
    daemon.send_signal(signal.SIGHUP)
    told = until(lambda: configs(tail, "applied"), "the change that was applied")
    assert told[-1]["payload"]["changes"] == ["sinks.log"]
    user.config.write_text(text + "\n[sinks.more]\ntyp = 1\n")
    daemon.send_signal(signal.SIGHUP)
    (told,) = until(lambda: configs(tail, "refused"), "the change that was refused")
    assert "sinks.more: say what kind it is" in told["payload"]["changes"][0]
    status = json.loads(user.says("status", "--json"))
    assert status["health"] == "ok"
    (warning,) = [each for each in status["warnings"] if each["what"] == "config-refused"]
    assert "sinks.more: say what kind it is" in warning["text"]
    user.says("config", "check", code=os.EX_CONFIG)
    user.config.write_text(text)


def upgrade(user, daemon, wheel):
    """Stop the daemon, install a later version over it, and start that; return the process."""
    assert stop(daemon) == 0
    user.installed.upgrade(wheel)
    assert user.says("--version") == "kevmond 99.0.0\n"
    daemon = user.daemon()
    assert json.loads(user.says("status", "--json"))["daemon"]["version"] == "99.0.0"
    return daemon


def compare(user, tail):
    """Hold what the tail has shown against what the journal has."""
    seen = [event["seq"] for event in lines(tail)]
    told = user.says("history", "--all", "--json").splitlines()
    kept = sorted(json.loads(line)["seq"] for line in told)
    assert seen == [seq for seq in kept if seen[0] <= seq <= seen[-1]]


def configs(tail, state):
    """Return what a tail has shown of a file that was applied or refused."""
    events = [event for event in of_type(tail, "kevmond.config") if event["payload"]["file"]]
    return [event for event in events if event["payload"]["state"] == state]


def of_type(tail, kind):
    """Return the events of a type that a tail has shown so far."""
    return [event for event in lines(tail) if event["type"] == kind]

"""A daemon started as root that goes on as another user, for real."""

import json
import os
import pwd
import runpy
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from kevmond.api.client import ApiClient

ROOT = Path(__file__).parents[2]
until = runpy.run_path(str(Path(__file__).parent / "conftest.py"))["until"]
USER = "nobody"
LIBRARIES = os.pathsep.join([str(ROOT), *(path for path in sys.path if "site-packages" in path)])
CONFIG = """\
[daemon]
user = "{user}"
state_dir = "{state}"
[kernel]
source = "simulated"
[sinks.jsonl]
type = "jsonl"
path = "events.jsonl"
[sinks.hook]
type = "webhook"
url = "http://127.0.0.1:9/"
secret = "file:{secret}"
allow_http = true
allow_private = true
[sinks.stream]
type = "unix"
path = "events.sock"
"""


@pytest.fixture(scope="module")
def interpreter():
    """Find a Python that another user can run kevmond with; a private one cannot be used."""
    if os.geteuid() != 0:
        pytest.skip("only root can go on as another user")
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    for python in (sys.executable, f"/usr/bin/{version}", f"/usr/local/bin/{version}"):
        trial = [python, "-c", "import kevmond, aiohttp, email, pydantic, psutil, uvloop"]
        try:
            done = subprocess.run(
                trial,
                user=USER,
                group=pwd.getpwnam(USER).pw_gid,
                extra_groups=[],
                cwd="/",
                env={"PYTHONPATH": LIBRARIES, "PATH": os.defpath},
                capture_output=True,
                check=False,
            )
        except OSError:
            continue
        if done.returncode == 0:
            return python
    pytest.skip(f"{USER} can run no Python {version} with kevmond's libraries here")


@pytest.fixture
def place():
    """Make a folder that every user can get into."""
    path = Path(tempfile.mkdtemp(prefix="kevmond-", dir="/tmp"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


class Run:
    """`kevmond run` as root with daemon.user in its file."""

    def __init__(self, interpreter, place, user=USER):
        self.state = place / "state"
        self.config = place / "etc/kevmond.toml"
        self.config.parent.mkdir(exist_ok=True)
        self.secret = place / "etc/secret"
        self.secret.write_text("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n")
        os.chown(self.secret, 0, pwd.getpwnam(USER).pw_gid)
        self.secret.chmod(0o640)
        self.config.write_text(CONFIG.format(user=user, state=self.state, secret=self.secret))
        self._interpreter = interpreter
        self.process = None

    def start(self, *args):
        self.process = subprocess.Popen(
            [self._interpreter, "-m", "kevmond", "run", "-c", str(self.config), *args],
            cwd="/",
            env={"PYTHONPATH": LIBRARIES, "PATH": os.defpath, "HOME": "/root"},
            stderr=subprocess.PIPE,
            text=True,
        )
        return self

    def told(self):
        """Wait for the end; return the exit code and what was said."""
        _, errors = self.process.communicate(timeout=30)
        return self.process.returncode, errors

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.told()

    def wait_for(self, kind, count=1):
        """Wait until so many events of a kind are in the JSON lines file; return them."""
        file = self.state / "events.jsonl"

        def found():
            assert self.process.poll() is None, self.process.stderr.read()
            lines = file.read_bytes().split(b"\n")[:-1] if file.exists() else []
            events = [json.loads(line) for line in lines]
            return len(of := [e for e in events if e["type"] == kind]) >= count and of

        return until(found, f"{count} x {kind}")

    def ids(self):
        """User, group and further groups of every thread, as the kernel has them."""
        facts = set()
        for thread in Path(f"/proc/{self.process.pid}/task").iterdir():
            lines = dict(
                line.split(":", 1) for line in (thread / "status").read_text().splitlines()
            )
            facts.add(tuple(lines[key].strip() for key in ("Uid", "Gid", "Groups", "CapEff")))
        return facts

    def files(self):
        """Owner and mode of everything in the state folder."""
        found = {}
        for path in (self.state, *self.state.rglob("*")):
            about = path.lstat()
            name = str(path.relative_to(self.state))
            found[name] = (about.st_uid, stat.S_IMODE(about.st_mode))
        return found


@pytest.fixture
def run(interpreter, place):
    """Make runs; what still runs at the end is killed."""
    runs = []

    def make(**more):
        runs.append(Run(interpreter, place, **more))
        return runs[-1]

    yield make
    for each in runs:
        if each.process is not None:
            if each.process.poll() is None:
                each.process.kill()
            each.process.communicate()


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells the ids")
def test_root_is_given_up(run):
    """User, groups and capabilities of every thread are the user's, and so is every file."""
    daemon = run().start()
    daemon.wait_for("kevmond.start")
    socket = daemon.state / "kevmond.sock"
    until(socket.exists, "the API's socket")
    client = ApiClient(socket)
    client.ask(
        "POST", "webhooks", body={"settings": {"url": "https://x.example/"}, "generate": True}
    )
    user = pwd.getpwnam(USER)
    uid, gid = (f"{number}\t" * 4 for number in (user.pw_uid, user.pw_gid))
    groups = " ".join(map(str, os.getgrouplist(USER, user.pw_gid)))
    assert daemon.ids() == {(uid.strip(), gid.strip(), groups, "0" * 16)}
    files = daemon.files()
    assert {owner for owner, _ in files.values()} == {user.pw_uid}
    assert {"journal.sqlite", "events.jsonl", "kevmond.sock", "secrets"} <= set(files)
    code, errors = daemon.stop()
    assert code == 0, errors


def test_a_reload_works_without_root(run):
    """SIGHUP reads configuration and secret as the user; no key counts as changed."""
    daemon = run().start()
    daemon.wait_for("kevmond.start")
    daemon.process.send_signal(signal.SIGHUP)
    (event,) = daemon.wait_for("kevmond.config")
    assert event["payload"]["state"] == "applied"
    assert event["payload"]["changes"] == []
    daemon.config.write_text(daemon.config.read_text().replace(USER, "root"))
    daemon.process.send_signal(signal.SIGHUP)
    late = daemon.wait_for("kevmond.config", 3)[2]["payload"]
    assert (late["state"], late["changes"]) == ("needs-restart", ["daemon.user"])
    code, errors = daemon.stop()
    assert code == 0, errors


def test_what_root_s_daemon_left_is_taken_over(run):
    """After a run as root the user goes on with its journal: the same stream, nothing missed."""
    before = run(user="root").start()
    before.wait_for("kevmond.start")
    assert before.stop()[0] == 0
    assert {owner for owner, _ in before.files().values()} == {0}
    after = run().start()
    first, second = after.wait_for("kevmond.start", 2)
    assert second["seq"] > first["seq"]
    assert {owner for owner, _ in after.files().values()} == {pwd.getpwnam(USER).pw_uid}
    code, errors = after.stop()
    assert code == 0, errors
    assert not list(after.state.glob("*set-aside*"))


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("config", "daemon.user: nobody cannot read this file, and has to at every reload"),
        ("secret", "sinks.hook.secret.0: nobody (daemon.user) cannot read"),
    ],
)
def test_what_only_root_can_read_is_refused_at_the_start(run, what, told):
    """Not at the first reload, days later: exit code 78 and the command that helps."""
    daemon = run()
    getattr(daemon, what).chmod(0o600)
    code, errors = daemon.start().told()
    assert code == os.EX_CONFIG
    assert errors.startswith(f"kevmond: {daemon.config}: ")
    assert told in errors
    assert "sudo ch" in errors


def test_a_state_folder_out_of_reach_is_refused_at_the_start(run, place):
    """A folder above that lets nobody through is told as that."""
    (place / "shut").mkdir(mode=0o700)
    code, errors = run().start("--state-dir", str(place / "shut/state")).told()
    assert code == os.EX_CONFIG
    assert f"daemon.state_dir: {USER} cannot get into {place}/shut/state" in errors

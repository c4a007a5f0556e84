"""What a running daemon leaves on the disk is for its user alone, whatever the umask."""

import runpy
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from kevmond.api.client import ApiClient

until = runpy.run_path(str(Path(__file__).parent / "conftest.py"))["until"]

SINKS = """\
[kernel]
source = "simulated"
speed = 20
[sinks.jsonl]
type = "jsonl"
path = "events.jsonl"
max_bytes = 8192
[sinks.plain]
type = "jsonl"
path = "logs/plain.jsonl"
[sinks.stream]
type = "unix"
path = "events.sock"
[sinks.script]
type = "exec"
command = ["/bin/sh", "-c", "umask > umask.$$; mv umask.$$ umask"]
filter = [{ type = "kevmond.start" }]
cwd = "."
"""


@pytest.mark.parametrize("umask", [0o000, 0o022])
def test_files_are_private(daemon, tmp_path, umask):
    """Journal, its helpers, event files, rotated ones, secrets, sockets: 0600; folders: 0700."""
    config = tmp_path / "kevmond.toml"
    config.write_text(SINKS)
    running = daemon("-c", str(config), umask=umask)
    running.wait_for("kevmond.start")
    socket = running.state / "kevmond.sock"
    until(socket.exists, "the API's socket")
    client = ApiClient(socket)
    client.ask(
        "POST", "webhooks", body={"settings": {"url": "https://x.example"}, "generate": True}
    )
    wanted = {
        "journal.sqlite", "journal.sqlite-wal", "journal.sqlite-shm", "journal.sqlite.lock",
        "events.jsonl", ".events.jsonl.lock", "logs", "logs/plain.jsonl", "events.sock",
        "kevmond.sock", "secrets", "webhooks.json", "umask",
    }  # fmt: skip

    def all_there():
        names = {str(path.relative_to(running.state)) for path in running.state.rglob("*")}
        rotated = [name for name in names if name.startswith("events-") and name.endswith(".gz")]
        return wanted <= names and rotated

    until(all_there, "all of a daemon's files")
    modes = {}
    for path in (running.state, *running.state.rglob("*")):
        found = path.lstat().st_mode
        private = 0o700 if stat.S_ISDIR(found) else 0o600
        if stat.S_IMODE(found) != private:
            modes[str(path.relative_to(running.state))] = oct(stat.S_IMODE(found))
    assert modes == {}
    assert (running.state / "umask").read_text().strip() == "0077"
    assert running.stop() == 0


def test_recordings_and_simulated_kernels_are_private(kernel, tmp_path):
    """What the other commands write holds the same events, so it is as private."""
    assert stat.S_IMODE(kernel.path.stat().st_mode) == 0o600
    recorder = subprocess.Popen(
        [sys.executable, "-m", "kevmond", "record", "events.jsonl", "--kernel",
         f"simulated:{kernel.path}", "--count", "1"],
        cwd=tmp_path, stderr=subprocess.PIPE, umask=0,
    )  # fmt: skip
    while recorder.poll() is None:
        kernel.post(1, 1, 2, 13, bytes(24))
        try:
            recorder.wait(0.05)
        except subprocess.TimeoutExpired:
            continue
    assert recorder.returncode == 0, recorder.stderr.read()
    recorder.stderr.close()
    assert stat.S_IMODE((tmp_path / "events.jsonl").stat().st_mode) == 0o600

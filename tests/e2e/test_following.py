"""`kevmond tail` on a running daemon: nothing missed and nothing twice, whatever happens to it."""

import json
import signal
import subprocess
import sys
import time

import pytest

PATIENCE = 30
CONFIG = """\
[kernel]
source = "simulated:{kernel}"
[capture]
snapshot = false
[sinks.jsonl]
type = "jsonl"
path = "events.jsonl"
{more}
"""


def link(number):
    """Make a link event of an interface with this number."""
    return (1, 1, 2, 13, b"\x02\0\0\0" + number.to_bytes(4, "little") + b"en".ljust(16, b"\0"))


@pytest.fixture
def running(daemon, kernel, place, tmp_path):
    """Run a daemon with a configuration file, in the same place each time."""
    path = tmp_path / "kevmond.toml"

    def rewrite(more=""):
        path.write_text(CONFIG.format(kernel=kernel.path, more=more))

    def start():
        started = daemon("-c", str(path), state=place)
        starts.append(started)
        started.wait_for("kevmond.start", len(starts))
        return started

    starts = []
    start.rewrite = rewrite
    rewrite()
    return start


class Tail:
    """`kevmond tail --json` in a process of its own, its output going into files."""

    def __init__(self, place, folder, *args):
        self.out, self.err = folder / "tail.out", folder / "tail.err"
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "kevmond", "tail", "--json", "--state-dir", place, *args],
                stdout=out,
                stderr=err,
            )

    def events(self, kind=""):
        """Return what was printed so far, whole lines only."""
        lines = self.out.read_bytes().split(b"\n")[:-1]
        return [event for line in lines if (event := json.loads(line))["type"].startswith(kind)]

    def wait_for(self, kind, count=1):
        """Wait until so many of a kind are printed, and return them."""
        return wait(lambda: found if len(found := self.events(kind)) >= count else None)

    def wait_to_hear(self, text):
        """Wait until something is said on stderr."""
        return wait(lambda: text in self.err.read_text())


def wait(condition):
    """Wait for what other processes do."""
    end = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < end
        time.sleep(0.01)
    return found


@pytest.fixture
def tail(place, tmp_path):
    """Start `kevmond tail ARGS...`."""
    started = []

    def start(*args):
        started.append(Tail(str(place), tmp_path, *args))
        return started[-1]

    yield start
    for each in started:
        each.process.kill()
        each.process.wait(PATIENCE)


def seqs(events):
    """Return the positions of events."""
    return [event["seq"] for event in events]


def test_killed_and_restarted_daemon_is_followed_without_a_gap(running, tail, kernel):
    """Over kill -9 in the middle of a burst, every event of the journal comes, and comes once."""
    first = running()
    following = tail("--after", "0")
    for number in range(200):
        kernel.post(*link(number))
    following.wait_for("network.dl.link-on", 50)
    first.stop(signal.SIGKILL)
    following.wait_to_hear("waiting for it to come back")
    for number in range(200, 220):  # nobody reads these: their loss is told by the next run
        kernel.post(*link(number))
    second = running()
    for number in range(220, 300):
        kernel.post(*link(number))
    events = wait(lambda: shown if last_of(shown := following.events()) == 299 else None)
    kept = {event["id"]: event["seq"] for event in second.events()}
    assert len({event["id"] for event in events}) == len(events)
    assert seqs(events) == sorted(set(seqs(events)))
    journal = history(second.state)
    assert [event["id"] for event in events] == [event["id"] for event in journal[: len(events)]]
    assert set(kept) <= {event["id"] for event in journal}
    following.wait_to_hear("nothing was missed")
    assert following.err.read_text().splitlines() == [
        "kevmond: the daemon is gone; waiting for it to come back",
        "kevmond: the daemon is back",
        "kevmond: nothing was missed of what its journal has",
    ]


def last_of(events):
    """Return the number of the interface of the last event."""
    name = events[-1]["interface"] if events else None
    return int(name[2:]) if name and name.startswith("en") else None


def history(state):
    """Return all that `kevmond history` has."""
    words = ["history", "--all", "--json", "--state-dir", str(state)]
    done = subprocess.run(
        [sys.executable, "-m", "kevmond", *words], capture_output=True, check=True, timeout=60
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_stopped_and_restarted_daemon_is_followed(running, tail, kernel):
    """A daemon that stops as it should says goodbye; its stop and the next start are shown."""
    first = running()
    following = tail("--after", "0")
    kernel.post(*link(1))
    following.wait_for("network.dl.link-on")
    assert first.stop() == 0
    running()
    following.wait_for("kevmond.start", 2)
    shown = following.events()
    assert seqs(shown) == list(range(1, len(shown) + 1))
    assert "kevmond.stop" in {event["type"] for event in shown}
    assert following.err.read_text().startswith("kevmond: the daemon says goodbye: stopping; ")


def test_reload_and_rotation_do_not_touch_it(running, tail, kernel):
    """SIGHUP, with a good configuration and a bad one, is shown as the event that it is."""
    started = running()
    following = tail("--after", "0")
    kernel.post(*link(1))
    following.wait_for("network.dl.link-on")
    running.rewrite('max_bytes = "64KiB"\n')
    started.send(signal.SIGHUP)
    following.wait_for("kevmond.config", 1)
    running.rewrite("nonsense = 1\n")
    started.send(signal.SIGHUP)
    following.wait_for("kevmond.config", 2)
    for number in range(300):
        kernel.post(*link(number))
    following.wait_for("network.dl.link-on", 301)
    shown = following.events()
    assert seqs(shown) == list(range(1, len(shown) + 1))
    assert following.err.read_text() == ""
    assert following.process.poll() is None


def test_filter_goes_on_where_it_was(running, tail, kernel):
    """What does not fit moves the cursor as well, and a restart does not show it anew."""
    first = running()
    following = tail("--after", "0", "--type", "network.*", "interface=en7")
    for number in (7, 1, 2, 3):
        kernel.post(*link(number))
    following.wait_for("network.dl.link-on")
    first.stop(signal.SIGKILL)
    following.wait_to_hear("waiting for it to come back")
    running()
    following.wait_to_hear("nothing was missed")
    kernel.post(*link(7))
    following.wait_for("network.dl.link-on", 2)
    assert {event["interface"] for event in following.events()} == {"en7"}
    assert len(following.events()) == 2


@pytest.mark.parametrize("begin", [(), ("--since", "1h"), ("--after", "0")])
def test_waits_for_a_daemon_that_does_not_run_yet(running, tail, kernel, begin):
    """With --wait it may be started first, and shows that daemon's events from its start on."""
    following = tail("--wait", *begin)
    following.wait_to_hear("no daemon runs here")
    running()
    kernel.post(*link(1))
    following.wait_for("network.dl.link-on")
    assert seqs(following.events()) == [1, 2]
    assert following.err.read_text().endswith("waiting for one\nkevmond: a daemon is there\n")


def test_ctrl_c_ends_the_wait(running, tail):
    """Waiting for a daemon is ended as following one is, with where to go on."""
    started = running()
    following = tail("--after", "0")
    following.wait_for("kevmond.start")
    started.stop(signal.SIGKILL)
    following.wait_to_hear("waiting for it to come back")
    following.process.send_signal(signal.SIGINT)
    assert following.process.wait(PATIENCE) == 130
    assert following.err.read_text().endswith("kevmond: to go on from here: --after 1\n")


@pytest.mark.parametrize("words", ["tail --no-follow", "history --all", "state", "explain 1"])
@pytest.mark.parametrize("closing", [">&-", "2>&-", ">&- 2>&-"])
def test_closed_output_does_no_harm(running, place, words, closing):
    """Whatever a shell closes, there is no traceback and no failure."""
    running()
    done = subprocess.run(
        f"{sys.executable} -m kevmond {words} --state-dir {place} {closing}",
        shell=True, capture_output=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")
    assert bool(done.stdout) == (closing == "2>&-")


def test_pipe_into_head_is_over_when_head_is(running, kernel, place):
    """`kevmond tail | head -1` prints a line and ends with 0, though nothing more happens."""
    running()
    kernel.post(*link(1))
    command = f"{sys.executable} -m kevmond tail --after 0 --state-dir {place} | head -1"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 1

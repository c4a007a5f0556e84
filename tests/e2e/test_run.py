"""The daemon from the kernel to its files, as its users run it."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

CAPTURE = Path(__file__).parents[1] / "captures/xnu-7195-events.jsonl"
LINK_ON = (1, 1, 2, 13, b"\x02\0\0\0\0\0\0\0en".ljust(24, b"\0"))
"""A KEV_DL_LINK_ON of en0."""
QUIET = ("--set", "capture.snapshot=false")
ONE_FILE = ("--set", "sinks.jsonl.max_bytes=0", "--set", "sinks.jsonl.total_bytes=0")


def test_run_begins_and_ends_with_its_own_records(daemon):
    """A run is framed by kevmond.start and kevmond.stop, and SIGTERM ends it with code 0."""
    running = daemon("--kernel", "simulated", "--story", "cable")
    running.wait_for("network.dl.link-off")
    assert running.stop() == 0
    types = [event["type"] for event in running.events()]
    assert types[0] == "kevmond.start"
    assert types[-1] == "kevmond.stop"
    assert running.events("kevmond.stop")[0]["payload"]["reason"] == "SIGTERM"


def test_console_shows_events_at_once(daemon):
    """The log sink writes a readable line for each event to stderr."""
    running = daemon("--kernel", "simulated", "--story", "cable")
    running.wait_for("network.dl.link-off")
    running.stop(signal.SIGINT)
    text = running.errors.read_text()
    assert "network.dl.link-off" in text
    assert "en0" in text
    assert "Traceback" not in text


def test_capture_from_xnu_decodes_in_full(daemon):
    """Every record that XNU's own code delivered comes out of the daemon decoded."""
    running = daemon("--kernel", f"replay:{CAPTURE}", *QUIET)
    assert running.process.wait(30) == 0
    events = [event for event in running.events() if event["kernel_id"] is not None]
    lines = [json.loads(line) for line in CAPTURE.read_text().splitlines()]
    assert [event["raw"] for event in events] == [line["hex"] for line in lines]
    assert {e["decode"] for e in events if e["vendor"] == 1} == {"full"}
    assert {e["decode"] for e in events if e["vendor"] != 1} == {"unknown"}


def test_sequence_has_no_holes(daemon):
    """Journal positions in the file count up by one."""
    running = daemon("--kernel", f"replay:{CAPTURE}", *QUIET)
    running.process.wait(30)
    positions = [event["seq"] for event in running.events()]
    assert positions == list(range(1, len(positions) + 1))


def test_served_kernel_feeds_the_daemon(daemon, kernel):
    """What is posted to a kernel in another process reaches the file, whole."""
    running = daemon("--kernel", f"simulated:{kernel.path}", *QUIET)
    running.wait_for("kevmond.start")
    posted = kernel.post(*LINK_ON)
    (event,) = running.wait_for("network.dl.link-on")
    assert event["kernel_id"] == posted
    assert (event["interface"], event["decode"]) == ("en0", "full")


def test_burst_within_the_buffer_loses_nothing(daemon, kernel):
    """30,000 link events posted back to back are all there, in order."""
    running = daemon("--kernel", f"simulated:{kernel.path}", *QUIET, *ONE_FILE)
    running.wait_for("kevmond.start")
    kernel.post(*LINK_ON, times=30_000)
    events = running.wait_for("network.dl.link-on", 30_000)
    first = events[0]["kernel_id"]
    assert [event["kernel_id"] for event in events] == list(range(first, first + 30_000))
    assert running.events("kevmond.loss") == []


SMALL = ("--set", "capture.receive_space=32KiB")
LINKS_ONLY = (
    "--set",
    'sinks.jsonl.filter=[{ subclass = "dl" }]',
    "--set",
    "sinks.log.enabled=false",
)


@pytest.mark.parametrize("through", ["served", "shim"])
@pytest.mark.parametrize(
    ("filters", "proof"), [((), {"id-gap", "tail"}), (LINKS_ONLY, {"socket-counter"})]
)
def test_overflow_is_counted_to_the_last_event(request, daemon, kernel, through, filters, proof):
    """Of a burst that overflows the buffer, delivered and lost together are what was posted.

    Ids prove it with an open kernel filter, the socket's own drop counter with a narrower one.
    """
    source, environment = f"simulated:{kernel.path}", None
    if through == "shim":
        source = "darwin"
        environment = request.getfixturevalue("kevshim_environment")(kernel.path)
    args = ("--kernel", source, *QUIET, *ONE_FILE, *SMALL, *filters)
    running = daemon(*args, environment=environment)
    running.wait_for("kevmond.start")
    running.send(signal.SIGSTOP)
    kernel.post(*LINK_ON, times=20_000)
    running.send(signal.SIGCONT)
    running.wait_for("kevmond.loss")
    assert running.stop() == 0
    delivered = len(running.events("network.dl.link-on"))
    losses = [event["payload"] for event in running.events("kevmond.loss")]
    lost = sum(loss["lost"] for loss in losses)
    assert lost > 0
    assert delivered + lost == 20_000
    assert {loss["source"] for loss in losses} <= proof


def test_kill_9_loses_no_line_and_repeats_none(daemon, kernel):
    """After kill -9 the file goes on where it stopped: every event once, every line whole."""
    args = ("--kernel", f"simulated:{kernel.path}", *QUIET)
    first = daemon(*args)
    first.wait_for("kevmond.start")
    kernel.post(*LINK_ON, times=5_000)
    first.wait_for("network.dl.link-on", 500)
    assert first.stop(signal.SIGKILL) == -signal.SIGKILL
    second = daemon(*args)
    second.wait_for("kevmond.start", 2)
    second.wait_for("kevmond.missed")
    assert second.stop() == 0
    positions = [event["seq"] for event in second.events()]
    assert positions == sorted(set(positions))
    events = second.events("network.dl.link-on")
    missed = second.events("kevmond.missed")[0]["payload"]["count"]
    assert len(events) + missed == 5_000
    assert len({event["id"] for event in events}) == len(events)


def test_events_missed_while_down_are_stated(daemon, kernel):
    """The next run says how many events were posted while no daemon ran."""
    args = ("--kernel", f"simulated:{kernel.path}", *QUIET)
    first = daemon(*args)
    kernel.post(*LINK_ON)
    first.wait_for("kevmond.start")
    first.stop()
    kernel.post(*LINK_ON, times=7)
    second = daemon(*args)
    (event,) = second.wait_for("kevmond.missed")
    assert event["payload"]["count"] >= 7
    assert second.stop() == 0


def test_same_event_has_the_same_id_in_every_replay(daemon):
    """Two replays of a recording into two journals give equal ids."""
    ids = []
    for state in ("one", "two"):
        running = daemon("--kernel", f"replay:{CAPTURE}", *QUIET, state=state)
        running.process.wait(30)
        ids.append([e["id"] for e in running.events() if e["kernel_id"] is not None])
    assert ids[0] == ids[1]
    assert len(set(ids[0])) == len(ids[0])


def test_darwin_code_runs_end_to_end_through_the_shim(daemon, kernel, kevshim_environment):
    """The code that ships for the Mac reads events through interposed libc calls."""
    running = daemon("--kernel", "darwin", *QUIET, environment=kevshim_environment(kernel.path))
    (start,) = running.wait_for("kevmond.start")
    kernel.post(*LINK_ON, times=300)
    running.wait_for("network.dl.link-on", 300)
    assert running.stop() == 0
    assert start["payload"]["kernel"] == "darwin"
    assert start["payload"]["receive_space"] == 7_456_540
    assert running.events("kevmond.loss") == []


def test_darwin_kernel_without_pf_system_says_so(daemon):
    """Where there are no such sockets the daemon ends at once and says what to do instead."""
    if sys.platform == "darwin":
        pytest.skip("this is the system that has them")
    running = daemon("--kernel", "darwin")
    assert running.process.wait(30) == 69
    text = running.errors.read_text()
    assert "simulated" in text
    assert "Traceback" not in text


def test_bad_configuration_never_starts(tmp_path):
    """A mistake in the file ends the start with exit code 78 and names the key."""
    path = tmp_path / "kevmond.toml"
    path.write_text("[capture]\nrecieve_space = 1\n")
    done = subprocess.run(
        [sys.executable, "-m", "kevmond", "run", "-c", str(path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == 78
    assert done.stderr == (
        f"kevmond: {path}: capture.recieve_space: unknown key; did you mean receive_space?\n"
    )


def test_second_daemon_on_the_same_journal_is_refused(daemon):
    """Two daemons never share a journal: the second says who has it."""
    first = daemon("--kernel", "simulated")
    first.wait_for("kevmond.start")
    second = daemon("--kernel", "simulated")
    assert second.process.wait(30) == 73
    assert str(first.process.pid) in second.errors.read_text()
    assert first.stop() == 0


def test_unknown_story_begins_no_run(daemon):
    """A story that does not exist ends the start before anything is said in the stream."""
    running = daemon("--kernel", "simulated", "--story", "cabel")
    assert running.process.wait(30) == 65
    assert "did you mean 'cable'?" in running.errors.read_text()
    assert running.events() == []

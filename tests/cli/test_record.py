"""`kevmond record`: messages into a file, and what was lost."""

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from kevmond import stories
from kevmond.cli.record import Recorder
from kevmond.errors import KernelGone
from kevmond.events.filters import EventFilter
from kevmond.kernel.recording import RecordingWriter, read_recording
from kevmond.kernel.simulated.model import SimulatedKernel
from kevmond.kernel.simulated.served import KernelServer

CAPTURE = Path(__file__).parents[1] / "captures" / "xnu-7195-events.jsonl"


class Listening:
    """A simulated kernel that does something as soon as its socket listens."""

    name = "simulated"

    def __init__(self, kernel, then):
        self.kernel = kernel
        self.then = then

    def open_event_socket(self, space):
        socket = self.kernel.open_event_socket(space)
        dropped = socket.dropped

        def counted():  # asked for as soon as the socket listens
            then, self.then = self.then, lambda _: None
            before = dropped()
            then(self.kernel)
            return before

        socket.dropped = counted
        return socket

    def identity(self):
        return self.kernel.identity()

    def statistics(self):
        return self.kernel.statistics()


def post(count, subclass=2):
    """Post link-on so many times."""

    def then(kernel):
        for _ in range(count):
            kernel.post(1, 1, subclass, 13, b"\0" * 24)

    return then


async def until(true):
    """Wait for what another process does."""
    while not true():  # noqa: ASYNC110 - it cannot tell
        await asyncio.sleep(0.01)


def record(tmp_path, kernel, *rules, limit_s=0.05, **more):
    """Record for a moment; what stands in the file, and the report."""
    path = tmp_path / "r.jsonl"
    with RecordingWriter(path) as writer:
        recorder = Recorder(kernel, writer, EventFilter(rules), **more)
        try:
            recorder.run(limit_s)
        finally:
            report = recorder.report()
            recorder.close()
    return list(read_recording(path)), report.replace(str(path), "FILE")


def test_what_is_posted_is_recorded(tmp_path):
    """Messages as they were read, the time, boot and release of each."""
    kernel = SimulatedKernel(boot_id="b", os_release="24.4.0", os_build="24E248")
    found, report = record(tmp_path, Listening(kernel, post(1500)))
    assert [int.from_bytes(one.raw[16:20], "little") for one in found] == list(range(1, 1501))
    assert {(one.boot_id, one.os_release, one.os_build) for one in found} == {
        ("b", "24.4.0", "24E248")
    }
    assert all(one.wall_ns for one in found)
    assert report == "wrote 1500 events to FILE; 1500 posted to us, 1500 read, none lost"


def test_events_before_it_began_are_not_missed(tmp_path):
    """The account begins when the filter is set."""
    kernel = SimulatedKernel()
    post(10)(kernel)
    _, report = record(tmp_path, Listening(kernel, post(1)))
    assert report == "wrote 1 event to FILE; 1 posted to us, 1 read, none lost"


def test_a_loss_at_the_end_of_a_burst_is_counted(tmp_path):
    """Read and lost add up to posted, exactly, though no later message shows the gap."""
    found, report = record(tmp_path, Listening(SimulatedKernel(), post(40_000)))
    assert len(found) == 32768
    assert report == (
        "wrote 32768 events to FILE; 40000 posted to us, 32768 read, 7232 lost:"
        " it came faster than it could be read"
    )


def test_a_filter_records_less(tmp_path):
    """The kernel sends what its narrowest filter passes, the rest of the rule is done here."""

    def both(kernel):
        asyncio.run(stories.play(stories.load("dhcp"), kernel, speed=float("inf")))

    rule = "class=network subclass=dl code=link-*"
    found, report = record(tmp_path, Listening(SimulatedKernel(), both), rule)
    assert [one.raw[20] for one in found] == [13, 12]
    assert report.startswith("wrote 2 events to FILE; ")
    assert report.endswith(" none lost")


def test_losses_behind_a_filter_are_those_of_the_socket(tmp_path):
    """With a kernel filter ids prove nothing, but the socket's own counter does."""
    found, report = record(tmp_path, Listening(SimulatedKernel(), post(33_000)), "subclass=dl")
    assert (len(found), "232 lost" in report) == (32768, True)


def test_a_third_party_is_recorded_by_its_name(tmp_path):
    """The kernel is asked for the code that a rule's vendor has."""
    kernel = SimulatedKernel()
    kernel.vendor_code_find("com.example")

    def then(kernel):
        post(3)(kernel)
        kernel.kext_post(1001, 1, 2, 3, b"x")

    found, _ = record(tmp_path, Listening(kernel, then), "vendor=com.example")
    assert [one.raw[4:8] for one in found] == [(1001).to_bytes(4, "little")]


def test_it_stops_after_a_number_of_events(tmp_path):
    """What waits beyond the number is not lost: it was not wanted."""
    found, report = record(tmp_path, Listening(SimulatedKernel(), post(30)), limit_s=None, count=7)
    assert len(found) == 7
    assert report == "wrote 7 events to FILE; 7 posted to us, 7 read, none lost"


def test_a_kernel_that_goes_away_is_told_after_what_was_read(tmp_path):
    """What came before is in the file."""
    kernel = SimulatedKernel()

    class Rebooting(RecordingWriter):
        def write(self, messages, identity):
            super().write(messages, identity)
            if self.count == 3:
                kernel.reboot()

    path = tmp_path / "r.jsonl"
    with Rebooting(path) as writer:
        recorder = Recorder(Listening(kernel, post(3)), writer, EventFilter())
        with pytest.raises(KernelGone):
            recorder.run()
        assert "wrote 3 events" in recorder.report()
        recorder.close()
    assert len(list(read_recording(path))) == 3


def test_a_replay_is_recorded_to_its_end(kevmond, tmp_path):
    """A copy of a recording: the same bytes; ids that were taken out of it count as lost."""
    path = tmp_path / "copy.jsonl"
    result = kevmond("record", path, "--kernel", f"replay:{CAPTURE}")
    originals = [one.raw for one in read_recording(CAPTURE)]
    assert [one.raw for one in read_recording(path)] == originals
    assert result.code == 0
    missing = 209 - len(originals)
    assert f"209 posted to us, {len(originals)} read, {missing} lost" in result.err


def test_standard_output_takes_a_recording():
    """`-` writes lines to standard output and nothing else."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "kevmond", "record", "-"),
            *("--kernel", f"replay:{CAPTURE}", "--count", "3"),
        ],
        capture_output=True,
        check=True,
        timeout=60,
    )
    lines = done.stdout.splitlines()
    assert [len(bytes.fromhex(json.loads(line)["hex"])) for line in lines] == [32, 32, 48]
    assert done.stderr.startswith(b"kevmond: wrote 3 events to standard output; ")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_it_with_its_report(tmp_path, number):
    """Ctrl-C and a service manager's SIGTERM both end it well: exit code 0, all written."""
    kernel = SimulatedKernel()
    file = tmp_path / "r.jsonl"
    async with KernelServer(kernel, tmp_path / "k"):
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "kevmond", "record", file, "--kernel", f"simulated:{tmp_path / 'k'}"),
            stderr=subprocess.PIPE,
        )
        async with asyncio.timeout(30):
            await until(lambda: any(pcb.kernel_filter.is_open for pcb in kernel.pcbs))
            post(5)(kernel)
            await until(lambda: file.exists() and file.read_bytes().count(b"\n") == 5)
            process.send_signal(number)
            _, told = await process.communicate()
    assert process.returncode == 0
    assert told.decode() == (
        f"kevmond: wrote 5 events to {file}; 5 posted to us, 5 read, none lost\n"
    )


@pytest.mark.parametrize(
    ("args", "code", "why"),
    [
        (["r.jsonl", "--kernel", "simulated"], 2, "kevmond simulate --listen PATH"),
        (["r.jsonl", "--kernel", "sim"], 78, "there is no kernel 'sim'"),
        (["r.jsonl", "--kernel", "simulated:/nowhere/k"], 69, "simulate --listen /nowhere/k"),
        (["r.jsonl", "--kernel", "replay:/none"], 66, "/none: cannot be read: No such file"),
        (["/none/r.jsonl", "--kernel", f"replay:{CAPTURE}"], 74, "No such file or directory"),
        (["r.jsonl.gz", "--kernel", f"replay:{CAPTURE}"], 65, "name it without .gz"),
        (["r.jsonl", "--duration", "10x"], 2, "not a duration"),
        (["r.jsonl", "--count", "0"], 2, "--count"),
        (["r.jsonl", "--filter", "class=netwrk"], 2, "network"),
    ],
)
@pytest.mark.usefixtures("in_tmp")
def test_errors_tell_what_to_do(kevmond, args, code, why):
    """One line, an exit code of its own, no traceback."""
    result = kevmond("record", *args)
    assert (result.code, why in result.err) == (code, True), result.err
    assert "Traceback" not in result.err


def test_it_ends_after_a_time(kevmond, tmp_path):
    """`--duration` takes seconds or a unit."""
    path = tmp_path / "r.jsonl"
    for text in ("10ms", "0.01"):
        result = kevmond("record", path, "--kernel", f"replay:{CAPTURE}", "--duration", text)
        assert result.code == 0

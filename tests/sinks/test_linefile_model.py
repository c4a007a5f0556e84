"""The rotating file against a model, under everything that may happen to it."""

import contextlib
import gzip
import json
import os
import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from kevmond.errors import RetryableError
from kevmond.sinks.linefile import LineFile
from kevmond.sinks.rotation import Shelf
from kevmond.sinks.testing import FaultyFiles, record

RECORDS = [record(seq) for seq in range(1, 400)]
LINE = len(RECORDS[0].line)
FAULTS = st.one_of(
    st.sampled_from([["ENOSPC"], ["EIO"], ["EDQUOT"], ["EINTR"], ["EINTR", "ENOSPC"]]),
    st.builds(lambda taken: [taken, "ENOSPC"], st.integers(1, 3 * LINE)),
    st.builds(lambda taken: [taken, 1, "EINTR"], st.integers(1, 3 * LINE)),
)


def sequences(path):
    """Return the positions of the events in a file, all of whose lines must be whole JSON."""
    data = path.read_bytes()
    if path.suffix == ".gz":
        data = gzip.decompress(data)
    assert data.endswith(b"\n") or not data, f"{path.name} ends in the middle of a line"
    return [json.loads(line)["seq"] for line in data.splitlines()]


def whole_lines(path):
    """Return the positions of the events in a file that may end in the middle of a line."""
    return [json.loads(line)["seq"] for line in path.read_bytes().rpartition(b"\n")[0].splitlines()]


class RotatingFile(RuleBasedStateMachine):
    """Written, rotated, moved, deleted, cut, refused by a full disk, and killed."""

    def __init__(self):
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(prefix="kevmond-model-"))
        self.path = self.directory / "events.jsonl"
        self.written = 0
        self.offered = 0
        self.destroyed = set()
        self.moved = 0
        self.start()

    def start(self):
        """Open as a new process does and go on where the file says."""
        self.files = FaultyFiles()
        self.shelf = Shelf(
            self.path,
            files=self.files,
            mode=0o600,
            keep=10_000,
            total_bytes=0,
            compress=True,
            trouble=self.trouble,
        )
        self.file = LineFile(
            self.path,
            self.shelf,
            files=self.files,
            mode=0o600,
            directory_mode=0o700,
            max_bytes=4 * LINE,
            max_age=0.02,
            sync=False,
        )
        held = self.file.open()
        self.written = max(self.written, held or 0)
        self.offered = max(self.offered, self.written)

    def trouble(self, text):
        """Compression may meet a fault that was meant for the writer: the file stays as it is."""
        assert "stays uncompressed" in text

    def offer(self):
        """Hand over all that is offered and not yet written."""
        batch = RECORDS[self.written : self.offered]
        if batch:
            self.file.write(batch)
            self.written = self.offered
            assert sequences(self.path)[-1] == self.written, "written to another file"

    def cut_to(self, length):
        """Cut the file as somebody else might, and note what that destroys."""
        before = whole_lines(self.path)
        os.truncate(self.path, length)
        lost = set(before) - set(whole_lines(self.path))
        self.destroyed |= {seq for seq in lost if seq <= self.written}  # the others come again

    @rule(count=st.integers(1, 9))
    def write(self, count):
        """Write a batch."""
        self.offered = min(len(RECORDS), self.offered + count)
        self.offer()

    @rule(count=st.integers(1, 9), faults=FAULTS, stuck=st.booleans(), emptied=st.booleans())
    def write_refused(self, count, faults, stuck, emptied):
        """Let a batch meet faults; what it leaves behind perhaps cannot be cut off at once."""
        self.shelf.settle()
        self.offered = min(len(RECORDS), self.offered + count)
        self.files.fail("write", *faults)
        if stuck:
            self.files.fail("ftruncate", "EIO")
        with contextlib.suppress(RetryableError):
            self.offer()
        self.shelf.settle()
        self.files.heal()
        if emptied and self.path.exists():
            self.cut_to(0)
        self.offer()

    @rule(call=st.sampled_from(["open", "rename"]), faults=st.sampled_from(["EMFILE", "EACCES"]))
    def other_call_refused(self, call, faults):
        """Let opening or renaming fail once."""
        self.offered = min(len(RECORDS), self.offered + 5)
        self.shelf.settle()
        self.files.fail(call, faults)
        with contextlib.suppress(RetryableError):
            self.offer()
        self.files.heal()
        self.offer()

    @precondition(lambda self: self.path.exists())
    @rule(reopen=st.booleans(), create=st.booleans())
    def move(self, reopen, create):
        """Move the file away as somebody else, perhaps make a new one, perhaps send SIGHUP."""
        self.move_away()
        if create:
            self.path.touch()
        if reopen:
            self.file.reopen()

    def move_away(self):
        """Rename the file as logrotate would."""
        self.moved += 1
        self.path.rename(self.directory / f"events.jsonl.{self.moved}")

    @precondition(lambda self: self.path.exists())
    @rule()
    def copy_and_truncate(self):
        """Copy the file as somebody else, and empty it."""
        self.moved += 1
        shutil.copyfile(self.path, self.directory / f"events.jsonl.{self.moved}")
        os.truncate(self.path, 0)

    @precondition(lambda self: self.path.exists())
    @rule()
    def delete(self):
        """Delete the file as somebody else, and its events with it."""
        self.destroyed |= set(sequences(self.path))
        self.path.unlink()

    @precondition(lambda self: self.path.exists())
    @rule(part=st.floats(0, 1))
    def cut(self, part):
        """Cut the file as somebody else, wherever that falls."""
        self.cut_to(int(self.path.stat().st_size * part))
        self.offered = min(len(RECORDS), self.offered + 1)
        self.offer()

    @rule()
    def reopen(self):
        """Send SIGHUP for no reason."""
        self.file.reopen()

    @rule(
        torn=st.integers(0, 4 * LINE),
        moment=st.sampled_from(["write", "acknowledge", "moved", "rotate", "gzip"]),
    )
    def kill(self, torn, moment):
        """Kill the process at one of its worst moments, and start it again."""
        self.offered = min(len(RECORDS), self.offered + 3)
        batch = RECORDS[self.written : self.offered]
        if moment != "write" and batch:
            self.file.write(batch)  # and never acknowledged
        self.shelf.settle()
        if moment == "moved" and self.path.exists():
            self.move_away()
        if moment == "rotate" and self.path.exists() and self.path.stat().st_size:
            self.shelf.rotate(sequences(self.path)[-1], batch[-1].wall_ns if batch else 0)
        self.shelf.close()
        if moment == "gzip":
            for packed in self.directory.glob("*.gz"):
                packed.with_suffix("").write_bytes(gzip.decompress(packed.read_bytes()))
                packed.with_name(f".{packed.name}.tmp").write_bytes(packed.read_bytes()[:50])
        for fd in (self.file._fd, self.file._lock.fd):
            if fd is not None:
                os.close(fd)
        if moment == "write" and self.path.exists():
            with self.path.open("ab") as file:
                file.write(b"".join(one.line + b"\n" for one in batch)[:torn])
        self.start()

    @rule()
    def stop_and_start(self):
        """Stop the daemon in order and start it again."""
        self.file.close()
        self.start()

    @invariant()
    def every_event_is_there_once(self):
        """Find every event that was written and not destroyed, once, over all files."""
        self.shelf.settle()
        found = []
        for path in self.directory.iterdir():
            if not path.name.startswith("."):
                found += sequences(path)
        assert len(found) == len(set(found)), "an event is there twice"
        assert set(found) == set(range(1, self.written + 1)) - self.destroyed

    def teardown(self):
        """Leave nothing behind."""
        self.file.close()
        shutil.rmtree(self.directory)


class TestRotatingFile(RotatingFile.TestCase):
    """Whatever happens, every line is whole and every event is there once."""

    settings = settings(
        max_examples=60,
        stateful_step_count=30,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )

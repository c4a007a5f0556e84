"""The jsonl sink: what is in its files, whatever happens around them."""

import asyncio
import contextlib
import errno
import fcntl
import gzip
import json
import os
import resource
import signal
import stat
import subprocess
import sys

import pytest
from pydantic import ValidationError

from kevmond.errors import RetryableError
from kevmond.sinks.jsonl import JsonlSink
from kevmond.sinks.testing import FaultyFiles, odd_records, record, records

LINE = len(record(1).line) + 1


def sequences(path):
    """Return the positions in a file; every line must be whole JSON."""
    data = path.read_bytes()
    if path.suffix == ".gz":
        data = gzip.decompress(data)
    assert data.endswith(b"\n") or not data
    return [json.loads(line)["seq"] for line in data.splitlines()]


def everything(directory):
    """Return the positions in all event files, in order of the files' names."""
    return sorted(seq for path in directory.glob("events*") for seq in sequences(path))


@pytest.fixture
def path(tmp_path):
    """Return the path of the file."""
    return tmp_path / "events.jsonl"


@pytest.fixture
async def sink(path):
    """Return a function that makes and opens a sink; all are closed afterwards."""
    async with contextlib.AsyncExitStack() as stack:

        async def make(files=None, **settings):
            settings = {"path": path, "compress": False, **settings}
            made = JsonlSink("test", JsonlSink.Settings(**settings), files=files)
            stack.push_async_callback(made.aclose)
            made.held = await made.open()
            return made

        yield make


async def test_line_is_the_events_stable_json(sink, path):
    """Each line is exactly the JSON that every sink shares."""
    batch = [*records(1, 3), *odd_records(4)]
    await (await sink()).write(batch)
    assert path.read_bytes() == b"".join(one.line + b"\n" for one in batch)


async def test_file_and_folder_are_private(sink, tmp_path):
    """The file is made with mode 0600 and a missing folder with 0700, whatever the umask."""
    before = os.umask(0)
    try:
        await sink(path=tmp_path / "a/b/events.jsonl")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a/b").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "a/b/events.jsonl").stat().st_mode) == 0o600


async def test_mode_is_a_setting(sink, path):
    """Another mode holds though the umask would take some of it, and for a file found there too."""
    path.touch(0o600)
    await sink(mode="0644")
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


async def test_one_batch_is_one_write(sink, path):
    """A batch goes out by a single write."""
    files = FaultyFiles()
    made = await sink(files=files)
    files.fail("write", "", "EIO")
    await made.write(records(1, 200))
    assert sequences(path) == list(range(1, 201))


@pytest.mark.parametrize("symbol", ["ENOSPC", "EIO", "EDQUOT", "EFBIG"])
@pytest.mark.parametrize("taken", [None, 1, LINE, LINE + 1, 2 * LINE - 1])
async def test_failed_write_leaves_nothing_and_names_the_error(sink, path, symbol, taken):
    """After a short write and an error the file ends where it ended before; the error is named."""
    files = FaultyFiles()
    made = await sink(files=files)
    await made.write(records(1, 2))
    files.fail("write", *([] if taken is None else [taken]), symbol)
    with pytest.raises(RetryableError, match=rf"{path}: {2 * LINE} bytes cannot be .*: {symbol}"):
        await made.write(records(3, 4))
    assert sequences(path) == [1, 2]
    await made.write(records(3, 4))
    assert sequences(path) == [1, 2, 3, 4]


async def test_torn_line_that_cannot_be_cut_off_is_not_written_behind(sink, path):
    """While a torn line cannot be cut off nothing more is written; then all is whole again."""
    files = FaultyFiles()
    made = await sink(files=files)
    files.fail("write", 10, "ENOSPC")
    files.fail("ftruncate", "EIO", "EIO")
    for said in ("ENOSPC", "a torn line cannot be cut off: EIO"):
        with pytest.raises(RetryableError, match=said):
            await made.write(records(1, 2))
    await made.write(records(1, 2))
    assert sequences(path) == [1, 2]


async def test_interrupted_and_short_writes_are_continued(sink, path):
    """EINTR and short writes are no errors."""
    files = FaultyFiles()
    made = await sink(files=files)
    files.fail("write", "EINTR", 5, 7, "EINTR")
    await made.write(records(1, 3))
    assert sequences(path) == [1, 2, 3]


async def test_write_that_takes_nothing_is_an_error(sink, path):
    """A write that returns 0 does not go round in circles."""
    files = FaultyFiles()
    made = await sink(files=files)
    files.fail("write", 0)
    with pytest.raises(RetryableError, match="EIO"):
        await made.write(records(1, 1))
    assert path.read_bytes() == b""


async def test_limit_of_the_real_system_is_met_the_same_way(sink, path):
    """A short write and EFBIG from the kernel itself (RLIMIT_FSIZE) leave whole lines."""
    made = await sink()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3 * LINE + 100, hard))
    try:
        await made.write(records(1, 2))
        with pytest.raises(RetryableError, match="EFBIG"):
            await made.write(records(3, 9))
        assert sequences(path) == [1, 2]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    await made.write(records(3, 9))
    assert sequences(path) == list(range(1, 10))


async def test_batch_offered_again_is_written_once(sink, path):
    """A batch whose writer was cancelled and that is offered again is in the file once."""
    made = await sink()
    write = asyncio.ensure_future(made.write(records(1, 5)))
    await asyncio.sleep(0)
    write.cancel()
    with pytest.raises(asyncio.CancelledError):
        await write
    await made.write(records(1, 5))
    await made.write(records(4, 8))
    assert sequences(path) == list(range(1, 9))


# ---------------------------------------------------------------------- starting


async def test_start_tells_the_last_event(sink, path):
    """A sink that opens a file says which event is its last; an empty one says nothing."""
    first = await sink()
    assert first.held is None
    await first.write(records(1, 7))
    await first.aclose()
    assert (await sink()).held == 7


async def test_start_cuts_a_torn_line_off(sink, path):
    """What a kill left of a line is cut off, and the event before it is the last."""
    lines = [one.line + b"\n" for one in records(1, 3)]
    path.write_bytes(b"".join(lines)[:-10])
    made = await sink()
    assert made.held == 2
    await made.write(records(3, 4))
    assert sequences(path) == [1, 2, 3, 4]


async def test_start_after_a_rotation_looks_into_the_rotated_file(sink, path):
    """If the active file is missing, the newest rotated one tells the last event."""
    first = await sink(max_bytes=3 * LINE, total_bytes=0)
    await first.write(records(1, 7))
    await first.aclose()
    path.unlink()
    assert (await sink()).held == 6


@pytest.mark.parametrize("name", ["events.jsonl.0", "events.jsonl-20261124", "events.jsonl.1.gz"])
async def test_start_looks_into_files_that_others_rotated(sink, path, name):
    """A file that newsyslog or logrotate moved away tells the last event too."""
    data = b"".join(one.line + b"\n" for one in records(1, 5))
    moved = path.with_name(name)
    moved.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    assert (await sink()).held == 5


@pytest.mark.parametrize("content", [b"root:x:0:0\n", b"\x7fELF"])
async def test_foreign_file_is_left_alone(sink, path, content):
    """A file that holds something else is not touched, and the error says what to do."""
    path.write_bytes(content)
    with pytest.raises(RetryableError, match="move it away, or give this sink another path"):
        await sink()
    assert path.read_bytes() == content


async def test_symbolic_link_is_refused(sink, path, tmp_path):
    """The file is never opened through a link that somebody else may have put there."""
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RetryableError, match=r"ELOOP.*it is a symbolic link"):
        await sink()


async def test_folder_and_pipe_are_refused(sink, tmp_path):
    """What is no regular file is no file for events."""
    (tmp_path / "d").mkdir()
    with pytest.raises(RetryableError, match="EISDIR"):
        await sink(path=tmp_path / "d")
    os.mkfifo(tmp_path / "p")
    with pytest.raises(RetryableError, match="not a regular file"):
        await sink(path=tmp_path / "p")


async def test_second_writer_is_refused(sink, path):
    """Two sinks on one file: the second is told which process writes it."""
    await sink()
    with pytest.raises(RetryableError, match=rf"process {os.getpid()} is writing this file"):
        await sink()


async def test_lock_of_a_killed_process_is_free(sink, path):
    """A process that was killed leaves a lock file but no lock."""
    program = f"""
import asyncio, os, signal
from kevmond.sinks.jsonl import JsonlSink
sink = JsonlSink("x", JsonlSink.Settings(path={str(path)!r}))
asyncio.run(sink.open())
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = await asyncio.to_thread(subprocess.run, [sys.executable, "-c", program], check=False)
    assert done.returncode == -signal.SIGKILL
    assert path.with_name(".events.jsonl.lock").exists()
    await sink()


async def test_file_system_without_locks_is_no_obstacle(sink, path, monkeypatch):
    """Where flock is not possible the sink works without."""

    def refuse(fd, operation):
        raise OSError(errno.ENOTSUP, "not supported")

    monkeypatch.setattr(fcntl, "flock", refuse)
    await (await sink()).write(records(1, 1))
    assert sequences(path) == [1]


async def test_impossible_path_is_told_with_the_path(sink, tmp_path):
    """A place where nothing can be made is named, with the errno."""
    (tmp_path / "f").write_bytes(b"")
    with pytest.raises(RetryableError, match=r"/f/.*ENOTDIR"):
        await sink(path=tmp_path / "f/events.jsonl")


# ---------------------------------------------------------------------- others at work


async def test_moved_file_is_noticed_at_the_next_batch(sink, path):
    """After a move the next batch goes into a new file, and the moved one is whole."""
    made = await sink()
    await made.write(records(1, 3))
    moved = path.rename(path.with_name("events.jsonl.0"))
    await made.write(records(4, 6))
    assert (sequences(moved), sequences(path)) == ([1, 2, 3], [4, 5, 6])


async def test_deleted_file_is_made_again(sink, path):
    """After a deletion, even of the whole folder, the next batch goes into a new file."""
    made = await sink()
    await made.write(records(1, 3))
    path.unlink()
    await made.write(records(4, 6))
    assert sequences(path) == [4, 5, 6]


async def test_deleted_folder_is_made_again(sink, tmp_path):
    """A folder that vanished with everything in it, lock included, is made again."""
    path = tmp_path / "d/events.jsonl"
    made = await sink(path=path)
    await made.write(records(1, 3))
    for one in path.parent.iterdir():
        one.unlink()
    path.parent.rmdir()
    await made.write(records(4, 6))
    assert sequences(path) == [4, 5, 6]
    with pytest.raises(RetryableError, match="is writing this file"):
        await sink(path=path)


async def test_cut_file_goes_on_with_a_whole_line(sink, path):
    """After somebody cut the file in a line, that line is cut off and the next one is whole."""
    made = await sink()
    await made.write(records(1, 3))
    os.truncate(path, 2 * LINE - 5)
    await made.write(records(4, 4))
    assert sequences(path) == [1, 4]


async def test_sighup_reopens(sink, path):
    """`reopen` lets go of the moved file at once and makes the new one."""
    made = await sink()
    await made.write(records(1, 1))
    path.rename(path.with_name("events.jsonl.0"))
    await made.reopen()
    assert path.read_bytes() == b""


# ---------------------------------------------------------------------- rotation


async def test_file_is_never_larger_than_max_bytes(sink, path, tmp_path):
    """A batch that crosses the limit is divided at it, between lines."""
    made = await sink(max_bytes=3 * LINE + 10, total_bytes=0)
    await made.write(records(1, 2))
    await made.write(records(3, 10))
    assert everything(tmp_path) == list(range(1, 11))
    assert max(one.stat().st_size for one in tmp_path.glob("events*")) <= 3 * LINE + 10
    assert len(list(tmp_path.glob("events-*"))) == 3


async def test_event_larger_than_the_limit_goes_whole(sink, path, tmp_path):
    """An event that does not fit any file has one of its own, over the limit."""
    made = await sink(max_bytes=100, total_bytes=200)
    await made.write(records(1, 3))
    assert sequences(path) == [3]


async def test_file_is_rotated_by_the_events_time(sink, tmp_path):
    """When its first event is older than max_age, the next event begins a new file."""
    made = await sink(max_age="1h")
    await made.write([record(1, second=1000.0), record(2, second=4599.9)])
    await made.write([record(3, second=4599.9)])
    assert not list(tmp_path.glob("events-*"))
    await made.write([record(4, second=4600.0)])
    (rotated,) = tmp_path.glob("events-*")
    assert sequences(rotated) == [1, 2, 3]


async def test_age_outlives_a_restart(sink, tmp_path):
    """A file's age is that of its first event, not of the process that has it open."""
    first = await sink(max_age="1h")
    await first.write([record(1, second=1000.0)])
    await first.aclose()
    second = await sink(max_age="1h")
    await second.write([record(2, second=4600.0)])
    (rotated,) = tmp_path.glob("events-*")
    assert sequences(rotated) == [1]


async def test_rotated_files_are_compressed_while_writing_goes_on(sink, tmp_path):
    """All events are in the compressed files and the active one, once."""
    made = await sink(max_bytes=5 * LINE, total_bytes=0, compress=True, keep=100)
    for first in range(1, 100, 7):
        await made.write(records(first, first + 6))
    await asyncio.to_thread(made._shelf.settle)
    assert everything(tmp_path) == list(range(1, 106))
    assert {path.suffix for path in tmp_path.glob("events-*")} == {".gz"}


async def test_rotation_that_fails_stops_delivery_and_loses_nothing(sink, tmp_path, path):
    """If a file cannot be renamed that is said, and the batch is taken when it can."""
    files = FaultyFiles()
    made = await sink(files=files, max_bytes=3 * LINE, total_bytes=0)
    await made.write(records(1, 3))
    files.fail("rename", "EACCES")
    with pytest.raises(RetryableError, match=r"EACCES.*give the daemon's user the right"):
        await made.write(records(4, 5))
    files.fail("rename", "")
    files.fail("open", "EMFILE")
    with pytest.raises(RetryableError, match="EMFILE"):
        await made.write(records(4, 5))
    await made.write(records(4, 5))
    assert everything(tmp_path) == [1, 2, 3, 4, 5]


async def test_sync_waits_for_the_medium(sink, path):
    """With `sync` a batch that did not reach the medium is cut off and offered again."""
    files = FaultyFiles()
    made = await sink(files=files, sync=True)
    files.fail("fsync", "EIO")
    with pytest.raises(RetryableError, match="EIO"):
        await made.write(records(1, 2))
    assert path.read_bytes() == b""
    await made.write(records(1, 2))
    assert sequences(path) == [1, 2]


# ---------------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"mode": "0999"}, "mode"),
        ({"mode": 600}, "mode"),
        ({"max_bytes": 0}, "set total_bytes = 0 as well"),
        ({"max_bytes": "1MiB", "total_bytes": "1MiB"}, "at least twice max_bytes"),
        ({"pth": "x"}, "pth"),
    ],
)
def test_settings_that_make_no_sense_are_refused(given, says):
    """A mistake in the settings is told with what would be right."""
    with pytest.raises(ValidationError, match=says):
        JsonlSink.Settings(path="/x", **given)


def test_relative_path_is_taken_below_the_state_folder():
    """The file lies in the daemon's folder unless its path says otherwise."""
    settings = JsonlSink.Settings.model_validate({}, context={"state_dir": "/var/x"})
    assert str(settings.path) == "/var/x/events.jsonl"

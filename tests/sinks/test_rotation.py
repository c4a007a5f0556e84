"""Rotated files: names, bounds, compression, and what a crash leaves of them."""

import errno
import gzip
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kevmond.errors import RetryableError
from kevmond.sinks.files import Files
from kevmond.sinks.linefile import LineFile
from kevmond.sinks.rotation import Shelf
from kevmond.sinks.testing import START_NS, FaultyFiles, record, records

LINE = len(record(1).line) + 1


@pytest.fixture
def trouble():
    """Return the list of troubles that were told."""
    return []


@pytest.fixture
def shelf(tmp_path, trouble):
    """Return a function that makes a shelf over `events.jsonl`; all are closed afterwards."""
    made = []

    def make(**given):
        one = Shelf(
            tmp_path / "events.jsonl",
            files=given.pop("files", Files()),
            mode=0o600,
            keep=given.pop("keep", 100),
            total_bytes=given.pop("total_bytes", 0),
            compress=given.pop("compress", False),
            trouble=trouble.append,
        )
        made.append(one)
        return one

    yield make
    for one in made:
        one.close()


def rotate(shelf, seq, size=1000):
    """Write an active file of `size` bytes and rotate it."""
    shelf._path.write_bytes(b"x" * size)
    shelf.active = size
    shelf.rotate(seq, START_NS)


def names(tmp_path):
    """Return the names of all files, in order."""
    return sorted(path.name for path in tmp_path.iterdir())


def test_name_tells_position_and_time(shelf, tmp_path):
    """A rotated file is named by its last event's position and the time in UTC."""
    rotate(shelf(), 12345)
    assert names(tmp_path) == ["events-0000000000012345-20261124T080931Z.jsonl"]


def test_taken_name_is_not_overwritten(shelf, tmp_path):
    """Two files that would have one name both stay."""
    one = shelf()
    rotate(one, 5)
    rotate(one, 5)
    assert names(tmp_path) == [
        "events-0000000000000005-20261124T080931Z.1.jsonl",
        "events-0000000000000005-20261124T080931Z.jsonl",
    ]


def test_oldest_go_when_there_are_too_many(shelf, tmp_path):
    """`keep` files stay, the newest."""
    one = shelf(keep=2)
    for seq in (1, 2, 3, 4):
        rotate(one, seq)
    assert [name[7:23] for name in names(tmp_path)] == ["0000000000000003", "0000000000000004"]
    assert one.removed == 2


def test_keep_none(shelf, tmp_path):
    """With keep = 0 a rotated file is gone at once."""
    rotate(shelf(keep=0), 1)
    assert names(tmp_path) == []


def test_room_is_made_by_the_oldest(shelf, tmp_path):
    """Room for new bytes is made by removing whole files, the oldest first, and no more."""
    one = shelf(total_bytes=3500)
    for seq in (1, 2, 3):
        rotate(one, seq)
    assert one.make_room(500)
    assert len(names(tmp_path)) == 3
    assert one.make_room(501)
    assert len(names(tmp_path)) == 2
    assert not one.make_room(3501)
    assert names(tmp_path) == []


def test_file_removed_by_somebody_else_is_no_error(shelf, tmp_path):
    """A rotated file that is gone already counts as removed."""
    one = shelf(total_bytes=1500)
    rotate(one, 1)
    next(tmp_path.iterdir()).unlink()
    assert one.make_room(1000)


def test_file_that_cannot_be_removed_is_an_error(shelf, tmp_path):
    """If the bound cannot be kept, that is said, by file and errno."""
    files = FaultyFiles()
    one = shelf(total_bytes=1500, files=files)
    rotate(one, 1)
    files.fail("unlink", "EPERM")
    with pytest.raises(RetryableError, match=r"events-0+1-.*\.jsonl: cannot be removed: EPERM"):
        one.make_room(1000)


def test_compressed_file_takes_the_plain_ones_place(shelf, tmp_path):
    """A rotated file is compressed, with the same content and mode, and the plain one removed."""
    one = shelf(compress=True)
    rotate(one, 7)
    one.settle()
    (name,) = names(tmp_path)
    assert name == "events-0000000000000007-20261124T080931Z.jsonl.gz"
    assert gzip.decompress((tmp_path / name).read_bytes()) == b"x" * 1000
    assert (tmp_path / name).stat().st_mode & 0o777 == 0o600
    assert one.newest.size == (tmp_path / name).stat().st_size


@pytest.mark.parametrize(
    ("call", "fault"),
    [("write", "ENOSPC"), ("fsync", "EIO"), ("rename", "EACCES"), ("open", "EMFILE")],
)
def test_failed_compression_leaves_the_plain_file(shelf, tmp_path, trouble, call, fault):
    """If compressing fails, the plain file stays, nothing half stays, and it is said."""
    files = FaultyFiles()
    one = shelf(compress=True, files=files)
    rotate(shelf(), 7)
    files.fail(call, fault)
    one.scan()
    one.settle()
    assert names(tmp_path) == ["events-0000000000000007-20261124T080931Z.jsonl"]
    (text,) = trouble
    assert os.strerror(getattr(errno, fault)) in text or fault in text


def test_short_writes_are_continued(shelf, tmp_path, trouble):
    """A compressed file is whole though writes take only part."""
    files = FaultyFiles()
    files.fail("write", 1, 2, 3)
    one = shelf(compress=True, files=files)
    rotate(one, 7)
    one.settle()
    assert gzip.decompress((tmp_path / names(tmp_path)[0]).read_bytes()) == b"x" * 1000
    assert not trouble


def test_start_removes_the_unfinished_and_compresses_anew(shelf, tmp_path):
    """A kill while compressing leaves a hidden file, which the next start does over."""
    rotate(shelf(), 7)
    (name,) = names(tmp_path)
    (tmp_path / f".{name}.gz.tmp").write_bytes(b"half")
    one = shelf(compress=True)
    one.scan()
    one.settle()
    assert names(tmp_path) == [f"{name}.gz"]


def test_start_removes_the_plain_twin(shelf, tmp_path):
    """A kill before the plain file was removed leaves both; the compressed one stays."""
    rotate(shelf(), 7)
    (name,) = names(tmp_path)
    (tmp_path / f"{name}.gz").write_bytes(gzip.compress(b"x" * 1000))
    one = shelf(compress=True)
    one.scan()
    assert names(tmp_path) == [f"{name}.gz"]
    assert one.newest.plain is False


def test_start_does_not_trust_a_broken_twin(shelf, tmp_path):
    """If the compressed file is not whole (a power failure), the plain one stays and is used."""
    rotate(shelf(), 7)
    (name,) = names(tmp_path)
    (tmp_path / f"{name}.gz").write_bytes(gzip.compress(b"x" * 1000)[:-4])
    one = shelf(compress=True)
    one.scan()
    one.settle()
    assert names(tmp_path) == [f"{name}.gz"]
    assert gzip.decompress((tmp_path / f"{name}.gz").read_bytes()) == b"x" * 1000


def test_start_keeps_the_bounds(shelf, tmp_path):
    """Bounds that were lowered while the daemon was down hold after the start."""
    first = shelf()
    for seq in range(1, 9):
        rotate(first, seq)
    shelf(keep=5, total_bytes=3000).scan()
    assert len(names(tmp_path)) == 3


def test_other_files_are_left_alone(shelf, tmp_path):
    """Files that only resemble rotated ones are neither counted nor removed."""
    others = [
        "events-1-20261124T080931Z.jsonl",
        "events-0000000000000001.jsonl",
        "events-x-0000000000000001-20261124T080931Z.jsonl",
        ".other.tmp",
        "events.jsonl.0.gz",
    ]
    for other in others:
        (tmp_path / other).write_bytes(b"x" * 5000)
    one = shelf(keep=0, total_bytes=100)
    one.scan()
    assert one.newest is None
    assert names(tmp_path) == sorted(others)


def test_closing_gives_a_compression_up(shelf, tmp_path):
    """A shelf that is closed leaves plain files plain, whole, and nothing hidden."""
    one = shelf(compress=True)
    one._closing = True
    rotate(one, 7)
    one.close()
    assert names(tmp_path) == ["events-0000000000000007-20261124T080931Z.jsonl"]


class Watched(Files):
    """Files that check after each call that changes the disk that the bound holds."""

    def __init__(self, directory, bound):
        self.directory = directory
        self.bound = bound
        self.shelf = None
        self.highest = 0

    def _look(self):
        with self.shelf._lock:
            used = sum(
                path.stat().st_size
                for path in self.directory.iterdir()
                if not path.name.endswith(".lock")
            )
        self.highest = max(self.highest, used)

    def write(self, fd, data):
        done = super().write(fd, data)
        self._look()
        return done

    def rename(self, old, new):
        super().rename(old, new)
        self._look()


@given(
    batches=st.lists(st.integers(1, 12), min_size=20, max_size=60),
    lines_a_file=st.integers(1, 10),
    files=st.integers(2, 5),
    compress=st.booleans(),
)
@settings(max_examples=25, deadline=None)
def test_disk_use_never_goes_over_the_bound(
    tmp_path_factory, batches, lines_a_file, files, compress
):
    """At no moment, rotating and compressing included, do all files hold more than total_bytes."""
    directory = tmp_path_factory.mktemp("bound")
    bound = files * lines_a_file * LINE
    watched = Watched(directory, bound)
    shelf = watched.shelf = Shelf(
        directory / "events.jsonl",
        files=watched,
        mode=0o600,
        keep=1000,
        total_bytes=bound,
        compress=compress,
        trouble=lambda text: None,
    )
    file = LineFile(
        directory / "events.jsonl",
        shelf,
        files=watched,
        mode=0o600,
        directory_mode=0o700,
        max_bytes=lines_a_file * LINE,
        max_age=0,
        sync=False,
    )
    file.open()
    seq = 1
    for count in batches:
        file.write(records(seq, seq + count - 1))
        seq += count
    shelf.settle()
    file.close()
    assert 0 < watched.highest <= bound

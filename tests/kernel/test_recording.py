"""Recordings: lines in, lines out, and what a crash or a typo does to them."""

import gzip
import io
import json
import logging
import os
import stat
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kevmond.errors import RecordingError
from kevmond.kernel.base import KernelIdentity
from kevmond.kernel.recording import Recorded, RecordingWriter, read_recording, recording_line

BOOT = "0a1b2c3d-0000-4000-8000-000000000001"
IDENTITY = KernelIdentity(boot_id=BOOT, host="mac", os_release="20.6.0", os_build="20G1427")
LINK_ON = bytes.fromhex(
    "300000000100000001000000020000007d0000000d0000000200000000000000" + b"feth".hex() + "00" * 12
)
WALL = 1_795_508_340_123_456_000
CAPTURE = Path(__file__).parents[1] / "captures" / "xnu-7195-events.jsonl"


def test_a_message_written_is_read_back_with_all_that_was_told(tmp_path):
    """Bytes, time, boot and release come back as they were written."""
    path = tmp_path / "r.jsonl"
    with RecordingWriter(path) as writer:
        writer.write([(LINK_ON, WALL), (LINK_ON[:24], WALL + 1000)], IDENTITY)
        assert writer.count == 2
    assert list(read_recording(path)) == [
        Recorded(LINK_ON, WALL, BOOT, "20.6.0", "20G1427", None, 1),
        Recorded(LINK_ON[:24], WALL + 1000, BOOT, "20.6.0", "20G1427", None, 2),
    ]


def test_a_line_is_json_with_an_rfc_3339_time():
    """Any JSON reader can use a recording."""
    line = recording_line(LINK_ON, WALL, IDENTITY)
    assert line.endswith(b"}\n")
    assert json.loads(line) == {
        "time": "2026-11-24T08:19:00.123456Z",
        "boot_id": BOOT,
        "os_release": "20.6.0",
        "os_build": "20G1427",
        "hex": LINK_ON.hex(),
    }


def test_what_xnu_delivered_is_read_line_by_line():
    """Lines of trigger and hex are read in order, nothing else being known of them."""
    found = list(read_recording(CAPTURE))
    assert len(found) == len(CAPTURE.read_text().splitlines())
    assert found[0].trigger == "boot"
    assert {message.wall_ns for message in found} == {None}
    assert all(int.from_bytes(message.raw[:4], "little") == len(message.raw) for message in found)


def test_bare_hex_comments_and_blank_lines_are_read():
    """A recording can be typed by hand."""
    lines = [b"# link-on\n", b"\n", b" 0x" + LINK_ON.hex().encode() + b"\n", b"18 00\n"]
    assert list(read_recording(lines)) == [Recorded(LINK_ON, line=3), Recorded(b"\x18\0", line=4)]


def test_lines_of_the_json_sink_are_read():
    """An event's `raw` is its message; kevmond's own records hold none and are passed over."""
    lines = [
        json.dumps({"schema": "kevmond/1", "type": "kevmond.start", "raw": None}).encode(),
        json.dumps({"schema": "kevmond/1", "boot_id": BOOT, "raw": LINK_ON.hex()}).encode(),
    ]
    assert list(read_recording(lines)) == [Recorded(LINK_ON, boot_id=BOOT, line=2)]


def test_a_compressed_recording_is_read(tmp_path):
    """The suffix .gz is enough."""
    path = tmp_path / "r.jsonl.gz"
    path.write_bytes(gzip.compress(recording_line(LINK_ON, WALL, IDENTITY)))
    assert [message.raw for message in read_recording(path)] == [LINK_ON]


def test_a_compressed_recording_that_stops_short_gives_what_it_holds(tmp_path):
    """A gzip cut off in the middle is told, and its whole lines are read."""
    path = tmp_path / "r.jsonl.gz"
    whole = gzip.compress(b"".join(os.urandom(20).hex().encode() + b"\n" for _ in range(2000)))
    path.write_bytes(whole[: len(whole) // 2])
    told = []
    found = list(read_recording(path, warn=told.append))
    assert found
    assert told == [f"{path}: the compressed file is cut short after line {len(found)}"]


def test_a_file_that_is_not_gzip_is_named(tmp_path):
    """A wrong suffix is told with the file's name."""
    path = tmp_path / "r.gz"
    path.write_bytes(b"plain\n")
    with pytest.raises(RecordingError, match=r"r\.gz: cannot be read: Not a gzipped file"):
        list(read_recording(path))


def test_standard_input_is_read(monkeypatch):
    """`-` is standard input."""
    lines = io.TextIOWrapper(io.BytesIO(LINK_ON.hex().encode() + b"\n"))
    monkeypatch.setattr("sys.stdin", lines)
    assert [message.raw for message in read_recording("-")] == [LINK_ON]


def test_a_torn_last_line_is_passed_over_with_a_warning(tmp_path, caplog):
    """A crash while writing costs the line being written and no other."""
    path = tmp_path / "r.jsonl"
    line = recording_line(LINK_ON, WALL, IDENTITY)
    path.write_bytes(line + line[:-20])
    with caplog.at_level(logging.WARNING):
        assert len(list(read_recording(path))) == 1
    assert f"{path}:2: the last line is torn" in caplog.text


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b'{"hex": \n', "not JSON"),
        (b'{"time": "2026-11-24T08:19:00Z"}\n', 'no text under "hex"'),
        (b'{"hex": 5}\n', 'no text under "hex"'),
        (b'{"hex": "30x0"}\n', "not hex: '30x0'"),
        (b'{"hex": ""}\n', "the message is empty"),
        (b'{"hex": "00", "time": "yesterday"}\n', "not an RFC 3339 time: 'yesterday'"),
        (b'{"hex": "00", "time": "2026-11-24T08:19:00"}\n', "not an RFC 3339 time"),
        (b'{"hex": "00", "time": 12}\n', "not an RFC 3339 time"),
        (b'{"hex": "00", "boot_id": 12}\n', '"boot_id" is not text: 12'),
        (b"hello\n", "not hex: 'hello'"),
        (b"\xff\xfe\n", "not hex"),
    ],
)
def test_a_malformed_line_names_file_and_line(line, why):
    """An error leads to the place to mend."""
    lines = [LINK_ON.hex().encode() + b"\n", line]
    with pytest.raises(RecordingError) as error:
        list(read_recording(lines, name="file.jsonl"))
    assert str(error.value).startswith("file.jsonl:2: ")
    assert why in str(error.value)


def test_a_reader_may_go_on_after_malformed_lines():
    """With `on_error`, the rest of the recording is read."""
    told = []
    lines = [b"zz\n", LINK_ON.hex().encode() + b"\n", b"{}\n"]
    assert [m.line for m in read_recording(lines, on_error=told.append)] == [2]
    assert [str(error).split(": ")[0] for error in told] == ["recording:1", "recording:3"]


@given(st.lists(st.one_of(st.binary(), st.binary().map(lambda rest: b"{" + rest))))
@example([b'{"a":' + b"[" * 100_000])
@example([b'{"hex": "00", "time": "0001-01-01T00:00:00+23:59"}\n'])
@example([b'{"hex": "00", "time": "9999-12-31T23:59:59-23:59"}\n'])
def test_whatever_a_file_holds_is_read_or_told(lines):
    """No bytes make a reader fail otherwise than with RecordingError."""
    told = []
    found = list(read_recording(lines, warn=told.append, on_error=told.append))
    assert len(found) + len(told) <= len(lines)


def test_a_missing_file_is_named(tmp_path):
    """The error names the file and tells what the system said."""
    with pytest.raises(RecordingError, match=r"none\.jsonl: cannot be read: No such file"):
        list(read_recording(tmp_path / "none.jsonl"))


def test_a_new_recording_is_private(tmp_path):
    """Addresses of the machine stand in a recording: others may not read it."""
    path = tmp_path / "r.jsonl"
    RecordingWriter(path).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_writing_again_appends(tmp_path):
    """A second run continues the file."""
    path = tmp_path / "r.jsonl"
    for _ in range(2):
        with RecordingWriter(path) as writer:
            writer.write([(LINK_ON, WALL)], IDENTITY)
    assert len(list(read_recording(path))) == 2


def test_writing_after_a_crash_takes_the_torn_line_out(tmp_path, caplog):
    """The line a crash cut off never ends up in the middle of a recording."""
    path = tmp_path / "r.jsonl"
    line = recording_line(LINK_ON, WALL, IDENTITY)
    path.write_bytes(line + line[:70])
    with caplog.at_level(logging.WARNING), RecordingWriter(path) as writer:
        writer.write([(LINK_ON, WALL)], IDENTITY)
    assert path.read_bytes() == line * 2
    assert "a torn last line (70 bytes) was taken out" in caplog.text


def test_a_whole_last_line_without_newline_is_kept(tmp_path):
    """A missing newline is added."""
    path = tmp_path / "r.jsonl"
    line = recording_line(LINK_ON, WALL, IDENTITY)
    path.write_bytes(line[:-1])
    with RecordingWriter(path) as writer:
        writer.write([(LINK_ON, WALL)], IDENTITY)
    assert path.read_bytes() == line * 2


def test_a_file_that_is_no_recording_is_left_alone(tmp_path):
    """A slip of the hand does not spoil another file."""
    path = tmp_path / "thesis.tex"
    path.write_text("\\documentclass{book}\nunfinished")
    with pytest.raises(RecordingError, match=r"thesis\.tex:1: not hex.*give a new file"):
        RecordingWriter(path)
    assert path.read_text() == "\\documentclass{book}\nunfinished"


def test_a_recording_is_not_written_compressed(tmp_path):
    """A compressed stream could not be whole after a crash."""
    with pytest.raises(RecordingError, match=r"without \.gz"):
        RecordingWriter(tmp_path / "r.jsonl.gz")


def test_a_full_disk_leaves_whole_lines(tmp_path, monkeypatch):
    """What was written of a batch that the disk refused is taken out again."""
    path = tmp_path / "r.jsonl"
    with RecordingWriter(path) as writer:
        writer.write([(LINK_ON, WALL)], IDENTITY)
        write = os.write

        def full(fd, data):
            if len(data) < 100:
                raise OSError(28, "No space left on device")
            return write(fd, data[:-90])

        monkeypatch.setattr(os, "write", full)
        with pytest.raises(OSError, match=r"No space left on device.*r\.jsonl"):
            writer.write([(LINK_ON, WALL)], IDENTITY)
        assert writer.count == 1
    assert path.read_bytes() == recording_line(LINK_ON, WALL, IDENTITY)

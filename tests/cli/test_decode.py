"""`kevmond decode`: recordings, hex, standard input; pretty and JSON."""

import io
import json
import struct
from pathlib import Path

import pytest

CAPTURE = Path(__file__).parents[1] / "captures" / "xnu-7195-events.jsonl"
FETH0 = struct.pack("<II16s", 2, 0, b"feth")
LINK_ON = (struct.pack("<6I", 48, 1, 1, 2, 125, 13) + FETH0).hex()
COLLISION = (
    struct.pack("<6I", 62, 1, 1, 1, 146, 7)
    + FETH0
    + bytes.fromhex("c0a80105 06 02aabbccdd01 000000")
).hex()


def stdin(monkeypatch, data):
    """Put bytes on standard input."""
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))


def test_what_xnu_delivered_is_decoded_as_json_lines(kevmond):
    """Not on a terminal, each message is one line of an event's JSON."""
    result = kevmond("decode", CAPTURE)
    events = [json.loads(line) for line in result.out.splitlines()]
    assert (result.code, len(events)) == (0, len(CAPTURE.read_text().splitlines()))
    assert {event["schema"] for event in events} == {"kevmond/1"}
    assert events[2]["type"] == "network.dl.if-capabilities"
    assert events[2]["interface"] == "lo0"
    assert {event["decode"] for event in events} <= {"full", "unknown"}


def test_a_message_given_as_hex_is_shown_field_by_field(kevmond):
    """Each field stands with its offset, bytes, C name and value."""
    result = kevmond("decode", "--format", "pretty", "--hex", LINK_ON)
    assert result.code == 0
    lines = result.out.splitlines()
    assert lines[0] == "network.dl.link-on  feth0  info  id 125"
    assert any(line.split() == ["0", "30", "00", "00", "00", "total_size", "48"] for line in lines)
    assert any("kev_subclass" in line and "2 dl" in line for line in lines)
    assert any("link_data.if_family" in line and "if_family = ethernet" in line for line in lines)


def test_every_byte_of_a_message_is_shown(kevmond):
    """Fields, padding and what is behind them add up to the message, at odd offsets too."""
    for text in (LINK_ON, COLLISION, LINK_ON + "0a0b", LINK_ON[:50], "1800"):
        shown = kevmond("decode", "--format", "pretty", "--hex", text).out.splitlines()[1:]
        dumped = "".join(
            line[10:58].replace(" ", "")
            for line in shown
            if line.startswith("    ") and line[7].isdigit()
        )
        assert dumped == text


def test_a_file_is_shown_with_triggers_and_payloads(kevmond):
    """In pretty form each event has a heading and its payload's fields."""
    result = kevmond("decode", "--format", "pretty", CAPTURE)
    assert (
        "network.inet.new-addr  feth0  info  id 42  (SIOCAIFADDR feth0 192.168.1.1)" in result.out
    )
    assert "    subnet_mask    255.255.255.0\n" in result.out
    assert "total_size" not in result.out
    assert "total_size" in kevmond("decode", "--format", "pretty", "--bytes", CAPTURE).out


def test_times_boots_and_releases_come_from_the_recording(kevmond, tmp_path):
    """What the file tells is in the events, and decides between layouts."""
    path = tmp_path / "r.jsonl"
    raw = (
        "40000000010000000100000003000000010000000100000000000000000000002a00000000000000"
        + "11" * 16
        + "0500000000000000"
    )
    path.write_text(
        json.dumps(
            {
                "time": "2026-11-24T08:19:00.5Z",
                "boot_id": "b1",
                "os_release": "24.4.0",
                "hex": raw,
            }
        )
        + "\n"
    )
    event = json.loads(kevmond("decode", path).out)
    assert (event["time"], event["boot_id"]) == ("2026-11-24T08:19:00.500000Z", "b1")
    assert event["payload"]["effective_uuid"] == "-".join(["11" * n for n in (4, 2, 2, 2, 6)])
    old = json.loads(kevmond("decode", "--os-release", "17.7.0", path).out)
    assert old["payload"]["effective_uuid"] != event["payload"]["effective_uuid"]


def test_standard_input_is_read(kevmond, monkeypatch):
    """`-` reads lines as they come."""
    stdin(monkeypatch, LINK_ON.encode() + b"\n")
    assert json.loads(kevmond("decode", "-").out)["type"] == "network.dl.link-on"


def test_malformed_lines_are_told_and_the_rest_is_decoded(kevmond, monkeypatch, tmp_path):
    """The exit code is 65, and each line is named."""
    path = tmp_path / "r.jsonl"
    path.write_text(f'{{"hex": 5}}\n{LINK_ON}\nzz\n')
    result = kevmond("decode", path)
    assert result.code == 65
    assert json.loads(result.out)["type"] == "network.dl.link-on"
    assert [line.split(": ")[:2] for line in result.err.splitlines()] == [
        ["kevmond", f"{path}:1"],
        ["kevmond", f"{path}:3"],
    ]


def test_a_malformed_message_is_an_event_not_an_error(kevmond):
    """Decoding never fails: the event says what is wrong."""
    result = kevmond("decode", "--hex", "1800")
    assert result.code == 0
    assert json.loads(result.out)["decode"] == "malformed"
    assert "malformed: " in kevmond("decode", "--format", "pretty", "--hex", "1800").out


def test_control_characters_of_a_message_are_escaped_on_a_terminal(kevmond):
    """A name cannot do anything to the terminal it is shown on."""
    text = LINK_ON[:64] + "1b5b33316d78c29b0a".ljust(32, "0")
    for dump in ("--bytes", "--no-bytes"):
        shown = kevmond("decode", "--format", "pretty", dump, "--hex", text).out
        assert "\\x1b[31mx" in shown
        assert not {"\x1b", "\x9b"} & set(shown)


def test_a_filter_chooses_what_is_shown(kevmond):
    """Rules are those of every filter."""
    result = kevmond("decode", CAPTURE, "--filter", "class=system", "--filter", "severity>=warning")
    types = {json.loads(line)["type"].split(".")[1] for line in result.out.splitlines()}
    assert types == {"ctl", "inet", "nd6"}


@pytest.mark.parametrize(
    ("args", "code", "why"),
    [
        ([], 2, "Give a FILE, - for standard input, or --hex HEX"),
        (["--hex", "zz"], 65, "--hex:1: not hex: 'zz'"),
        (["/none.jsonl"], 66, "kevmond: /none.jsonl: cannot be read: No such file or directory"),
        (["--hex", "00", "--filter", "clas=network"], 2, "class"),
        (["--hex", "00", "--format", "xml"], 2, "'pretty', 'json'"),
    ],
)
def test_errors_tell_what_to_do(kevmond, args, code, why):
    """One line, an exit code of its own, no traceback."""
    result = kevmond("decode", *args)
    assert result.code == code
    assert why in result.err
    assert "Traceback" not in result.err

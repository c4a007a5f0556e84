"""The line a person reads: what it tells, and what it keeps from the terminal."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kevmond.events import own
from kevmond.events.event import Event, Severity
from kevmond.sinks.console import Console, printable, quoted, shortened
from kevmond.sinks.testing import CONTEXT, START_NS, link_message, odd_records, record

CAPTURE = Path(__file__).parents[1] / "captures/xnu-7195-events.jsonl"


@pytest.fixture
def console(monkeypatch):
    """Return a console as on a terminal without colours, in UTC."""
    monkeypatch.setenv("TZ", "UTC")
    __import__("time").tzset()
    yield Console(colour=False, short_time=True)
    monkeypatch.undo()
    __import__("time").tzset()


def test_line_is_time_severity_type_interface(console):
    """A link event is one short line."""
    assert console.line(record(0)) == ("08:09:31.123456 notice   network.dl.link-off         en0")


def test_away_from_a_terminal_the_time_is_whole():
    """In a file a line has the event's own time, with its date, in UTC."""
    line = Console(colour=False, short_time=False).line(record(0))
    assert line.startswith("2026-11-24T08:09:31.123456Z notice   network.dl.link-off")


def test_payload_is_told_without_the_interface_again(console):
    """Fields stand as key=value; those the interface's name is made of are left out."""
    message = link_message(1, code=14) + (2).to_bytes(4, "little") + (1).to_bytes(4, "little")
    raw = (len(message)).to_bytes(4, "little") + message[4:]
    assert console.message(record(0, raw=raw).event) == (
        "info     network.dl.proto-attached   en0    protocol=inet remaining=1"
    )


def test_unknown_event_shows_its_bytes(console):
    """Of an event nobody knows the bytes behind the header are shown, cut if they are many."""
    lines = [console.message(one.event) for one in odd_records(1)]
    assert lines[4] == "info     vendor-1001.7.7.7"
    assert lines[5].endswith("1e1f...(+168 bytes)")


def test_malformed_event_says_why(console):
    """What is wrong with a message stands in its line."""
    line = console.message(odd_records(1)[1].event)
    assert "warning" in line
    assert 'reason="' in line


def test_own_records_are_told(console):
    """Records of kevmond's own are as readable as the kernel's."""
    state = own.InterfaceState(name="en0", up=True, addresses=["a", "b", "c", "d", "e", "f"])
    payload = own.Snapshot(cause="start", state=state)
    made = own.own_record(CONTEXT, payload, seq=1, wall_ns=START_NS, interface="en0")
    assert console.message(made.event) == (
        "info     kevmond.snapshot            en0    "
        "cause=start state={name=en0 up=yes addresses=a,b,c,d,+2}"
    )


def test_colours_can_be_taken_out_again(console):
    """With colours the line is the same but for the escapes."""
    coloured = Console(colour=True, short_time=True)
    for one in (record(0), *odd_records(1)):
        line = coloured.line(one)
        assert "\x1b[" in line
        assert re.sub(r"\x1b\[[0-9;]*m", "", line).rstrip() == console.line(one).rstrip()


def test_every_captured_event_is_one_printable_line(console):
    """Every record that XNU's own code delivered gives one line that acts on no terminal."""
    for number, text in enumerate(CAPTURE.read_text().splitlines(), 1):
        line = console.line(record(number, raw=bytes.fromhex(json.loads(text)["hex"])))
        assert line.isprintable()


def test_name_that_acts_on_a_terminal_is_escaped(console):
    """Escapes and newlines in an interface's name are shown, not sent."""
    assert console.message(odd_records(1)[3].event).endswith(r"\x1b[31m\r\n0")


@given(st.text())
def test_printable_text_has_no_control_characters(text):
    """Whatever a text holds, what is shown is printable; printable text stays as it is."""
    shown = printable(text)
    assert shown.isprintable()
    assert shown == text or not text.isprintable()


@given(st.text())
def test_quoted_text_is_one_word(text):
    """A value with spaces or quotes stands in quotes, and never breaks out of them."""
    shown = quoted(text)
    assert shown.isprintable()
    if " " in shown:
        assert re.fullmatch(r'"(?:[^"\\]|\\.)*"', shown)


@given(st.text(), st.text(), st.text())
def test_line_is_printable_whatever_an_event_holds(kind, interface, reason):
    """No field of an event can act on the terminal."""
    event = Event(
        id="x",
        seq=1,
        time="t",
        host="h",
        boot_id="b",
        type=kind,
        severity=Severity.INFO,
        interface=interface,
        reason=reason,
        decode="malformed",
    )
    assert Console(colour=False, short_time=True).message(event).isprintable()


def test_long_hex_is_cut():
    """Hex is cut with the number of bytes that are left out."""
    assert shortened("ab" * 32) == "ab" * 32
    assert shortened("ab" * 40) == "ab" * 32 + "...(+8 bytes)"

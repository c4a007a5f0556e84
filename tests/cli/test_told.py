"""Events as commands show them that have only their JSON."""

import json
import random
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kevmond.cli.told import event_of, painter, standard_output
from kevmond.events import catalogue, own
from kevmond.events.control import ControlMessage
from kevmond.events.own import own_record
from kevmond.kernel.abi import HEADER, KEV_MSG_HEADER_SIZE
from kevmond.sinks.console import Console
from kevmond.sinks.testing import CONTEXT, START_NS, odd_records, record


def of_kernel():
    """Return records of every known kind of event, with payloads of any bytes."""
    dice = random.Random(1)
    for kind in catalogue.kinds():
        for length in (0, 24, 64, 200):
            code = (kind.vendor, kind.kev_class, kind.subclass, 1, kind.code)
            head = HEADER.pack(KEV_MSG_HEADER_SIZE + length, *code)
            yield record(1, raw=head + dice.randbytes(length))


def of_our_own():
    """Return records whose payloads hold others, and tables."""
    state = own.InterfaceState(name="en0", up=True, addresses=("::1/128", "10.0.0.1/8"))
    change = own.Change(interface="en0", field="running", before=True, after=None)
    payloads = [
        own.Snapshot(cause="start", state=state),
        own.Resync(cause="wake", changes=(change,) * 6),
        own.Config(state="refused", changes=("a: b", 'c "d"')),
        ControlMessage(channel="a", control="b", unit=1, size=3, fields={"a b": 1, "c": "d e"}),
    ]
    for payload in payloads:
        yield own_record(CONTEXT, payload, seq=1, wall_ns=START_NS)


@pytest.mark.parametrize("records", [of_kernel, of_our_own, lambda: odd_records(1)])
def test_line_is_the_log_sink_s(records):
    """An event has the same line, shown by a command of its JSON or by the daemon itself."""
    for one in records():
        event = event_of(json.loads(one.line))
        for colour in (False, True):
            console = Console(colour=colour, short_time=False)
            assert console.shown(event, one.wall_ns) == console.line(one)


def test_event_of_another_version_is_shown():
    """Words and fields that this version does not know are shown as they come."""
    facts = json.loads(record(1).line)
    facts |= {"severity": "dire", "decode": "half", "type": "new.kind", "more": 1}
    facts["payload"] = {"cls": "a b", "x\x1b": [1, {"y": None, "z": True}], "copy": {}}
    line = painter(terminal=False)(json.dumps(facts).encode()).decode()
    assert line.endswith(
        'info     new.kind                    en0    cls="a b" "x\\x1b"=1,{z=yes} copy={}'
    )


def test_times_on_a_terminal_are_local_and_days_are_told(local_time):
    """A clock is enough, but where the day changes a line says which one it is."""
    paint = painter(terminal=True)
    later = 700 * 86_400  # on no day that these tests run on
    before, after = record(1, second=later + 49_800), record(2, second=later + 50_400)
    lines = [paint(one.line).decode() for one in (before, after, after)]
    assert lines[0].startswith("--- Tuesday 2028-10-24 ---\n")
    assert "23:59:31.123456" in lines[0]
    assert lines[1].startswith("--- Wednesday 2028-10-25 ---\n")
    assert "---" not in lines[2]


def test_compact_has_no_more_than_it_says():
    """Time, type and interface; the severity is a colour, where there are any."""
    line = record(1).line
    time = "2026-11-24T08:09:31.124456Z"
    plain = painter(compact=True, terminal=False)(line).decode()
    assert plain == f"{time} network.dl.link-off        en0"
    assert "\x1b[32mnetwork.dl.link-off" in painter(compact=True, terminal=True)(line).decode()


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_colour_is_for_terminals_and_can_be_refused(monkeypatch, name, value):
    """Pipes, NO_COLOR and dumb terminals get none."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    line = record(1).line
    assert b"\x1b[" in painter(terminal=True)(line)
    assert b"\x1b[" not in painter(terminal=False)(line)
    monkeypatch.setenv(name, value)
    assert b"\x1b[" not in painter(terminal=True)(line)


@given(st.text())
def test_json_acts_on_no_terminal(text):
    """There it says the same, by escapes; elsewhere it is left as it is."""
    line = json.dumps({"x": text}, ensure_ascii=False).encode()
    shown = painter(as_json=True, terminal=True)(line)
    assert shown.decode().isprintable()
    assert painter(as_json=True, terminal=False)(line) is line
    assert json.loads(shown) == {"x": text}
    assert shown is line or not text.isprintable()


def test_closed_output_is_none(monkeypatch):
    """Where nobody can be shown anything there is nothing to write to."""
    monkeypatch.setattr(sys, "stdout", None)
    assert standard_output() is None

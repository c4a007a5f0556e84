"""`kevmond state`, against a real journal behind the API."""

import json

import pytest

from kevmond.cli import daemon
from kevmond.cli.state import _SPANS, _lasted
from kevmond.events import own

NOW = "2026-11-24T08:09:45+00:00"

DETAILS = """\
en0  down
  there          yes  for 14 s
  up             yes  for 14 s
  running        no  for 14 s
  MTU            1500  for 14 s
  link address   02:00:5e:10:00:01  for 14 s
  last event     5  network.dl.link-off  14 s ago
  addresses      192.0.2.7/24  for 14 s
                 fe80::1/64  for 14 s

                STATE    FROM                 TO                   LASTED
  interface     present  2026-11-24 10:09:31  now                  14 s
  link          up       2026-11-24 10:09:31  2026-11-24 10:09:31  0.004 s
                down     2026-11-24 10:09:31  now                  14 s
  192.0.2.7/24  present  2026-11-24 10:09:31  now                  14 s
  fe80::1/64    present  2026-11-24 10:09:31  now                  14 s
"""


@pytest.fixture(autouse=True)
def now(monkeypatch):
    """Let the command's clock stand a few seconds behind the events."""

    def seconds_between(begin, end):
        return between(begin, NOW if end is None else end)

    between = daemon.seconds_between
    monkeypatch.setattr(daemon, "seconds_between", seconds_between)


@pytest.fixture
def machine(past):
    """Tell a snapshot of two interfaces; en1 goes away, and en0's cable is pulled."""
    en0 = own.InterfaceState(
        name="en0",
        up=True,
        running=True,
        mtu=1500,
        addresses=("02:00:5e:10:00:01", "192.0.2.7/24", "fe80::1/64"),
    )
    past.say(own.Snapshot(cause="start", state=en0))
    past.say(own.Snapshot(cause="start", state=own.InterfaceState(name="en1", running=False)))
    past.say(own.Resync(cause="start", first=True))
    gone = own.Change(interface="en1", field="interface", before="present")
    past.say(own.Resync(cause="wake", changes=(gone,)))
    past.put(code=12)


@pytest.fixture
def state(ask):
    """Call `kevmond state ARGS...`."""
    return lambda *args: ask("state", *args)


def test_table(state, machine):
    """An interface a row, further addresses below; what is gone is left out."""
    assert state().lines == [
        "NAME  STATE  SINCE     ADDRESSES",
        "en0   down   14 s ago  192.0.2.7/24",
        "                       fe80::1/64",
    ]


def test_gone_ones_can_be_listed(state, machine):
    """With --gone, and since when."""
    assert state("--gone").lines[-1].split() == ["en1", "gone", "14", "s", "ago"]


def test_details(state, machine, local_time):
    """All that is known of one interface, and what it was lately."""
    shown = state("en0", "--since", "2026-11-24T08:00:00Z").out
    assert shown == DETAILS


def test_one_that_is_gone(state, machine):
    """What it was like is still told."""
    lines = state("en1").lines
    assert lines[:2] == ["en1  gone", "  there          no  for 14 s"]


def test_past_that_is_long_is_cut(state, past):
    """Of a link that flaps the latest spans are shown, and that there were more."""
    for _ in range(_SPANS):
        past.put(code=13)
        past.put(code=12)
    lines = state("en0", "--since", "2026-11-24T08:00:00Z").lines
    first = next(at for at, line in enumerate(lines) if line.split()[:2] == ["link", "..."])
    assert len(lines) - first - 1 == _SPANS
    assert lines[-1].split()[0] == "down"


def test_nothing_lately(state, machine):
    """A stretch of time with nothing in it is told as that."""
    assert state("en1", "--since", "1s").lines[-1] == "nothing is known of what it was since 1s"


def test_doubt_is_marked(state, past):
    """The kernel said that flags were set, and not to what."""
    past.say(own.Snapshot(cause="start", state=own.InterfaceState(name="en0", up=True)))
    past.say(own.Resync(cause="start", first=True))
    past.put(code=1)
    assert state().lines[1].split()[:2] == ["en0", "up?"]
    assert "  up             yes?  for" in state("en0").out


def test_no_interfaces(state):
    """A journal may know of none."""
    assert state().lines[1].startswith("no interface is known")


def test_unknown_name_gets_a_hint(state, machine):
    """Exit code 1, and the nearest name, or all of them."""
    result = state("en9")
    assert (result.code, "no interface 'en9'; did you mean en1 or en0?" in result.err) == (1, True)
    assert "there are en0, en1" in state("wlan").err


def test_time_that_is_none_is_told(state, machine):
    """Wrong usage exits with 2, whether or not the time is needed."""
    for args in ((), ("en0",)):
        result = state(*args, "--since", "lately")
        assert (result.code, "or how long ago" in result.err) == (2, True)


def test_json(state, machine):
    """Programs get the API's facts: all, or one with its past."""
    facts = json.loads(state("--json").out)
    assert [one["name"] for one in facts["interfaces"]] == ["en0", "en1"]
    one = json.loads(state("en0", "--json", "--since", "2026-11-24T08:00:00Z").out)
    assert (one["name"], one["mtu"], one["running"]) == ("en0", 1500, False)
    assert {lane["kind"] for lane in one["lanes"]} == {"interface", "link", "address"}


def test_name_that_acts_on_a_terminal_does_not(state, past):
    """Names come from outside."""
    name = "e\x1b[2J\x07n"  # click takes out the first one by itself where there is no terminal
    past.say(own.Snapshot(cause="start", state=own.InterfaceState(name=name, up=True)))
    past.say(own.Resync(cause="start", first=True))
    shown = state().out + state(name).out + state("x").err + state(f"{name}x").err
    assert not {"\x1b", "\x07"} & set(shown)


@pytest.mark.parametrize(
    ("end", "text"),
    [
        ("2026-11-24T08:00:00.040Z", "0.040 s"),
        ("2026-11-24T08:00:30Z", "30 s"),
        ("2026-11-24T08:20:00Z", "20 min"),
        ("2026-11-24T18:00:00Z", "10 h"),
        ("2026-11-30T08:00:00Z", "6 d"),
    ],
)
def test_lengths_of_time(end, text):
    """In the largest unit, and to the millisecond where it is short."""
    assert _lasted("2026-11-24T08:00:00Z", end) == text


def test_without_a_daemon_the_way_to_one_is_told(kevmond, tmp_path):
    """EX_UNAVAILABLE, and the command that starts one."""
    result = kevmond("state", "--state-dir", tmp_path)
    assert (result.code, "start it with `kevmond run`" in result.err) == (69, True)

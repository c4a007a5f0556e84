"""`kevmond tail`: what it shows, what it says when the daemon goes, and where it goes on."""

import io
import json
import os
import re
import signal
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from kevmond.api.client import ApiRefusal, ApiUnreachable
from kevmond.api.operations.events import SCHEMAS
from kevmond.api.sse_parser import ServerEvent
from kevmond.cli.following import Following
from kevmond.cli.told import Out
from kevmond.sinks.console import Console

PATIENCE = 30


# ---------------------------------------------------------------------- a scripted daemon


def event(seq):
    """Make an event."""
    return ServerEvent(str(seq), "event", b'{"seq": %d}' % seq)


def frame(kind, seq=None, **facts):
    """Make what is no event."""
    cursor = None if seq is None else str(seq)
    return ServerEvent(cursor, kind, json.dumps(facts).encode())


def hello(seq):
    """Make the beginning of a stream."""
    return frame("hello", seq, after=seq)


def caught_up(seq):
    """Make the sign that all is told that was there."""
    return frame("caught-up", seq, newest=seq)


GONE = ApiUnreachable("cut")
NOBODY = ApiUnreachable("no daemon runs here")
SILENT = ApiUnreachable("the daemon does not answer within 45 s")
SILENT.__cause__ = TimeoutError()
BUSY = ApiRefusal(503, "128 streams are open")
STOP = KeyboardInterrupt()


class Script:
    """A client whose streams are written down: batches, and what is raised between them."""

    def __init__(self, *streams):
        self.streams = list(streams)
        self.asked = []

    def stream(self, *where, query, cursor):
        self.asked.append((query, cursor))
        for each in self.streams.pop(0):
            if isinstance(each, BaseException):
                raise each
            yield each


class Tail:
    """One that reads a script."""

    def __init__(self, *streams, query=None, **options):
        self.script = Script(*streams)
        self.output = io.BytesIO()
        self.waits = []
        self.following = Following(
            self.script, query or {}, bytes, Out(self.output), sleep=self.waits.append, **options
        )

    def run(self, error=KeyboardInterrupt, **begin):
        with pytest.raises(error):
            self.following.run(**begin)
        return self.following.cursor

    @property
    def seqs(self):
        return [json.loads(line).get("seq") for line in self.output.getvalue().splitlines()]


def test_each_stream_goes_on_where_the_one_before_ended(capsys):
    """The cursor is that of the last event that was written, or of the last position."""
    tail = Tail(
        [[hello(4)], [event(5), event(6)], GONE],
        [[hello(6)], [event(7)], [frame("position", 9)], GONE],
        [[hello(9)], STOP],
    )
    assert tail.run() == "9"
    assert tail.seqs == [5, 6, 7]
    assert [cursor for _, cursor in tail.script.asked] == [None, "6", "9"]


def test_beginning_is_asked_for_once():
    """`since` counts until there is a cursor; conditions go with every stream."""
    tail = Tail([GONE], [[hello(4)], GONE], [STOP], query={"type": "x"}, wait=True)
    tail.run(since="10m")
    asked = {"type": "x", "since": "10m"}
    assert tail.script.asked == [(asked, None), (asked, None), ({"type": "x"}, "4")]


def test_going_and_coming_back_is_told(capsys):
    """Once when it goes, once when it is back, and whether anything was missed."""
    back = [[hello(4)], [event(5)], [caught_up(5)]]
    tail = Tail([[hello(4)], [caught_up(4)], GONE], [NOBODY], [NOBODY], [*back, GONE], [STOP])
    tail.run()
    assert capsys.readouterr().err.splitlines() == [
        "kevmond: the daemon is gone; waiting for it to come back",
        "kevmond: the daemon is back",
        "kevmond: nothing was missed of what its journal has",
        "kevmond: the daemon is gone; waiting for it to come back",
    ]


def test_waits_grow_and_begin_anew():
    """From 0.2 s to 5 s, and short again once a daemon has told all that it had."""
    silent = [[hello(1)], GONE]
    tail = Tail(silent, *([NOBODY] for _ in range(6)), [[hello(1)], [caught_up(1)], GONE], [STOP])
    tail.run()
    assert tail.waits == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 0.2]


@pytest.mark.parametrize(
    ("end", "words"),
    [
        ([[frame("bye", reason="stopping")]], "the daemon says goodbye: stopping"),
        ([SILENT], "the daemon does not answer within 45 s"),
        ([BUSY], "128 streams are open"),
        ([], "the daemon is gone"),
    ],
)
def test_reason_of_the_wait_is_told(capsys, end, words):
    """Every way of being left has its own words, said once."""
    Tail([[hello(4)], *end], [STOP]).run()
    assert capsys.readouterr().err == f"kevmond: {words}; waiting for it to come back\n"


@pytest.mark.parametrize("begin", [{}, {"after": 7}, {"since": "1h"}])
def test_no_daemon_at_first_is_an_error(begin):
    """Wherever it should begin; a script need not wait for what never comes."""
    tail = Tail([NOBODY])
    tail.run(ApiUnreachable, **begin)
    assert tail.waits == []


def test_no_daemon_at_first_may_be_waited_for(capsys):
    """With `wait` one that does not run yet is no error; it has not come back, it has come."""
    tail = Tail([NOBODY], [NOBODY], [[hello(0)], [event(1), caught_up(1)], STOP], wait=True)
    assert tail.run() == "1"
    assert capsys.readouterr().err.splitlines() == [
        "kevmond: no daemon runs here; waiting for one",
        "kevmond: a daemon is there",
    ]


def test_refusal_is_no_reason_to_wait():
    """What the daemon does not understand it will not understand later."""
    refusal = ApiRefusal(422, "no such rule")
    Tail([refusal]).run(ApiRefusal)
    Tail([[hello(1)], GONE], [refusal]).run(ApiRefusal)
    Tail([BUSY]).run(ApiRefusal)


MISSED = {"missed": 3, "first": 5, "last": 7, "reason": "they left the journal"}


def test_what_was_missed_is_told_where_it_is_missing(capsys):
    """On stderr, and not that nothing was missed; what follows goes on behind it."""
    tail = Tail(
        [[hello(4)], GONE],
        [[hello(4)], [frame("missed", 7, **MISSED), event(8)], [caught_up(8)], GONE],
        [STOP],
    )
    assert tail.run() == "8"
    told = capsys.readouterr().err
    assert "kevmond: 3 events are missing, 5 to 7: they left the journal\n" in told
    assert "nothing was missed" not in told
    assert tail.seqs == [8]


def test_what_was_missed_once_is_not_missed_for_ever(capsys):
    """Each return of the daemon has an answer of its own."""
    whole = [[hello(8)], [caught_up(8)], GONE]
    slow = [[hello(4)], [caught_up(4)], [frame("missed", 5, **{**MISSED, "missed": 1, "last": 5})]]
    Tail([*slow, GONE], whole, [[hello(8)], GONE], whole, [STOP]).run()
    told = capsys.readouterr().err.splitlines()
    assert told[0] == "kevmond: 1 event is missing, 5 to 5: they left the journal"
    assert [line.removeprefix("kevmond: ") for line in told[1:]] == [
        "the daemon is gone; waiting for it to come back",
        "the daemon is back",
        "nothing was missed of what its journal has",
        "the daemon is gone; waiting for it to come back",
        "the daemon is back",
        "the daemon is gone; waiting for it to come back",
        "the daemon is back",
        "nothing was missed of what its journal has",
        "the daemon is gone; waiting for it to come back",
    ]


def test_what_was_missed_is_a_line_of_json(capsys):
    """Between the events that it is missing between."""
    tail = Tail(
        [[hello(3)], [event(4), frame("missed", 7, **MISSED), event(8)], STOP], as_json=True
    )
    tail.run()
    lines = [json.loads(line) for line in tail.output.getvalue().splitlines()]
    assert lines == [
        {"seq": 4}, {"schema": "kevmond/1", "type": "tail.missed", **MISSED}, {"seq": 8},
    ]  # fmt: skip


def test_journal_that_began_anew_is_told(capsys):
    """Its events are shown from the first one."""
    anew = {"missed": None, "first": None, "last": None, "reason": "the journal began anew"}
    tail = Tail([[hello(0), frame("missed", 0, **anew), event(1)], STOP], as_json=True)
    assert tail.run(after=99) == "1"
    assert "from its beginning: the journal began anew" in capsys.readouterr().err
    assert json.loads(tail.output.getvalue().splitlines()[0])["missed"] is None


def test_end_of_what_is_there_is_the_end():
    """Without following, what comes behind it is not shown."""
    tail = Tail([[hello(3)], [event(4), caught_up(4), event(5)], STOP], follow=False)
    tail.following.run(after=3)
    assert tail.seqs == [4]


def test_without_following_no_daemon_is_waited_for():
    """A list that breaks off is an error, not a wait."""
    Tail([[hello(3)], [event(4)], GONE], follow=False).run(ApiUnreachable)
    tail = Tail([[hello(3)], GONE], [[hello(3)], [caught_up(3)]], follow=False, wait=True)
    tail.following.run(after=3)


def test_what_could_not_be_written_is_asked_for_again():
    """The cursor does not pass what nobody has seen."""

    class Full(io.BytesIO):
        def flush(self):
            raise OSError(28, "No space left on device")

    tail = Tail([[hello(4)], [event(5)]])
    tail.following._out = Out(Full())
    assert tail.run(OSError) == "4"


# ---------------------------------------------------------------------- a real journal


@pytest.fixture
def tail(ask):
    """Call `kevmond tail --no-follow ARGS...`."""
    return lambda *args: ask("tail", "--no-follow", *args)


def seqs(result):
    """Return the positions of what was printed as JSON."""
    assert result.code == 0, result.err
    return [json.loads(line)["seq"] for line in result.lines]


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ([], list(range(16, 26))),
        (["-n", "3"], [23, 24, 25]),
        (["-n", "99"], list(range(1, 26))),
        (["-n", "0"], []),
        (["--after", "22"], [23, 24, 25]),
        (["--after", "25"], []),
        (["--after", "0"], list(range(1, 26))),
        (["--since", "36500d"], list(range(1, 26))),
        (["--since", "1s"], []),
        (["-n", "2", "-i", "en1"], [4, 5]),
        (["interface=en1", "-n", "1"], [5]),
        (["interface=en1", "severity=notice", "--after", "0"], [3, 4, 5]),
        (["-n", "2", "--text", "no such thing"], []),
    ],
)
def test_beginning(tail, past, monkeypatch, args, expected):
    """It begins where it is told to, over however many pages of the past the way goes."""
    monkeypatch.setattr("kevmond.cli.paging.PAGE", 2)
    past.put(2)
    past.put(3, unit=1)
    past.put(20)
    assert seqs(tail("--json", *args)) == expected


def test_empty_journal(tail):
    """There may be nothing yet."""
    result = tail("-n", "3")
    assert (result.code, result.out, result.err) == (0, "", "")


def test_cursor_beyond_the_journal(tail, past):
    """A cursor of a journal that was set aside is told, and all of the new one is shown."""
    past.put(2)
    result = tail("--json", "--after", "99")
    told, *events = [json.loads(line) for line in result.lines]
    assert (told["type"], told["missed"]) == ("tail.missed", None)
    assert [one["seq"] for one in events] == [1, 2]
    assert "it began anew, or the position is another's" in result.err


def test_lines_are_those_of_the_log_sink(tail, past):
    """Away from a terminal an event looks as in a log; with --json it is what sinks write."""
    (one,) = past.put()
    assert tail().lines == [Console(colour=False, short_time=False).line(one)]
    assert tail("--json").lines == [one.line.decode()]
    assert tail("--compact").lines == ["2026-11-24T08:09:31.124456Z network.dl.link-off        en0"]


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["--since", "1h", "--after", "3"], "Say once where to begin"),
        (["-n", "1", "--after", "3"], "Say once where to begin"),
        (["--json", "--compact"], "choose one"),
        (["--since", "never"], "not a time"),
        (["en0"], "Perhaps --interface en0"),
        (["--after", "x"], "not a valid integer"),
    ],
)
def test_mistakes_are_told(kevmond, args, text):
    """Wrong usage exits with 2, and no daemon is asked."""
    result = kevmond("tail", *args)
    assert (result.code, text in result.err) == (2, True), result.err


def test_without_a_daemon_the_way_to_one_is_told(kevmond, tmp_path):
    """EX_UNAVAILABLE, and the command that starts one."""
    result = kevmond("tail", "--state-dir", tmp_path)
    assert (result.code, "start it with `kevmond run`" in result.err) == (69, True)


def test_closed_output_ends_it(kevmond, past, monkeypatch):
    """Whoever closes the output wants nothing: that is the end, and no failure."""
    past.put()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", None)
        result = kevmond("tail", "--state-dir", past.folder)
    assert (result.code, result.err) == (0, "")


# ---------------------------------------------------------------------- a process


class Process:
    """`kevmond tail` beside this process; its output is read line by line."""

    def __init__(self, folder, *args, **options):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "kevmond", "tail", "--state-dir", str(folder), *args],
            stderr=subprocess.PIPE,
            **{"stdout": subprocess.PIPE, **options},
        )

    def line(self):
        return self.process.stdout.readline()

    def end(self, number=None):
        """Send a signal, if any, and return exit code and stderr."""
        if number is not None:
            self.process.send_signal(number)
        _, err = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, err.decode()


@pytest.fixture
def started(past):
    """Start `kevmond tail ARGS...`."""
    found = []

    def start(*args, **options):
        found.append(Process(past.folder, *args, **options))
        return found[-1]

    yield start
    for each in found:
        each.process.kill()
        each.end()


def test_line_is_in_the_pipe_when_the_event_is_there(started, past):
    """No buffer keeps it until there are more."""
    past.put()
    tail = started("--after", "0")
    assert b"network.dl.link-off" in tail.line()
    past.put(code=13)
    assert b"network.dl.link-on" in tail.line()


def test_ctrl_c_tells_where_to_go_on(started, past):
    """Exit code 130, and a cursor for --after: the last event may come again, none is missed."""
    past.put(3)
    tail = started("-n", "1")
    tail.line()
    code, err = tail.end(signal.SIGINT)
    told, _, cursor = err.partition(" --after ")
    assert (code, told) == (130, "kevmond: to go on from here:")
    assert cursor in {"2\n", "3\n"}


def test_reader_that_has_seen_enough_ends_it_at_once(started, past):
    """Nothing has to happen for that, and it is no failure."""
    past.put()
    tail = started("--after", "0")
    tail.line()
    tail.process.stdout.close()
    tail.process.stdout = None
    assert tail.end() == (0, "")


def test_reader_that_was_never_there_ends_it(started, past):
    """A pipe that is closed at the first event already."""
    past.put(5)
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as output:
        tail = started("--after", "0", stdout=output)
        assert tail.end() == (0, "")


def test_file_that_is_full_is_told(started, past):
    """Exit code 74, the reason, and where to go on when there is room."""
    past.put()
    with open("/dev/full", "wb") as output:  # noqa: PTH123 - no file of its own
        code, err = started("--after", "0", stdout=output).end()
    assert (code, "No space left on device" in err) == (74, True)
    assert "kevmond: to go on from here: --after 0\n" in err


def test_slow_reader_gets_everything(started, past):
    """A pipe that is full until all is posted costs nothing."""
    tail = started("--json", "--after", "0")
    for _ in range(30):
        past.put(100)
    assert [json.loads(tail.line())["seq"] for _ in range(3000)] == list(range(1, 3001))


def test_terminal_gets_colour_and_local_time(past, monkeypatch):
    """On a terminal, unless NO_COLOR says no."""
    past.put()
    assert b"\x1b[" in on_terminal(past.folder)
    monkeypatch.setenv("NO_COLOR", "1")
    shown = on_terminal(past.folder)
    assert (b"\x1b[" in shown, b"2026-11-24T" in shown) == (False, False)


@pytest.mark.parametrize("form", [[], ["--compact"], ["--json"]])
def test_name_acts_on_no_terminal(past, monkeypatch, form):
    """What an event brings along is shown there by its escapes, whatever the form."""
    monkeypatch.setenv("NO_COLOR", "1")
    past.put(interface="\x1b[2J\x7f")
    shown = on_terminal(past.folder, *form).decode()
    assert shown.replace("\r\n", "").isprintable()
    assert ("[2J" in shown, "7f0" in shown) == (True, True)


def on_terminal(folder, *form):
    """Return what `kevmond tail -n 1 --no-follow` shows on a terminal."""
    master, terminal = os.openpty()
    try:
        words = ["tail", "--state-dir", str(folder), "-n", "1", "--no-follow", *form]
        environment = {**os.environ, "TERM": "xterm"}
        subprocess.run(
            [sys.executable, "-m", "kevmond", *words],
            stdout=terminal, env=environment, check=True, timeout=PATIENCE,
        )  # fmt: skip
        return os.read(master, 65536)
    finally:
        os.close(master)
        os.close(terminal)


# ---------------------------------------------------------------------- docs/tail.md

TEXT = (Path(__file__).parents[2] / "docs" / "tail.md").read_text()
COMMANDS = ("tail", "history", "state", "explain")


def test_docs_name_every_option_and_no_other():
    """What can be given is told, and what is told can be given."""
    there = {
        option
        for name in COMMANDS
        for parameter in import_module(f"kevmond.cli.{name}").command.params
        for option in parameter.opts
        if option.startswith("--")
    }
    told = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", TEXT))
    assert told - {"--failed"} - there == set()
    assert there - told == set()


def test_docs_name_every_verdict():
    """Those that the API may give."""
    shape = SCHEMAS["Explanation"]["properties"]["consumers"]["items"]["properties"]["verdict"]
    assert set(re.findall(r"^\| `([a-z-]+)` \| ", TEXT, re.MULTILINE)) >= set(shape["enum"])
    epilog = import_module("kevmond.cli.explain").command.epilog
    assert all(re.search(rf"^{verdict}  ", epilog, re.MULTILINE) for verdict in shape["enum"])

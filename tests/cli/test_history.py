"""`kevmond history`, against a real journal behind the API."""

import io
import json
import sys

import pytest

from kevmond.cli import paging
from kevmond.events import own
from kevmond.sinks.console import Console
from kevmond.sinks.testing import odd_records


@pytest.fixture
def history(ask):
    """Call `kevmond history ARGS...`."""
    return lambda *args: ask("history", *args)


def seqs(result):
    """Return the positions of what was printed as JSON."""
    assert result.code == 0, result.err
    return [json.loads(line)["seq"] for line in result.lines]


class TestList:
    def test_lines_are_those_of_the_log_sink(self, history, past):
        """Away from a terminal an event looks as in a log: whole UTC time, and no colour."""
        records = past.put(3)
        console = Console(colour=False, short_time=False)
        assert history().lines == [console.line(record) for record in records]

    def test_last_hundred_oldest_first(self, history, past):
        """Without any option these are what is shown."""
        past.put(120)
        assert seqs(history("--json")) == list(range(21, 121))

    def test_json_is_the_journal_s_own(self, history, past):
        """Each line is, byte for byte, what sinks write, whatever the event holds."""
        records = [one for odd in odd_records(1)[:-1] for one in past.put(raw=odd.body)]
        records.append(past.say(own.Stop(reason="é \u2028 \x7f", uptime=5e-05)))
        past.put()
        lines = history("--json", "--all").out.encode().split(b"\n")
        assert lines[: len(records)] == [record.line for record in records]

    @pytest.mark.parametrize(
        ("args", "expected"),
        [
            (["--limit", "3"], [48, 49, 50]),
            (["--limit", "3", "--reverse"], [50, 49, 48]),
            (["--limit", "25"], list(range(26, 51))),
            (["--all"], list(range(1, 51))),
            (["--all", "--reverse"], list(range(50, 0, -1))),
            (["--limit", "500"], list(range(1, 51))),
        ],
    )
    def test_pages_make_one_list(self, history, past, monkeypatch, args, expected):
        """Order and number are as asked for, however many pages it takes."""
        monkeypatch.setattr(paging, "PAGE", 7)
        past.put(50)
        assert seqs(history("--json", *args)) == expected

    def test_all_ends_although_more_comes(self, history, past, monkeypatch):
        """What comes while it lists is not waited for."""
        monkeypatch.setattr(paging, "PAGE", 2)
        past.put(5)
        page_of = paging.page_of

        def page(text):
            past.put(2)
            return page_of(text)

        monkeypatch.setattr(paging, "page_of", page)
        assert seqs(history("--json", "--all")) == [1, 2, 3, 4, 5]

    def test_empty_journal_is_an_empty_list(self, history):
        """Nothing is printed, and that is no failure."""
        result = history()
        assert (result.code, result.out, result.err) == (0, "", "")

    def test_compact(self, history, past):
        """Time, type and interface only."""
        past.put()
        time = "2026-11-24T08:09:31.124456Z"
        assert history("--compact").out == f"{time} network.dl.link-off        en0\n"

    def test_answer_that_is_no_page_is_told(self, history, monkeypatch):
        """A daemon of another kind is EX_UNAVAILABLE, not a traceback."""
        monkeypatch.setattr(paging, "_HEAD", "{'")
        result = history()
        assert (result.code, "the answer is no page of events" in result.err) == (69, True)


class TestCondition:
    @pytest.fixture(autouse=True)
    def events(self, past):
        """Post link-off of en0 and en1, link-on of en1, and a record of kevmond's own."""
        past.put(unit=0)
        past.put(unit=1)
        past.put(unit=1, code=13)
        past.say(own.Stop(reason="SIGTERM"))

    @pytest.mark.parametrize(
        ("args", "expected"),
        [
            (["interface=en1", "code=link-on"], [3, 4]),
            (["interface=en1 code=link-on"], [3, 4]),
            (["interface=en0", "interface=en1 code=link-on"], [1, 3, 4]),
            (["--filter", "interface=en0", "--filter", "code=link-on"], [1, 3, 4]),
            (["interface=en0", "--filter", "code=link-on"], [1, 3, 4]),
            (["drop", "interface=en1"], [1, 4]),
            (["type!=network.dl.link-off"], [3, 4]),
            (["-i", "en1"], [2, 3]),
            (["-i", "en0", "-i", "en1"], [1, 2, 3]),
            (["--type", "kevmond.*"], [4]),
            (["--type", "network.dl.link-on", "--type", "kevmond.stop"], [3, 4]),
            (["--text", "sigterm"], [4]),
            (["-i", "en1", "--type", "network.dl.link-off"], [2]),
        ],
    )
    def test_words_and_options(self, history, args, expected):
        """Words alone make one rule, arguments of several words and --filter others."""
        assert seqs(history("--json", *args)) == expected

    @pytest.mark.parametrize(
        ("args", "text"),
        [
            (["en0"], "Perhaps --interface en0, --type en0 or --text en0?"),
            (["clas=network"], "nearest known one is 'class'"),
            (["--type", "network.dl.link-onn"], "nearest known one is 'network.dl.link-on'"),
            (["--since", "yesterday"], "write 2026-11-24T08:09:31Z, or how long ago"),
            (["--since", "1m", "--until", "1h"], "--since is later than --until"),
            (["--all", "--limit", "5"], "exclude each other"),
            (["--json", "--compact"], "choose one"),
            (["--count-by", "type", "--reverse"], "for lists, not for counts"),
            (["--bucket", "1.5s"], "whole seconds only"),
            (["--bucket", "0"], "whole seconds only"),
            (["--bucket", "soon"], "not a duration"),
        ],
    )
    def test_mistakes_are_told(self, history, args, text):
        """Wrong usage exits with 2 and says what to write."""
        result = history(*args)
        assert (result.code, text in result.err) == (2, True), result.err


class TestTime:
    @pytest.fixture(autouse=True)
    def events(self, past):
        """Post an event every minute for ten minutes."""
        for minute in range(10):
            past.put(second=60 * minute)

    def test_span(self, history):
        """Both ends are included, and an hour without a zone is local."""
        args = ("--since", "2026-11-24T08:11:31.123456Z", "--until", "2026-11-24T08:13:31.123456Z")
        assert seqs(history("--json", *args)) == [3, 4, 5]

    def test_local_time(self, history, local_time):
        """A time without a zone is one of this machine's."""
        assert seqs(history("--json", "--since", "2026-11-24T10:17:00")) == [9, 10]

    def test_how_long_ago(self, history):
        """Times are taken back from now."""
        assert seqs(history("--json", "--since", "36500d")) == list(range(1, 11))
        assert seqs(history("--json", "--until", "36500d")) == []


class TestCounts:
    def test_by_name(self, history, past):
        """Names with the most first, their share, and bars to compare."""
        past.put(6)
        past.put(2, unit=1)
        assert history("--count-by", "interface").lines == [
            "NAME   EVENTS  SHARE",
            "en0         6   75 %  ########################################",
            "en1         2   25 %  #############",
            "(all)       8",
        ]

    def test_over_time(self, history, past, local_time):
        """Stretches with nothing in them are shown, many at once as one line."""
        for minute in (0, 0, 2, 9):
            past.put(second=60 * minute)
        assert history("--bucket", "1m").lines == [
            "FROM              EVENTS",
            "2026-11-24 10:09       2  ########################################",
            "2026-11-24 10:10       0",
            "2026-11-24 10:11       1  ####################",
            "  ... 6 x              0",
            "2026-11-24 10:18       1  ####################",
        ]

    def test_both(self, history, past):
        """A table each."""
        past.put(3)
        lines = history("--count-by", "severity", "--bucket", "10s").lines
        assert [line.split()[0] for line in lines if line] == [
            "NAME", "notice", "(all)", "FROM", "2026-11-24",
        ]  # fmt: skip
        assert lines[5].endswith(":30       3  ########################################")

    def test_condition_counts_too(self, history, past):
        """Only what fits is counted."""
        past.put(3)
        past.put(1, unit=1)
        assert history("-i", "en1", "--count-by", "type").lines[-1] == "(all)                     1"

    def test_nothing(self, history):
        """No events are a count of none."""
        assert history("--count-by", "type").lines == ["NAME   EVENTS  SHARE", "(all)       0"]
        assert history("--bucket", "1m").lines == ["FROM  EVENTS"]

    def test_json_is_the_api_s(self, history, past):
        """Programs get the figures as they are."""
        past.put(3)
        facts = json.loads(history("--bucket", "60", "--json").out)
        assert (facts["total"], facts["by"]) == (3, {"network.dl.link-off": 3})
        assert [one["count"] for one in facts["buckets"]] == [3]

    def test_count_of_a_part_says_so(self, history, past, monkeypatch):
        """Where there is more than is looked at, the rest is not passed over in silence."""
        monkeypatch.setattr("kevmond.history.counts.LOOKED", 256)
        past.put(600)
        result = history("--count-by", "type")
        assert "only the newest 256 events were looked at, back to 2026-11-24T" in result.err


def test_hint_at_more_is_for_people(history, past, monkeypatch):
    """A person is told that a list is not all; a pipe is not disturbed."""

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    past.put(101)
    assert history().err == ""
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", screen := Terminal())
        history()
        history("--all")
        history("--limit", "100")
    assert screen.getvalue().count("the last 100; more with --limit N or --all") == 1


def test_without_a_daemon_the_way_to_one_is_told(kevmond, tmp_path):
    """EX_UNAVAILABLE, the path that was tried, and the command that starts one."""
    result = kevmond("history", "--state-dir", tmp_path)
    assert (result.code, "start it with `kevmond run`" in result.err) == (69, True)

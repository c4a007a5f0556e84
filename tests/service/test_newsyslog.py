"""The entry for newsyslog, held against the grammar of newsyslog.conf(5)."""

import re
from pathlib import Path

import pytest

from kevmond.service.newsyslog import entry

SHIPPED = Path(__file__).parents[2] / "config/newsyslog.d/kevmond.conf"

ROW = re.compile(
    r"""(?P<path>/[^\s#]+)
        (?:\s+(?P<owner>[\w.-]*:[\w.-]*))?
        \s+(?P<mode>[0-7]{3,4})
        \s+(?P<count>\d+)
        \s+(?P<size>\d+|\*)
        \s+(?P<when>\*|\d+|[$@][\w]+)
        (?:\s+(?P<flags>[BCDGJNUWZ]+|-))?
        (?:\s+(?P<pid_file>/\S+))?
        (?:\s+(?P<signal>\d+))?""",
    re.VERBOSE,
)


def rows(text):
    """Read the rows as newsyslog does: fields between white space, `#` begins a comment."""
    lines = [line.partition("#")[0].strip() for line in text.splitlines()]
    found = [ROW.fullmatch(line) for line in lines if line]
    assert all(found), text
    return [row.groupdict() for row in found]


def test_the_shipped_file_begins_with_what_is_installed():
    """The rest of it is an example in comments."""
    assert SHIPPED.read_text().startswith(entry(Path("/var/log/kevmond.err")))
    assert len(rows(SHIPPED.read_text())) == 1


def test_the_error_file_is_bounded_and_private():
    """By size, a few of them, root's alone."""
    (row,) = rows(entry(Path("/var/log/kevmond.err")))
    assert row["path"] == "/var/log/kevmond.err"
    assert (row["owner"], row["mode"]) == ("root:wheel", "600")
    assert (int(row["count"]), int(row["size"]), row["when"]) == (3, 1024, "*")


def test_nobody_is_signalled():
    """Without N and without a pid file, syslogd would be; kevmond writes no pid file."""
    (row,) = rows(entry(Path("/var/log/kevmond.err")))
    assert "N" in row["flags"]
    assert row["pid_file"] is None


def test_the_new_file_belongs_to_whom_launchd_opens_it_for():
    """A file of root's would keep a daemon of another user's from being started."""
    (row,) = rows(entry(Path("/var/log/kevmond.err"), "alice"))
    assert row["owner"] == "alice:wheel"


def test_the_example_of_an_event_file_is_right_too():
    """Once its comment is taken away: no path with a space, JSON only (B), no signal (N)."""
    (line,) = [line for line in SHIPPED.read_text().splitlines() if "events.jsonl  root" in line]
    (row,) = rows(line.removeprefix("# "))
    assert set("BN") <= set(row["flags"])


@pytest.mark.parametrize("line", ["/a b root:wheel 600 3 1 * N", "/a 600 3 * *  Q", "a 600 3 1 *"])
def test_the_grammar_refuses_what_newsyslog_would_not_understand(line):
    """It is no grammar that everything passes."""
    assert ROW.fullmatch(line) is None

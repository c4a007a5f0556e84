"""SIGHUP: what is taken over, what is refused, what needs a restart."""

import signal

import pytest

LINK_ON = (1, 1, 2, 13, b"\x02\0\0\0\0\0\0\0en".ljust(24, b"\0"))
BASE = """\
[kernel]
source = "simulated:{kernel}"
[capture]
snapshot = false
[sinks.jsonl]
type = "jsonl"
path = "events.jsonl"
"""


@pytest.fixture
def configured(daemon, kernel, tmp_path):
    """Run a daemon with a configuration file, and give it a way to rewrite that and say HUP."""
    path = tmp_path / "kevmond.toml"
    base = BASE.format(kernel=kernel.path)
    path.write_text(base)
    running = daemon("-c", str(path))
    running.wait_for("kevmond.start")

    def rewrite(text):
        path.write_text(text)
        running.send(signal.SIGHUP)

    running.base, running.rewrite = base, rewrite
    return running


def test_changed_filter_is_applied(configured, kernel):
    """A sink's new filter holds from the reload on."""
    configured.rewrite(configured.base + 'filter = [{ code = "link-off" }]\n')
    (event,) = configured.wait_for("kevmond.config")
    assert event["payload"]["state"] == "applied"
    assert event["payload"]["changes"] == ["sinks.jsonl"]
    kernel.post(*LINK_ON)
    kernel.post(1, 1, 2, 12, LINK_ON[4])
    configured.wait_for("network.dl.link-off")
    assert configured.events("network.dl.link-on") == []


def test_mistake_is_refused_and_the_old_configuration_stays(configured, kernel):
    """A bad file changes nothing, and the stream says what is wrong with it."""
    configured.rewrite(configured.base + "pth = 1\n")
    (event,) = configured.wait_for("kevmond.config")
    assert event["payload"]["state"] == "refused"
    assert "sinks.jsonl.pth: unknown key; did you mean path?" in event["payload"]["changes"][0]
    kernel.post(*LINK_ON)
    configured.wait_for("network.dl.link-on")


def test_what_cannot_change_while_running_is_said(configured):
    """A key that is read at start only is answered with needs-restart."""
    configured.rewrite(configured.base + "[journal]\nmax_age = 60\n")
    events = configured.wait_for("kevmond.config", 2)
    by_state = {event["payload"]["state"]: event["payload"]["changes"] for event in events}
    assert by_state == {"applied": [], "needs-restart": ["journal.max_age"]}


def test_reload_reopens_a_file_that_was_moved(configured, kernel):
    """After newsyslog moved the file away, SIGHUP begins a new one."""
    moved = configured.file.with_suffix(".moved")
    configured.file.rename(moved)
    configured.send(signal.SIGHUP)
    configured.wait_for("kevmond.config")
    kernel.post(*LINK_ON)
    configured.wait_for("network.dl.link-on")
    assert b"kevmond.start" in moved.read_bytes()


def test_new_sink_starts_and_gone_sink_stops(configured, kernel):
    """Sinks come and go by a reload, the others undisturbed."""
    more = configured.base + '[sinks.second]\ntype = "jsonl"\npath = "second.jsonl"\n'
    configured.rewrite(more)
    configured.wait_for("kevmond.config")
    kernel.post(*LINK_ON)
    configured.wait_for("network.dl.link-on")
    configured.rewrite(configured.base)
    configured.wait_for("kevmond.config", 2)
    kernel.post(*LINK_ON)
    configured.wait_for("network.dl.link-on", 2)
    second = configured.state / "second.jsonl"
    assert second.read_bytes().count(b"network.dl.link-on") == 1

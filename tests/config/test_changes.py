"""What of a changed configuration a running daemon takes over."""

from kevmond.config.changes import compare
from kevmond.config.loader import Loaded, load


def settings(*overrides):
    """Built-in settings with some keys changed."""
    return load(search=False, overrides=overrides).settings


def test_nothing_changed():
    """Equal configurations have no differences."""
    changes = compare(settings(), settings())
    assert (changes.applied, changes.needs_restart) == ((), ())


def test_sink_counts_as_one_key():
    """A sink with any changed setting is one changed key."""
    changes = compare(settings(), settings("sinks.jsonl.keep=3", "sinks.jsonl.mode='0640'"))
    assert changes.applied == ("sinks.jsonl",)


def test_sinks_that_come_and_go_are_changes():
    """A new sink and a gone one are told by their names."""
    new = settings("sinks.other.type=log")
    assert compare(settings(), new).applied == ("sinks.other",)
    assert compare(new, settings()).applied == ("sinks.other",)


def test_a_channel_counts_as_one_key():
    """A control channel that comes, goes or changes is told by its name, and taken over at once."""
    old, new = settings("control.foo.poll=1m"), settings("control.foo.poll=2m")
    assert compare(old, new).applied == ("control.foo",)
    assert compare(settings(), new).applied == ("control.foo",)
    assert compare(new, settings()).applied == ("control.foo",)


def test_what_is_read_at_start_needs_a_restart():
    """Journal, kernel, state folder and receive buffer cannot change while running."""
    changes = compare(
        settings(),
        settings(
            "journal.max_age=1d",
            "kernel.story=vpn",
            "capture.receive_space=1MiB",
            "capture.heartbeat=2m",
            "daemon.log_level=debug",
        ),
    )
    assert changes.applied == ("daemon.log_level", "capture.heartbeat")
    assert set(changes.needs_restart) == {
        "journal.max_age",
        "kernel.story",
        "capture.receive_space",
    }


def test_running_configuration_keeps_what_needs_a_restart():
    """What is in force after a reload is the new file but for the keys that had to wait."""
    old = Loaded(settings(), None)
    new = Loaded(settings("journal.max_age=1d", "capture.heartbeat=2m"), None)
    kept = compare(old.settings, new.settings).keep_running(old, new).settings
    assert kept.capture.heartbeat == 120
    assert kept.journal == old.settings.journal

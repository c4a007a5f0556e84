"""The daemon's own log."""

from kevmond.service.logging import configure


def test_lines_are_logfmt_off_a_terminal(capsys):
    """Where nobody watches, a line is key=value text that tools read."""
    configure("info").info("it works", sink="f")
    line = capsys.readouterr().err
    assert line.startswith("timestamp=")
    assert line.endswith('level=info event="it works" sink=f\n')


def test_lines_below_the_level_are_left_out(capsys):
    """The level is the least that is said."""
    log = configure("error")
    log.warning("not said")
    log.error("said")
    assert "said" in (text := capsys.readouterr().err)
    assert "not said" not in text

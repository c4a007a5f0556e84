"""The command line as a whole."""

import os
import subprocess
import sys

import click
import pytest

from kevmond import __version__, cli, errors


def kevmond(*args, **more):
    """Run the command as a user does."""
    return subprocess.run(
        [sys.executable, "-m", "kevmond", *args],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        **more,
    )


def test_help_loads_no_command():
    """`kevmond --help` imports neither a subcommand nor anything heavy."""
    code = (
        "import sys, kevmond.cli as c\n"
        "try: c.main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'pydantic', 'uvloop', 'structlog', 'asyncio', 'psutil', 'sqlite3'}\n"
        "loaded = {m for m in sys.modules if m.startswith('kevmond.')}\n"
        "print(heavy & set(sys.modules), sorted(loaded), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stderr.strip() == "set() ['kevmond.cli', 'kevmond.errors']"


@pytest.mark.parametrize("name", list(cli.COMMANDS))
def test_every_command_shows_examples(name):
    """Each subcommand loads, and its help holds an example of its use."""
    done = kevmond(name, "--help")
    assert done.returncode == 0, done.stderr
    assert f"kevmond {name}" in done.stdout.partition("Options:")[2]


def test_version_is_the_packages():
    """`--version` prints the version."""
    assert kevmond("--version").stdout == f"kevmond {__version__}\n"


def test_unknown_command_names_the_nearest():
    """A mistyped word is answered with the word that was meant."""
    done = kevmond("decod")
    assert done.returncode == 2
    assert "No such command 'decod'. Did you mean 'decode'?" in done.stderr


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.ConfigError("x"), 78),
        (errors.FilterError("x"), 78),
        (errors.KernelError("socket", "EPROTONOSUPPORT"), 69),
        (errors.KernelError("send", "EPIPE"), 69),
        (errors.RecordingError("x"), 65),
        (errors.JournalError("x"), 73),
        (OSError(28, "No space left on device"), 74),
        (errors.KevmondError("x"), 1),
    ],
)
def test_errors_become_one_line_and_a_code(monkeypatch, capsys, error, code):
    """Each kind of failure has its own exit code and reaches the user without a traceback."""

    @click.command()
    def command():
        raise error

    monkeypatch.setattr(cli.group, "get_command", lambda ctx, name: command)
    with pytest.raises(SystemExit) as stopped:
        cli.main(["run"])
    assert stopped.value.code == code
    told = f"{error}" if code != 74 else "input or output failed: No space left on device (ENOSPC)"
    assert capsys.readouterr().err == f"kevmond: {told}\n"


def test_a_bug_is_told_without_a_traceback(monkeypatch, capsys):
    """Even an error nobody foresaw is one line that says what to do."""

    @click.command()
    def command():
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(cli.group, "get_command", lambda ctx, name: command)
    with pytest.raises(SystemExit) as stopped:
        cli.main(["run"])
    assert stopped.value.code == 1
    text = capsys.readouterr().err
    assert text.startswith("kevmond: unexpected ZeroDivisionError: oops")
    assert "Traceback" not in text


def test_a_reader_that_has_seen_enough_is_no_failure():
    """`kevmond events | head -1` ends with 0 and says nothing."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as output:
        done = subprocess.run(
            [sys.executable, "-m", "kevmond", "events"],
            stdout=output, stderr=subprocess.PIPE, check=False,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")

"""The man page: current, complete, and sound to the programs that show it."""

import runpy
import shutil
import subprocess
from pathlib import Path

import click
import pytest

from kevmond.cli import group

ROOT = Path(__file__).parents[2]
MAN = runpy.run_path(str(ROOT / "packaging/man.py"))
PAGE = ROOT / "packaging/man/kevmond.1"


def commands(command, words=()):
    """Yield the words of every command below a group."""
    context = click.Context(command)
    for name in command.list_commands(context):
        found = command.get_command(context, name)
        yield (*words, name)
        if isinstance(found, click.Group):
            yield from commands(found, (*words, name))


def shown(*command):
    """Have a program show the page; return the text, and what the program complained of."""
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    done = subprocess.run(
        [*command, str(PAGE)],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin:/opt/homebrew/bin", "LC_ALL": "C.UTF-8", "MANWIDTH": "200"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


def test_the_page_is_current():
    """It is what the command line's help makes it now: `make docs` writes it."""
    assert PAGE.read_text() == MAN["render"](), "run `make docs`"


def test_every_command_has_its_section():
    """Also those within groups, and every option of theirs."""
    lines = PAGE.read_text().splitlines()
    sections = [
        line.removeprefix(".SS ").replace("\\-", "-") for line in lines if line[:4] == ".SS "
    ]
    assert sections == [" ".join(words) for words in commands(group)]
    assert len(sections) > len(group.list_commands(click.Context(group)))
    assert r".B \-\-state\-dir DIR" in lines


def test_groff_has_nothing_to_say_of_it():
    """No request is unknown, no line beyond what it understands."""
    assert shown("groff", "-man", "-ww", "-z", "-Tutf8") == ("", "")


@pytest.mark.parametrize("program", [("man", "-l"), ("mandoc",)])
def test_it_can_be_read(program):
    """Dashes, dots at the beginning of a line, quotes and backslashes are what they were."""
    text, complaints = shown(*program)
    assert complaints == ""
    for word in (
        "kevmond run -c /etc/kevmond/kevmond.toml",
        "'sinks.log.format=\"json\"'",
        "~/.config",
    ):
        assert word in text


@pytest.mark.parametrize(
    ("text", "made"),
    [
        (".config is read", "\\&.config is read"),
        ("'tis", "\\&'tis"),
        ('a-b `c` \\d ~e ^f "g"', "a\\-b \\`c\\` \\ed \\(tie \\(haf \\(dqg\\(dq"),
    ],
)
def test_what_troff_would_misread_is_escaped(text, made):
    """A dot or an apostrophe at the beginning of a line is a request; others are typography."""
    assert MAN["_line"](text) == made


def test_paragraphs_that_keep_their_lines_do():
    """Examples in the help are marked as click has it, and stand as they are."""
    assert MAN["_prose"]("one\ntwo\n\n\b\nExample:\n  x --y") == (
        ".PP\none two\n.PP\n.EX\nExample:\n  x \\-\\-y\n.EE\n"
    )

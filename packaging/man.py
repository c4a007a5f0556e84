"""The man page kevmond(1), made from the command line's own help: `make docs` writes it.

man(7) macros, which groff and mandoc both know.  (click-man knows no group that loads its commands
when they are named.)
"""

from __future__ import annotations

import inspect
import re
import sys
from typing import TYPE_CHECKING

import click

from kevmond import __version__
from kevmond.cli import group

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = "kevmond"
FILES = """\
.TP
.I ~/.config/kevmond/kevmond.toml
The configuration, unless
.B \\-\\-config
or
.B KEVMOND_CONFIG
names another; then, on macOS,
.I /Library/Application Support/kevmond/kevmond.toml
and
.I kevmond/kevmond.toml
below Homebrew's
.IR etc ,
and
.IR /etc/kevmond/kevmond.toml .
It must belong to root or to the user who runs kevmond, and nobody else may be able to change it.
.TP
.I /Library/Application Support/kevmond
State folder of root's daemon on macOS, with the journal, the event files, the secrets of webhooks
and the socket of the API; elsewhere
.IR /var/lib/kevmond .
.TP
.I ~/Library/Application Support/kevmond
State folder of another user's daemon on macOS; elsewhere
.IR ~/.local/state/kevmond .
"""
ENVIRONMENT = """\
.TP
.B KEVMOND_CONFIG
Path of the configuration.
.TP
.B KEVMOND_TRACEBACK
If set, an error that kevmond did not foresee shows where it happened.
.TP
.B NO_COLOR
If set, nothing is coloured.
.TP
.BR XDG_CONFIG_HOME ", " XDG_STATE_HOME
What stands for
.I ~/.config
and
.IR ~/.local/state .
"""
EXIT = (
    ("0", "Done."),
    ("1", "Failed while running."),
    ("2", "Wrong usage."),
    ("65", "Bad input data."),
    ("66", "No such input."),
    ("69", "A kernel, a daemon or a service is not there."),
    ("73", "A file cannot be created."),
    ("74", "Input or output failed."),
    ("78", "The configuration is wrong."),
    ("130", "Stopped by Ctrl-C."),
)
ESCAPES = {"\\": "\\e", "-": "\\-", "`": "\\`", "~": "\\(ti", "^": "\\(ha", '"': "\\(dq"}
"""Letters that troff would take for something else, or print as typographers have them."""
SEE_ALSO = ".BR launchctl (1),\n.BR launchd.plist (5),\n.BR newsyslog.conf (5)\n"


def main() -> None:
    """Write the page to standard output."""
    sys.stdout.write(render())


def render() -> str:
    """Return the whole page."""
    context = click.Context(group, info_name=NAME, **group.context_settings)
    about = inspect.cleandoc(group.help or "")
    return "".join([
        '.\\" Made by packaging/man.py from the help of the command line: not to be edited.\n',
        f'.TH KEVMOND 1 "" "kevmond {__version__}" "General Commands Manual"\n',
        f".SH NAME\n{NAME} \\- {_text(about[0].lower() + about[1:]).rstrip('.')}\n",
        f".SH SYNOPSIS\n{_usage(context)}",
        ".SH DESCRIPTION\n",
        _prose(about).removeprefix(".PP\n"),
        _prose("Where there is no such kernel it runs on a simulated one."),
        f".SH OPTIONS\n{_options(context)}",
        ".SH COMMANDS\n",
        *(_command(each) for each in _commands(context)),
        f".SH FILES\n{FILES}",
        f".SH ENVIRONMENT\n{ENVIRONMENT}",
        ".SH EXIT STATUS\n",
        *(f".TP\n.B {code}\n{text}\n" for code, text in EXIT),
        f".SH SEE ALSO\n{SEE_ALSO}",
    ])  # fmt: skip


def _commands(context: click.Context) -> Iterator[click.Context]:
    """Yield a context for every command below a group, groups before what is in them."""
    command = context.command
    assert isinstance(command, click.Group)
    for name in command.list_commands(context):
        found = command.get_command(context, name)
        if found is None or found.hidden:
            continue
        inner = click.Context(found, parent=context, info_name=name)
        yield inner
        if isinstance(found, click.Group):
            yield from _commands(inner)


def _command(context: click.Context) -> str:
    command = context.command
    title = _text(context.command_path.removeprefix(f"{NAME} "))
    help_text = inspect.cleandoc(command.help or "").partition("\f")[0]
    return "".join([
        f".SS {title}\n",
        _usage(context),
        _prose(help_text),
        _options(context),
        _prose(inspect.cleandoc(command.epilog or "")),
    ])  # fmt: skip


def _usage(context: click.Context) -> str:
    pieces = " ".join(context.command.collect_usage_pieces(context))
    return f".B {_text(context.command_path)}\n{_line(pieces)}\n"


def _options(context: click.Context) -> str:
    records = [
        record
        for parameter in context.command.get_params(context)
        if (record := parameter.get_help_record(context)) is not None
        and (context.parent is None or parameter.name != "help")  # told once is enough
    ]
    return "".join(f".TP\n.B {_text(names)}\n{_line(told)}\n" for names, told in records)


def _prose(text: str) -> str:
    r"""Return paragraphs; those that begin with \b keep their lines, as click's help does."""
    made = []
    for paragraph in re.split(r"\n\s*\n", text.strip("\n")):
        if paragraph.startswith("\b\n"):
            lines = "\n".join(_line(line) for line in paragraph.splitlines()[1:])
            made.append(f".PP\n.EX\n{lines}\n.EE\n")
        elif paragraph.strip():
            made.append(f".PP\n{_line(' '.join(paragraph.split()))}\n")
    return "".join(made)


def _line(text: str) -> str:
    """Return text at the beginning of a line, where a dot or an apostrophe is a request."""
    escaped = _text(text)
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped


def _text(text: str) -> str:
    return "".join(ESCAPES.get(letter, letter) for letter in text)


if __name__ == "__main__":
    main()

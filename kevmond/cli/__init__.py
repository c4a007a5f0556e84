"""The `kevmond` command: one file a subcommand, loaded when it is called.

Exit codes (sysexits.h where it has one): 0 done · 1 failed while running · 2 wrong usage · 65 bad
input data · 66 no such input · 69 a kernel or service is not there · 73 cannot create · 74 input or
output failed · 78 wrong configuration · 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import difflib
import errno
import importlib
import os
import sys
from typing import Any, Final, NoReturn

import click

COMMANDS: Final = {
    "run": "Run the daemon: read events, keep them, hand them to the sinks.",
    "tail": "Follow the events of the running daemon.",
    "history": "Search and count the events that the journal holds.",
    "state": "Show the interfaces as they are now, and since when.",
    "explain": "Tell who got an event, and who did not and why.",
    "status": "Tell how the daemon is, and what to do about it.",
    "open": "Open the live page in a browser.",
    "reload": "Have the daemon read its configuration anew.",
    "webhook": "Subscribe endpoints, and look after their delivery.",
    "service": "Install the daemon with launchd, and look after it.",
    "config": "Check, show and describe the configuration.",
    "events": "List and search every event the kernel can post.",
    "decode": "Decode recorded or given bytes.",
    "record": "Write raw kernel events to a file.",
    "simulate": "Serve a simulated kernel to other processes.",
    "ctl": "List, ask and talk to kernel controls.",
    "doctor": "Check what this system offers, and the installation.",
    "schema": "Print the JSON Schema of an event.",
    "completion": "Print the completion script of a shell.",
}
"""Every subcommand and what `kevmond --help` says of it, so that help loads none of them."""

EPILOG: Final = """\b
Examples:
  kevmond run                         watch this machine's kernel events
  kevmond tail 'severity>=warning'    follow those of the daemon that runs already
  kevmond history --since 2h -i en0   what happened on en0?
  kevmond events link                 which events tell of links?
  kevmond decode --hex 300000...      what does this message say?
  kevmond config check                is my configuration right?

\b
Exit codes: 0 done, 1 failed, 2 usage, 65 bad data, 66 no input, 69 unavailable,
73 cannot create, 74 I/O error, 78 configuration, 130 stopped by Ctrl-C.
"""


class Commands(click.Group):
    """A group that imports a command when it is named, not before."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All subcommands, the daemon first."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import `kevmond.cli.<name>` and return its `command`."""
        if cmd_name not in COMMANDS:
            return None
        command = importlib.import_module(f"kevmond.cli.{cmd_name}").command
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Add the nearest known word to the error about an unknown one."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], COMMANDS, 1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            ctx.fail(f"No such command {args[0]!r}.{hint}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; click itself would take any EPIPE, a kernel's too, for a closed pipe."""
        try:
            return super().invoke(ctx)
        except OSError as error:
            raise _EscapedError(error) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without loading them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def _version(ctx: click.Context, _param: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        from kevmond import __version__

        click.echo(f"kevmond {__version__}")
        ctx.exit()


@click.group(
    cls=Commands,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--version", is_flag=True, expose_value=False, is_eager=True, callback=_version, help="Version."
)
def group() -> None:
    """Read the macOS kernel's own events, decode each one, and account for every loss."""


def exit_code(error: BaseException) -> int:
    """Return the exit code that tells scripts what kind of failure `error` is."""
    told = getattr(error, "exit_code", None)
    return told if isinstance(told, int) else _by_kind(error)


def _by_kind(error: BaseException) -> int:
    from kevmond import errors

    if isinstance(error, (errors.ConfigError, errors.FilterError)):
        return os.EX_CONFIG
    if isinstance(error, errors.RecordingError):
        missing = isinstance(error.__cause__, FileNotFoundError)
        return os.EX_NOINPUT if missing else os.EX_DATAERR
    if isinstance(error, errors.KernelError):
        return os.EX_UNAVAILABLE
    if isinstance(error, errors.JournalError):
        return os.EX_CANTCREAT
    if isinstance(error, OSError):
        return os.EX_IOERR
    return 1


class _EscapedError(Exception):
    """An OSError on its way past click."""

    def __init__(self, error: OSError) -> None:
        super().__init__(str(error))
        self.error = error


def _say(error: BaseException) -> None:
    click.echo(f"kevmond: {_told(error)}", err=True)


def _told(error: BaseException) -> str:
    from kevmond.errors import KevmondError

    if isinstance(error, KevmondError) or not isinstance(error, OSError) or error.errno is None:
        return str(error)
    where = error.filename or "input or output failed"
    symbol = errno.errorcode.get(error.errno, str(error.errno))
    return f"{where}: {error.strerror} ({symbol})"


def _silence_stdout() -> None:
    """Keep the interpreter from complaining at exit that the reader of our output went away."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def main(args: list[str] | None = None) -> NoReturn:
    """Run the command line; errors become one line on stderr and an exit code."""
    from kevmond.errors import KevmondError

    try:
        result: Any = group.main(args, prog_name="kevmond", standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    except (_EscapedError, KevmondError, OSError) as caught:
        failure = caught.error if isinstance(caught, _EscapedError) else caught
        if isinstance(failure, BrokenPipeError):  # our reader has seen enough
            _silence_stdout()
            sys.exit(0)
        _say(failure)
        sys.exit(exit_code(failure))
    except Exception as error:
        # The last resort: no traceback reaches a user who did not ask for one.
        if os.environ.get("KEVMOND_TRACEBACK"):
            raise
        _say(
            RuntimeError(
                f"unexpected {type(error).__name__}: {error} "
                "(a bug: run again with KEVMOND_TRACEBACK=1 and report it)"
            )
        )
        sys.exit(1)
    sys.exit(result if isinstance(result, int) else 0)

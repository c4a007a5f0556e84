"""What the subcommands of `kevmond webhook` share: the way to the daemon, secrets, output."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from kevmond.api.client import ApiClient

Function = TypeVar("Function", bound="Callable[..., object]")

MAC_STATE: Final = Path("/Library/Application Support/kevmond")
LINUX_STATE: Final = Path("/var/lib/kevmond")

_OPTIONS: Final = {
    "set allow_private = true": "give --allow-private",
    "set allow_http = true": "give --allow-http",
    "use headers.Authorization": "use --header Authorization=file:/PATH",
}
"""What a message about a setting says, in the words of the command line."""


def daemon_options(function: Function) -> Function:
    """Add --state-dir, --config and --json: `state_dir`, `config` and `as_json`."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="JSON, for programs."),
        click.option(
            "--config",
            "-c",
            type=click.Path(path_type=Path, dir_okay=False),
            help="Configuration of the daemon, which names its state folder.",
        ),
        click.option(
            "--state-dir",
            metavar="DIR",
            type=click.Path(path_type=Path, file_okay=False),
            help="State folder of the daemon to talk to.",
        ),
    ):
        function = option(function)
    return function


def _given(_context: click.Context, parameter: click.Parameter, value: str) -> str:
    if not value.strip():
        raise click.BadParameter(
            "it is empty; `kevmond webhook list` shows the names", param=parameter
        )
    return value


def name_argument(function: Function) -> Function:
    """Add the argument NAME, which may not be empty: a script's variable that was never set."""
    return click.argument("name", callback=_given)(function)


def client(state_dir: Path | None, config: Path | None, timeout: float = 60.0) -> ApiClient:
    """Return the client of the daemon that is meant."""
    from kevmond.api.client import ApiClient
    from kevmond.api.listener import SOCKET

    if state_dir is None:
        from kevmond.config.loader import load

        state_dir = load(config).settings.daemon.state_dir
    path = state_dir.expanduser() / SOCKET
    return ApiClient(path, elsewhere=_system_s(path), timeout=timeout)


def _system_s(path: Path) -> Path | None:
    """Return the socket of the system's own daemon, if it is another one."""
    from kevmond.api.listener import SOCKET

    folder = MAC_STATE if sys.platform == "darwin" else LINUX_STATE
    return None if path.parent == folder else folder / SOCKET


def ask(
    state_dir: Path | None,
    config: Path | None,
    method: str,
    *where: str,
    timeout: float = 60.0,
    **rest: Any,
) -> dict[str, Any]:
    """Ask the daemon for /v1/webhooks/WHERE...; errors say what to do in this command's words.

    `timeout` is how long the daemon may be silent, in seconds.
    """
    from kevmond.api.client import ApiRefusal

    try:
        return client(state_dir, config, timeout).ask(method, "webhooks", *where, **rest)
    except ApiRefusal as refusal:
        message = refusal.message
        for setting, option in _OPTIONS.items():
            message = message.replace(setting, option)
        raise ApiRefusal(refusal.status, message, refusal.hint) from None


def secret_from(file: str | None) -> str | None:
    """Read the secret of --secret-file, "-" being standard input; None if there is none."""
    if file is None:
        return None
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except OSError as error:
        raise click.BadParameter(
            f"{file}: {error.strerror}", param_hint="'--secret-file'"
        ) from error
    except UnicodeDecodeError as error:
        raise click.BadParameter(f"{file}: not text", param_hint="'--secret-file'") from error
    return text.strip()


def emit(facts: Any) -> None:
    """Print JSON on one line."""
    click.echo(json.dumps(facts))


def told_secret(facts: dict[str, Any]) -> None:
    """Show a secret that was made, if one was, the only time that it is shown."""
    if "secret" in facts:
        click.echo(f"  secret         {facts['secret']}")
        click.echo("                 (shown this once: give it to the receiver)")


@contextlib.contextmanager
def told_once(facts: dict[str, Any], done: str) -> Iterator[None]:
    """Say on stderr if a secret that was made could not be shown, as it is shown only once."""
    try:
        if "secret" in facts and sys.stdout is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        yield
    except OSError as error:
        if "secret" in facts:
            click.echo(
                f"kevmond: webhook {facts['name']} {done}, its secret was not shown "
                f"({error.strerror}); another: `kevmond webhook rotate-secret {facts['name']}`",
                err=True,
            )
        raise


def rows(pairs: Sequence[tuple[str, Any]]) -> Iterator[str]:
    """Lay out names and values; what has no value is left out."""
    from kevmond.cli.pretty import printable

    for name, value in pairs:
        if value not in (None, "", [], ()):
            yield f"  {name:<14} {printable(str(value))}"


def state_style(state: str) -> dict[str, Any]:
    """Return the colour of a state."""
    colours = {"healthy": "green", "retrying": "yellow", "failed": "red", "disabled": "red"}
    return {"fg": colours.get(state, "cyan")}


def age(moment: str | None) -> str:
    """Return how long ago (or ahead) a time is, for people; "" for none."""
    import datetime as dt

    if moment is None:
        return ""
    gone = (dt.datetime.now(dt.UTC) - dt.datetime.fromisoformat(moment)).total_seconds()
    size, unit = abs(gone), "s"
    for length, name in ((86400, "d"), (3600, "h"), (60, "min")):
        if size >= length:
            size, unit = size / length, name
            break
    return f"{size:.0f} {unit} ago" if gone >= 0 else f"in {size:.0f} {unit}"

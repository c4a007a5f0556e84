"""What the subcommands of `kevmond webhook` share: names, secrets, and the settings' words."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from kevmond.cli import daemon

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Function = TypeVar("Function", bound="Callable[..., object]")

_OPTIONS: Final = {
    "set allow_private = true": "give --allow-private",
    "set allow_http = true": "give --allow-http",
    "use headers.Authorization": "use --header Authorization=file:/PATH",
}
"""What a message about a setting says, in the words of the command line."""


def _given(_context: click.Context, parameter: click.Parameter, value: str) -> str:
    if not value.strip():
        raise click.BadParameter(
            "it is empty; `kevmond webhook list` shows the names", param=parameter
        )
    return value


def name_argument(function: Function) -> Function:
    """Add the argument NAME, which may not be empty: a script's variable that was never set."""
    return click.argument("name", callback=_given, shell_complete=_known)(function)


def _known(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Return names of webhooks for a shell that completes; none if the daemon cannot be asked."""
    from kevmond.errors import KevmondError

    given = context.params
    try:
        asked = daemon.client(given.get("state_dir"), given.get("config"), timeout=1.0)
        found = asked.ask("GET", "webhooks")["webhooks"]
    except (KevmondError, OSError):
        return []
    return [each["name"] for each in found if each["name"].startswith(incomplete)]


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
        return daemon.client(state_dir, config, timeout).ask(method, "webhooks", *where, **rest)
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

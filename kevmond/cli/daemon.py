"""What commands that ask a running daemon share: which one is meant, and how answers are shown."""

from __future__ import annotations

import json
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


def client(state_dir: Path | None, config: Path | None, timeout: float = 60.0) -> ApiClient:
    """Return the client of the daemon that is meant."""
    from kevmond.api.client import ApiClient
    from kevmond.api.listener import SOCKET

    if state_dir is None:
        state_dir = _configured(config)
    path = state_dir.expanduser() / SOCKET
    return ApiClient(path, elsewhere=_system_s(path), timeout=timeout)


def _configured(config: Path | None) -> Path:
    """Return the state folder of the configuration, even of one that a running daemon refused."""
    from kevmond.api.listener import SOCKET
    from kevmond.config.loader import state_folder
    from kevmond.errors import ConfigError
    from kevmond.paths import default_state_dir

    try:
        return state_folder(config)
    except ConfigError:
        usual = default_state_dir()
        if config is None and (usual / SOCKET).exists():
            return usual
        raise


def _system_s(path: Path) -> Path | None:
    """Return the socket of the system's own daemon, if it is another one."""
    from kevmond.api.listener import SOCKET

    folder = MAC_STATE if sys.platform == "darwin" else LINUX_STATE
    return None if path.parent == folder else folder / SOCKET


def emit(facts: Any) -> None:
    """Print JSON on one line."""
    click.echo(json.dumps(facts))


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
    if moment is None:
        return ""
    gone = seconds_between(moment, None)
    return f"{lasting(gone)} ago" if gone >= 0 else f"in {lasting(-gone)}"


def seconds_between(begin: str, end: str | None) -> float:
    """Return seconds from one time in RFC 3339 to another; None is now."""
    import datetime as dt

    ended = dt.datetime.now(dt.UTC) if end is None else dt.datetime.fromisoformat(end)
    return (ended - dt.datetime.fromisoformat(begin)).total_seconds()


def lasting(seconds: float) -> str:
    """Return a length of time in its largest unit."""
    for length, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"

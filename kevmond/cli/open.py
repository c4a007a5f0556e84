"""`kevmond open`: the live page in a browser."""

from __future__ import annotations

import contextlib
import html
import os
import sys
import tempfile
from pathlib import Path
from typing import Final

import click

from kevmond.cli import daemon

_PREFIX: Final = "kevmond-open-"
_REDIRECT: Final = """\
<!doctype html>
<meta charset="utf-8">
<meta name="referrer" content="no-referrer">
<meta http-equiv="refresh" content="0; url={url}">
<title>kevmond</title>
<p><a href="{url}">kevmond</a></p>
"""
"""Any user can read the arguments of a browser; this file only who ran the command."""


@click.command(
    epilog="""\b
Examples:
  kevmond open
  kevmond open --print        only the address, for a browser on this machine

\b
The daemon listens on this machine only.  The address has a token in it, which is good until the
daemon ends: whoever has it, and can connect to this machine's loopback, can read all events and
change subscriptions.  Without api.http in the configuration the page's port is closed when nobody
has used it for 15 minutes.  From elsewhere: ssh -L PORT:127.0.0.1:PORT, and the same address.
"""
)
@click.option("--print", "only_print", is_flag=True, help="Print the address and open nothing.")
@daemon.daemon_options
def command(*, only_print: bool, state_dir: Path | None, config: Path | None, as_json: bool) -> int:
    """Open the live page of the running daemon in a browser, and print its address."""
    facts = daemon.client(state_dir, config).ask("POST", "page")
    url = str(facts["url"])
    if as_json:
        daemon.emit(facts)
        return 0
    click.echo(url)
    click.echo(
        "kevmond: the address holds a token: whoever has it can read events and change "
        "subscriptions until the daemon ends",
        err=True,
    )
    reason = None if only_print else _why_not()
    if reason is None and not only_print and not _show(url):
        reason = "no browser could be started"
    if reason is not None:
        click.echo(f"kevmond: {reason}; open the address in a browser", err=True)
    return 0


def _why_not() -> str | None:
    """Return why no browser is started from here; None if one can be."""
    if os.environ.get("SSH_CONNECTION"):
        return "this is a session from elsewhere (forward the port with ssh -L)"
    if os.geteuid() == 0:
        return "root should start no browser"
    screen = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    return None if screen or sys.platform == "darwin" else "there is no screen here"


def _show(url: str) -> bool:
    """Have a browser show the page; tell whether one was started."""
    import webbrowser

    for old in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*.html"):
        with contextlib.suppress(OSError):  # somebody else's
            old.unlink()
    descriptor, name = tempfile.mkstemp(prefix=_PREFIX, suffix=".html")  # mode 0600
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(_REDIRECT.format(url=html.escape(url)))
    return webbrowser.open(Path(name).as_uri())

"""`kevmond status`: how the daemon is, and what to do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from kevmond.cli import daemon

if TYPE_CHECKING:
    from pathlib import Path


@click.command(
    epilog="""\b
Examples:
  kevmond status
  kevmond status || mail -s "kevmond is not well" me </dev/null
  kevmond status --json | jq -r '.problems[] | .text, .hint'

\b
Exit codes: 0 all is well, 1 there is a problem, 69 no daemon answers.  Warnings are no problems.
docs/status.md tells what each problem means.
"""
)
@daemon.daemon_options
def command(state_dir: Path | None, config: Path | None, *, as_json: bool) -> int:
    """Tell how the daemon is: problems first, then kernel, events, journal, consumers, own use."""
    facts = daemon.client(state_dir, config).ask("GET", "status")
    if as_json:
        import json

        click.echo(json.dumps(facts))
    else:
        from kevmond.cli.status_screen import screen

        for line in screen(facts):
            click.echo(line)
    return 0 if facts["health"] == "ok" else 1

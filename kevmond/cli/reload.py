"""`kevmond reload`: have the daemon read its configuration anew."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from kevmond.cli import daemon

if TYPE_CHECKING:
    from pathlib import Path

_REFUSED = 422
_PATIENCE = 600.0
"""Seconds; sinks that change finish first."""


@click.command(
    epilog="""\b
Examples:
  kevmond config check && kevmond reload
  kevmond reload --json | jq -r '.needs_restart[]'

\b
It does what SIGHUP does, and tells what became of it.  A configuration with any mistake is refused
as a whole; the old one stays in force.
Exit codes: 0 applied, 1 applied but a file could not be reopened, 69 no daemon answers, 78 refused.
"""
)
@daemon.daemon_options
def command(state_dir: Path | None, config: Path | None, *, as_json: bool) -> int:
    """Have the daemon read its configuration anew and reopen its files."""
    from kevmond.api.client import ApiRefusal

    try:
        report = daemon.client(state_dir, config, _PATIENCE).ask("POST", "reload")
    except ApiRefusal as refusal:
        if refusal.status != _REFUSED:
            raise
        report = {"state": "refused", "problems": refusal.message.splitlines()}
        report["hint"] = refusal.hint
    if as_json:
        import json

        click.echo(json.dumps(report))
    else:
        _tell(report)
    if report["state"] != "applied":
        return os.EX_CONFIG
    return 1 if report["problems"] else 0


def _tell(report: dict[str, Any]) -> None:
    from kevmond.cli.pretty import printable

    if report["state"] != "applied":
        click.echo("kevmond: the configuration is refused; the old one stays in force", err=True)
        for line in report["problems"]:
            click.echo(f"  {printable(line)}", err=True)
        if report["hint"]:
            click.echo(f"  -> {printable(report['hint'])}", err=True)
        return
    applied, late = report["applied"], report["needs_restart"]
    if not (applied or late):
        click.echo("nothing has changed in the configuration; files are reopened")
    else:
        click.echo("the configuration is read anew")
    pairs = [
        ("file", report.get("file") or "built-in settings"),
        ("applied", ", ".join(applied)),
        ("needs restart", ", ".join(late)),
    ]
    for line in daemon.rows(pairs):
        click.echo(line)
    for line in report["problems"]:
        click.echo(f"kevmond: cannot be reopened: {printable(line)}", err=True)

"""`kevmond explain`: who got an event, and who did not and why."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

import click

from kevmond.cli import daemon

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_COLOURS: Final = {
    "delivered": "green",
    "waiting": "yellow",
    "paused": "yellow",
    "dead-letter": "red",
    "missed": "red",
}


@click.command(
    epilog="""\b
Examples:
  kevmond explain 1234                 the event at this position ("seq")
  kevmond explain b03dd931-bb89-4244-aa3e-4ab2fd1960eb-1-4ebcdb76
  kevmond explain 1234 --json | jq -r '.consumers[] | select(.verdict == "filtered") | .why'

\b
delivered        it was taken
waiting          it is yet to come to it, or is being tried
filtered         it did not ask for such events
paused           it is paused, disabled or switched off
dead-letter      it was given up, and is kept: `kevmond webhook replay NAME --failed`
before-it-began  it was not there yet
missed           the event was out of reach before it came to it
"""
)
@click.argument("event_id", metavar="ID")
@daemon.daemon_options
def command(event_id: str, *, state_dir: Path | None, config: Path | None, as_json: bool) -> None:
    """Tell which consumers got an event, and why the others did not; ID is an id or a position."""
    from kevmond.cli.pretty import use_colour
    from kevmond.cli.told import is_terminal, shown
    from kevmond.sinks.console import Console, coloured

    if not event_id.strip():
        raise click.BadParameter("it is empty; `kevmond history` shows events", param_hint="'ID'")
    facts = daemon.client(state_dir, config).ask("GET", "events", event_id, "explain")
    if as_json:
        daemon.emit(facts)
        return
    console = Console(colour=coloured(is_terminal(sys.stdout)), short_time=False)
    click.echo(shown(console, facts["event"]))
    for line in _answers(facts):
        click.echo(line, color=use_colour())


def _answers(facts: dict[str, Any]) -> Iterator[str]:
    from kevmond.cli.pretty import printable

    event = facts["event"]
    yield from daemon.rows([("position", event["seq"]), ("id", event["id"])])
    yield ""
    for one in facts["consumers"]:
        name, kind = printable(one["name"]), one["kind"]
        if one["type"] not in (None, kind):
            kind = f"{kind} of type {one['type']}"
        verdict = click.style(one["verdict"], fg=_COLOURS.get(one["verdict"], "cyan"), bold=True)
        yield f"{name} ({kind}): {verdict}"
        yield f"  {printable(one['why'])}"
    if not facts["consumers"]:
        yield "there is no consumer: no sink, no webhook, and nobody who follows"

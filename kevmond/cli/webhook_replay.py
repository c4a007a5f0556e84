"""`kevmond webhook failures` and `replay`: what was not delivered, and delivering again."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any, Final

import click

from kevmond.cli import daemon
from kevmond.cli import webhook_common as common

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

POLL: Final = 0.3
"""Seconds between two looks at a replay."""


@click.command(
    epilog="""\b
Examples:
  kevmond webhook failures wh-1a2b3c
  kevmond webhook failures wh-1a2b3c --json | jq .event
"""
)
@common.name_argument
@click.option(
    "--limit", type=click.IntRange(1), default=20, show_default=True, help="Most that are shown."
)
@click.option("--after", type=click.IntRange(0), default=0, help="Only those behind this number.")
@daemon.daemon_options
def failures(
    *, name: str, limit: int, after: int, state_dir: Path | None, config: Path | None, as_json: bool
) -> None:
    """List the dead letters of the webhook NAME: events that were given up, and their stories."""
    query = {"limit": limit, "after": after}
    facts = common.ask(state_dir, config, "GET", name, "failures", query=query)
    found = facts["failures"]
    if as_json:
        for letter in found:
            daemon.emit(letter)
        return
    if not found:
        click.echo(f"webhook {name} has no dead letters" + (f" behind {after}" if after else ""))
        return
    for letter in found:
        for line in _letter(letter):
            click.echo(line)
    if facts["more"]:
        click.echo(f"\nMore: --after {found[-1]['number']}")
    click.echo(f"\nDeliver them:  kevmond webhook replay {name} --failed")


def _letter(letter: dict[str, Any]) -> Iterator[str]:
    from kevmond.cli.pretty import printable

    event = letter["event"] if isinstance(letter["event"], dict) else {}
    head = click.style(f"{letter['number']}", bold=True)
    told = " ".join(str(event.get(key) or "") for key in ("time", "type", "interface"))
    yield f"{head}  {printable(told.strip())}"
    yield from daemon.rows([("event", letter["event_id"]), ("given up", letter["buried"])])
    story = letter["story"]
    tries = story.get("tries", []) if isinstance(story, dict) else []
    if isinstance(story, dict):
        yield from daemon.rows([(k, v) for k, v in story.items() if not isinstance(v, list | dict)])
    for one in tries[-3:] if isinstance(tries, list) else []:
        words = one.values() if isinstance(one, dict) else [one]
        yield f"    {printable('  '.join(str(word) for word in words if word is not None))}"


@click.command(
    epilog="""\b
Examples:
  kevmond webhook replay wh-1a2b3c --failed              all dead letters
  kevmond webhook replay wh-1a2b3c --since 2h            the last two hours
  kevmond webhook replay wh-1a2b3c --since 2026-11-24T08:00:00Z --until 2026-11-24T09:00:00Z
  kevmond webhook replay wh-1a2b3c 4711                  the event at this position ("seq")
  kevmond webhook replay wh-1a2b3c 5c2e...-1234-9f00ab12 the event of this id

\b
Events go out in order, with the ids of their first delivery, between what is delivered anyway; a
stretch of time through the webhook's filter, and only as far as it has come.
"""
)
@common.name_argument
@click.argument("event_id", metavar="[ID]", required=False)
@click.option("--since", metavar="TIME", help="From this time on: RFC 3339, or how long ago (2h).")
@click.option("--until", metavar="TIME", help="Up to this time.")
@click.option(
    "--failed", is_flag=True, help="All dead letters; those that are taken are gone then."
)
@click.option("--no-wait", is_flag=True, help="Do not wait for the end.")
@daemon.daemon_options
def replay(
    *,
    name: str,
    event_id: str | None,
    since: str | None,
    until: str | None,
    failed: bool,
    no_wait: bool,
    state_dir: Path | None,
    config: Path | None,
    as_json: bool,
) -> int:
    """Deliver once more to the webhook NAME: one event, a stretch of time, or what had failed."""
    span = since is not None or until is not None
    if (event_id is not None) + span + failed != 1:
        raise click.UsageError("Give an ID, or --since and --until, or --failed.")
    wanted = {"event_id": event_id, "since": since, "until": until, "failed": failed}
    asked = common.ask(state_dir, config, "POST", name, "replay", body=wanted)
    job = asked["replay"]
    try:
        while job["state"] == "running" and not no_wait:
            if sys.stderr.isatty():
                click.echo(f"\r{job['taken']} taken ", nl=False, err=True)
            time.sleep(POLL)
            job = common.ask(state_dir, config, "GET", name)["replay"] or job
    except KeyboardInterrupt:
        click.echo(f"\nit goes on in the daemon: kevmond webhook show {name}", err=True)
        raise
    if as_json:
        daemon.emit(job)
    else:
        click.echo(f"{job['what']}: {job['state']}, {job['taken']} taken" + _rest(job))
    return 0 if job["state"] in {"done", "running"} and not job["refused"] else 1


def _rest(job: dict[str, Any]) -> str:
    from kevmond.cli.pretty import printable

    text = f", {job['refused']} refused for good" if job["refused"] else ""
    if job["error"]:
        text += f"; {printable(job['error'])}"
    if job["state"] == "stopped" and job["event_id"]:
        text += f" (at event {job['event_id']})"
    return text

"""`kevmond webhook`: endpoints that events are POSTed to, subscribed and looked after."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from kevmond.cli import daemon
from kevmond.cli import webhook_common as common
from kevmond.cli.webhook_add import add
from kevmond.cli.webhook_change import disable, pause, remove, resume, rotate_secret, test
from kevmond.cli.webhook_replay import failures, replay
from kevmond.cli.webhook_verify import verify

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@click.group(
    epilog="""\b
Examples:
  kevmond webhook add https://example.org/hook            subscribe; prints the signing secret
  kevmond webhook add https://example.org/hook --filter class=network --batch 100
  kevmond webhook list                                    how are they all?
  kevmond webhook show wh-1a2b3c                          why does this one not deliver?
  kevmond webhook test wh-1a2b3c                          what does its receiver answer?
  kevmond webhook replay wh-1a2b3c --since 2h             once more
  kevmond webhook replay wh-1a2b3c --failed               what was given up

\b
These commands talk to the running daemon over its private socket, kevmond.sock in the state folder;
only the daemon's own user and root may.  Webhooks of the configuration ([sinks.NAME] with type
"webhook") are listed too, and can be tested, paused and replayed.
"""
)
def command() -> None:
    """Subscribe endpoints to events, and look after their delivery."""


@command.command(
    "list",
    epilog="""\b
Examples:
  kevmond webhook list
  kevmond webhook list --json | jq -r 'select(.state != "healthy") | .name'
""",
)
@daemon.daemon_options
def list_webhooks(state_dir: Path | None, config: Path | None, *, as_json: bool) -> None:
    """List all webhooks: state, what waits, what was given up, last error."""
    found = common.ask(state_dir, config, "GET")["webhooks"]
    if as_json:
        for one in found:
            daemon.emit(one)
    elif not found:
        click.echo("no webhooks; `kevmond webhook add URL` subscribes one")
    else:
        for line in _table(found):
            click.echo(line)


@command.command(
    epilog="""\b
Example:
  kevmond webhook show wh-1a2b3c
"""
)
@common.name_argument
@daemon.daemon_options
def show(name: str, state_dir: Path | None, config: Path | None, *, as_json: bool) -> None:
    """Tell all about the webhook NAME: state, lag, last error, next attempt, settings."""
    facts = common.ask(state_dir, config, "GET", name)
    if as_json:
        daemon.emit(facts)
        return
    for line in _details(facts):
        click.echo(line)


def _table(found: list[dict[str, Any]]) -> Iterator[str]:
    from kevmond.cli.pretty import printable, table

    heads = ("NAME", "STATE", "WAITING", "DELIVERED", "DEAD", "URL")
    lines = [
        (
            one["name"],
            one["state"],
            str(one["lag"]),
            str(one.get("delivered", "-")),
            str(one["dead_letters"]),
            printable(one["url"] or "-"),
        )
        for one in found
    ]
    for number, cells in enumerate(table((heads, *lines), right={2, 3, 4})):
        if number == 0:
            yield click.style("  ".join(cells).rstrip(), bold=True)
        else:
            one = found[number - 1]
            cells[1] = click.style(cells[1], **daemon.state_style(one["state"]))
            yield "  ".join(cells).rstrip()
            error = one.get("last_error")
            if error and one["state"] != "healthy":
                yield click.style(f"    {printable(error)}", dim=True)


def _details(facts: dict[str, Any]) -> Iterator[str]:
    from kevmond.cli.pretty import printable

    state = click.style(facts["state"], **daemon.state_style(facts["state"]))
    yield f"{click.style(printable(facts['name']), bold=True)}  {state}"
    since, after = facts.get("since"), facts.get("next_attempt")
    failing = facts.get("failing_since")
    yield from daemon.rows(
        [
            ("url", facts["url"]),
            ("why", facts.get("reason")),
            ("since", since and f"{since} ({daemon.age(since)})"),
            ("last error", facts.get("last_error")),
            ("failing since", failing and f"{failing} ({daemon.age(failing)})"),
            ("attempts", facts.get("attempts") or None),
            ("next attempt", after and f"{after} ({daemon.age(after)})"),
            ("waiting", f"{facts['lag']} events behind position {facts.get('position', 0)}"),
            ("delivered", facts.get("delivered")),
            ("held back", facts.get("filtered") and f"{facts['filtered']} by the filter"),
            ("missed", facts.get("missed") or None),
            ("dead letters", _dead(facts)),
            ("replay", _replay(facts.get("replay"))),
            ("format", facts["format"]),
            ("filter", "; ".join(facts["filter"]) or "none: every event"),
            ("signed", _signed(facts)),
            ("from", _origin(facts)),
        ]
    )


def _dead(facts: dict[str, Any]) -> str:
    count = facts["dead_letters"]
    return f"{count}: `kevmond webhook failures {facts['name']}` shows them" if count else "none"


def _replay(job: dict[str, Any] | None) -> str | None:
    if job is None:
        return None
    text = f"{job['what']}: {job['state']}, {job['taken']} taken"
    return f"{text}, {job['error']}" if job["error"] else text


def _signed(facts: dict[str, Any]) -> str:
    if not facts["signed"]:
        return "no: receivers cannot tell who sends"
    ends = facts.get("rotation_ends")
    return f"yes; by the older secret too until {ends}" if ends else "yes"


def _origin(facts: dict[str, Any]) -> str:
    if facts["origin"] == "configuration":
        return "the configuration"
    return f"a subscription of {facts['created']}"


for each in (add, test, pause, resume, disable, remove, rotate_secret, failures, replay, verify):
    command.add_command(each)

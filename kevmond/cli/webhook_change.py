"""`kevmond webhook test`, `pause`, `resume`, `disable`, `remove` and `rotate-secret`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from kevmond.cli import daemon
from kevmond.cli import webhook_common as common

if TYPE_CHECKING:
    from pathlib import Path


@click.command(
    epilog="""\b
Example:
  kevmond webhook test wh-1a2b3c && echo it works
"""
)
@common.name_argument
@daemon.daemon_options
def test(name: str, state_dir: Path | None, config: Path | None, *, as_json: bool) -> int:
    """Send one test event to the webhook NAME and print the answer; exit 1 if it is no success."""
    facts = common.ask(state_dir, config, "POST", name, "test", timeout=3600)
    if as_json:
        daemon.emit(facts)
        return 0 if facts["ok"] else 1
    if "error" in facts:
        click.echo(f"no answer: {facts['error']}")
        return 1
    colour = "green" if facts["ok"] else "red"
    outcome = click.style(facts["outcome"], fg=colour, bold=True)
    click.echo(f"{outcome} in {facts['seconds'] * 1000:.0f} ms  (event {facts['event_id']})")
    for line in daemon.rows(list(facts["headers"].items())):
        click.echo(line)
    if facts["body"]:
        from kevmond.cli.pretty import printable

        click.echo()
        for line in facts["body"].splitlines():
            click.echo(f"  {printable(line)}")
    return 0 if facts["ok"] else 1


@click.command(
    epilog="""\b
Example:
  kevmond webhook pause wh-1a2b3c
"""
)
@common.name_argument
@daemon.daemon_options
def pause(name: str, state_dir: Path | None, config: Path | None, *, as_json: bool) -> None:
    """Stop delivering to the webhook NAME; what comes waits in the journal until `resume`."""
    facts = common.ask(state_dir, config, "POST", name, "pause")
    _tell(facts, "is paused; events wait in the journal, up to journal.max_bytes", as_json)


@click.command(
    epilog="""\b
Example:
  kevmond webhook resume wh-1a2b3c
"""
)
@common.name_argument
@daemon.daemon_options
def resume(name: str, state_dir: Path | None, config: Path | None, *, as_json: bool) -> None:
    """Deliver to the webhook NAME again, from where it stopped, paused or disabled."""
    facts = common.ask(state_dir, config, "POST", name, "resume")
    _tell(facts, f"goes on, with {facts['lag']} events that wait", as_json)


@click.command(
    epilog="""\b
Example:
  kevmond webhook disable wh-1a2b3c --reason "receiver is being moved"
"""
)
@common.name_argument
@click.option("--reason", metavar="TEXT", help="Why, to be shown.")
@daemon.daemon_options
def disable(
    *, name: str, reason: str | None, state_dir: Path | None, config: Path | None, as_json: bool
) -> None:
    """Stop delivering to the webhook NAME and have it reported as an error, until `resume`."""
    body = {"reason": reason}
    facts = common.ask(state_dir, config, "POST", name, "disable", body=body)
    _tell(facts, "is disabled; events wait in the journal, up to journal.max_bytes", as_json)


@click.command(
    epilog="""\b
Example:
  kevmond webhook remove wh-1a2b3c
"""
)
@common.name_argument
@click.option("--force", is_flag=True, help="Give up its dead letters, if it has any.")
@daemon.daemon_options
def remove(
    *, name: str, force: bool, state_dir: Path | None, config: Path | None, as_json: bool
) -> None:
    """Unsubscribe the webhook NAME: its place, its secrets and its dead letters are forgotten."""
    query = {"force": "1"} if force else None
    facts = common.ask(state_dir, config, "DELETE", name, query=query)
    lost = [
        f"{facts[key]} {words}"
        for key, words in (("waiting", "events that waited"), ("dead_letters", "dead letters"))
        if facts[key]
    ]
    _tell(facts, "is removed" + (f", and with it {' and '.join(lost)}" if lost else ""), as_json)


@click.command(
    "rotate-secret",
    epilog="""\b
Examples:
  kevmond webhook rotate-secret wh-1a2b3c                  a new one, and the old for a day
  kevmond webhook rotate-secret wh-1a2b3c --overlap 0s     the old one is known to others
  kevmond webhook rotate-secret wh-1a2b3c --secret-file -  one from elsewhere
""",
)
@common.name_argument
@click.option("--secret-file", metavar="FILE", help="The new secret (- for standard input).")
@click.option(
    "--overlap",
    metavar="TIME",
    default="24h",
    show_default=True,
    help="How long requests carry the signature of the old secret too.",
)
@daemon.daemon_options
def rotate_secret(
    *,
    name: str,
    secret_file: str | None,
    overlap: str,
    state_dir: Path | None,
    config: Path | None,
    as_json: bool,
) -> None:
    """Sign for the webhook NAME with a new secret, for a while together with the old one."""
    from kevmond.cli.values import seconds

    body = {"secret": common.secret_from(secret_file), "overlap": seconds(overlap, "--overlap")}
    facts = common.ask(state_dir, config, "POST", name, "rotate-secret", body=body)
    with common.told_once(facts, "has a new secret"):
        if as_json:
            daemon.emit(facts)
            return
        ends = facts["rotation_ends"]
        old = f"the old one signs too until {ends}" if ends else "the old one signs no more"
        click.echo(f"webhook {name} has a new secret; {old}")
        common.told_secret(facts)


def _tell(facts: dict[str, Any], what: str, as_json: bool) -> None:
    if as_json:
        daemon.emit(facts)
    else:
        click.echo(f"webhook {facts['name']} {what}")

"""`kevmond history`: search and count the events that the journal holds."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

import click

from kevmond.cli import daemon
from kevmond.cli.asking import condition_options

if TYPE_CHECKING:
    from pathlib import Path

    from kevmond.api.client import ApiClient

_LIMIT: Final = 100


@click.command(
    epilog="""\b
Examples:
  kevmond history                                   the last 100 events
  kevmond history --since 2h -i en0                 what happened on en0?
  kevmond history class=network 'severity>=notice' --since 2026-11-24T08:00 --until 1h
  kevmond history --text 192.168.1.151 --all        wherever this address was
  kevmond history --since 1d --count-by type        what is it that happens all the time?
  kevmond history --since 1h --bucket 1m -i utun4   and when?
  kevmond history --all --json > events.jsonl

\b
FILTER is one rule of the filter language (docs/filters.md): all its words must hold.  An argument
of several words, in quotes, and each --filter are further rules, of which one has to match.
Times are RFC 3339 (local, if they name no zone), or how long ago: 90s, 10m, 2h, 3d.
It asks the running daemon; without one it exits with 69.
"""
)
@condition_options
@click.option("--since", metavar="TIME", help="Not before this time.")
@click.option("--until", metavar="TIME", help="Not after this time.")
@click.option(
    "--limit", "-n", type=click.IntRange(min=1), metavar="N",
    help=f"The last N that fit; {_LIMIT} by default.",
)  # fmt: skip
@click.option("--all", "everything", is_flag=True, help="All that fit.")
@click.option("--reverse", "-r", is_flag=True, help="The newest first.")
@click.option(
    "--count-by",
    type=click.Choice(["type", "interface", "severity"]),
    help="Count, instead of listing.",
)
@click.option("--bucket", metavar="TIME", help="Count by stretches of time, such as 1m.")
@click.option("--compact", is_flag=True, help="Time, type and interface only.")
@daemon.daemon_options
def command(
    *,
    since: str | None,
    until: str | None,
    limit: int | None,
    everything: bool,
    reverse: bool,
    count_by: str | None,
    bucket: str | None,
    compact: bool,
    state_dir: Path | None,
    config: Path | None,
    as_json: bool,
    **asked: Any,
) -> None:
    """Search and count the events that the journal holds: the last 100, the oldest of them first.

    With --count-by or --bucket, tell how many there were, and when.
    """
    from kevmond.cli.asking import at, query_of
    from kevmond.cli.told import is_terminal

    counting = count_by is not None or bucket is not None
    if everything and limit is not None:
        raise click.UsageError("--all and --limit exclude each other.")
    if counting and (everything or limit is not None or reverse or compact):
        raise click.UsageError(
            "--all, --limit, --reverse and --compact are for lists, not for counts."
        )
    if compact and as_json:
        raise click.UsageError("--compact and --json are two forms; choose one.")
    span = {"since": at(since, "--since"), "until": at(until, "--until")}
    if span["since"] and span["until"] and span["since"] > span["until"]:
        raise click.UsageError("--since is later than --until.")
    query = query_of(asked) | {key: value for key, value in span.items() if value}
    client = daemon.client(state_dir, config)
    if counting:
        _count(client, query, count_by, bucket, as_json=as_json)
        return
    most = None if everything else limit or _LIMIT
    more = _list(client, query, most=most, reverse=reverse, as_json=as_json, compact=compact)
    if more is None and is_terminal(sys.stderr):
        click.secho("kevmond: no event that the journal holds fits", dim=True, err=True)
    if more and limit is None and is_terminal(sys.stderr):
        click.secho(f"kevmond: the last {most}; more with --limit N or --all", dim=True, err=True)


def _list(
    client: ApiClient,
    query: dict[str, Any],
    *,
    most: int | None,
    reverse: bool,
    as_json: bool,
    compact: bool,
) -> bool | None:
    """List so many of the newest events, or all; tell whether there are more, None if none fits."""
    from kevmond.cli.paging import Walk
    from kevmond.cli.told import is_terminal, painter, standard_output

    out = standard_output()
    if out is None:
        return False
    shown = 0
    show = painter(as_json=as_json, compact=compact, terminal=is_terminal(sys.stdout))
    walk = Walk(client, query, most=most, newest_first=reverse or most is not None)
    if reverse or most is None:
        for lines in walk:
            shown += len(lines)
            out.write(map(show, lines))
    else:
        newest_first = [line for lines in walk for line in lines]
        shown = len(newest_first)
        out.write(map(show, reversed(newest_first)))
    return walk.more if shown else None


def _count(
    client: ApiClient,
    query: dict[str, Any],
    count_by: str | None,
    bucket: str | None,
    *,
    as_json: bool,
) -> None:
    from kevmond.cli.counting import by_name, over_time
    from kevmond.cli.values import seconds

    length = seconds(bucket, "--bucket") or 0
    if length != int(length) or (bucket is not None and not length):
        raise click.BadParameter("whole seconds only", param_hint="'--bucket'")
    query = query | {"by": count_by or "type", "bucket": int(length)}
    facts = client.ask("GET", "events", "counts", query=query)
    if as_json:
        daemon.emit(facts)
        return
    tables = [by_name(facts)] if count_by else []
    tables += [over_time(facts)] if bucket else []
    for number, table in enumerate(tables):
        if number:
            click.echo()
        for line in table:
            click.echo(line)
    if facts["cut"]:
        click.echo(
            f"kevmond: only the newest {facts['looked_at']} events were looked at, back to "
            f"{facts['looked_from']}; --until counts earlier ones",
            err=True,
        )

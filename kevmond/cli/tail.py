"""`kevmond tail`: follow the events of the running daemon, through its restarts."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from kevmond.cli import daemon
from kevmond.cli.asking import condition_options

if TYPE_CHECKING:
    from pathlib import Path

    from kevmond.cli.following import Following

_LAST = 10
"""Events that are shown by --no-follow alone."""
_INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""
_HIGHEST = 10**18 - 1
"""The API takes no position beyond."""


@click.command(
    epilog="""\b
Examples:
  kevmond tail                                     everything, from now on
  kevmond tail --since 10m -i en0                  the last ten minutes of en0, and on
  kevmond tail class=network 'severity>=notice'    both have to hold
  kevmond tail -n 5 --filter 'type=network.dl.link-*' --filter 'severity>=warning'
  kevmond tail --json | jq -r .type
  kevmond tail --compact | grep --line-buffered utun

\b
FILTER is one rule of the filter language (docs/filters.md): all its words must hold.  An argument
of several words, in quotes, and each --filter are further rules, of which one has to match.

\b
When the daemon is restarted, tail waits for it and goes on where it was.  What the journal no
longer had by then is told on stderr and, with --json, as a line of the type "tail.missed".  Ctrl-C
ends it, tells the position to go on from, and exits with 130.  Without a daemon: 69.
"""
)
@condition_options
@click.option("--since", metavar="TIME", help="Begin there: RFC 3339, or how long ago (10m).")
@click.option(
    "--after", type=click.IntRange(0, _HIGHEST), metavar="CURSOR", help='Begin behind this "seq".'
)
@click.option(
    "--last", "-n", type=click.IntRange(min=0), metavar="N", help="Begin with the last N of them."
)
@click.option("--no-follow", is_flag=True, help=f"End with what is there; the last {_LAST}, if no "
              "beginning is given.")  # fmt: skip
@click.option("--compact", is_flag=True, help="Time, type and interface only.")
@click.option("--wait", is_flag=True, help="Wait for a daemon if there is none.")
@daemon.daemon_options
def command(
    *,
    since: str | None,
    after: int | None,
    last: int | None,
    no_follow: bool,
    compact: bool,
    wait: bool,
    state_dir: Path | None,
    config: Path | None,
    as_json: bool,
    **asked: Any,
) -> int:
    """Follow the events of the running daemon."""
    from kevmond.cli.asking import at, query_of
    from kevmond.cli.following import Following, end_with_reader
    from kevmond.cli.told import is_terminal, painter, standard_output
    from kevmond.errors import KevmondError

    if sum(each is not None for each in (since, after, last)) > 1:
        raise click.UsageError("Say once where to begin: --since, --after or --last.")
    if compact and as_json:
        raise click.UsageError("--compact and --json are two forms; choose one.")
    if since is None and after is None and last is None:
        if no_follow:
            last = _LAST
        elif wait:
            since = "0s"  # of a daemon that begins later everything, from its beginning
    query, since = query_of(asked), at(since, "--since")
    out = standard_output()
    if out is None:
        return 0
    end_with_reader()
    following = Following(
        daemon.client(state_dir, config),
        query,
        painter(as_json=as_json, compact=compact, terminal=is_terminal(sys.stdout)),
        out,
        as_json=as_json,
        follow=not no_follow,
        wait=wait,
    )
    try:
        following.run(since=since, after=after, last=last or 0)
    except KeyboardInterrupt:
        _tell_cursor(following, "\n" if is_terminal(sys.stderr) else "")  # behind ^C
        return _INTERRUPTED
    except BrokenPipeError:  # our reader has seen enough
        raise
    except (KevmondError, OSError):
        _tell_cursor(following)
        raise
    return 0


def _tell_cursor(following: Following, begin: str = "") -> None:
    if following.met:
        told = f"{begin}kevmond: to go on from here: --after {following.cursor}"
        click.echo(told, err=True)

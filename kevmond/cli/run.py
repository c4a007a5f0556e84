"""`kevmond run`: the daemon."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from kevmond.cli.options import config_options

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class _Run(click.Command):
    """The command, which as a job of launchd's does not fail twice for the same wrong words."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse, and end as `kevmond.service.job` says if that cannot be done."""
        launchd = "--launchd" in args
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            if not launchd:
                raise
            from kevmond.service import job

            ctx.exit(job.end(error.format_message(), error.exit_code))


@click.command(
    cls=_Run,
    epilog="""\b
Examples:
  kevmond run                                  this machine's events, built-in settings
  kevmond run -c /etc/kevmond/kevmond.toml     as the file says
  kevmond run --kernel simulated --story wifi  a simulated kernel that tells one story
  kevmond run --kernel replay:events.jsonl     what was recorded, once more
  kevmond run --set 'sinks.log.format="json"'  one setting changed

\b
Signals: TERM and INT stop after the sinks have finished (daemon.drain_deadline), a second one at
once; HUP checks the configuration, takes over what can be changed while running, says what
cannot, and reopens files.
""",
)
@config_options
@click.option(
    "--kernel",
    metavar="SOURCE",
    help="auto, darwin, simulated, simulated:PATH or replay:FILE (sets kernel.source).",
)
@click.option(
    "--story",
    metavar="NAME",
    help="What the embedded simulated kernel tells (sets kernel.story).",
)
@click.option(
    "--state-dir",
    metavar="DIR",
    help="Folder of the journal and the event files (sets daemon.state_dir).",
)
@click.option(
    "--launchd",
    is_flag=True,
    help="As a job of launchd's: own log to the system's, no new try with a wrong configuration.",
)
def command(
    config: Path | None,
    overrides: tuple[str, ...],
    kernel: str | None,
    story: str | None,
    state_dir: str | None,
    *,
    launchd: bool,
) -> int:
    """Read kernel events, keep them in the journal, and hand them to the sinks, until stopped.

    Without a configuration file events go to stderr, readable, and to events.jsonl in the state
    folder.  Where there is no PF_SYSTEM socket (anywhere but on macOS) a simulated kernel with
    XNU's measured behaviour tells a story instead.
    """
    from kevmond.service.lean import without_pydantic_plugins

    without_pydantic_plugins()

    named = {"kernel.source": kernel, "kernel.story": story, "daemon.state_dir": state_dir}
    settings = [f"{key}={value}" for key, value in named.items() if value is not None]
    return (_as_job if launchd else _run)(config, [*overrides, *settings])


def _run(config: Path | None, overrides: Sequence[str]) -> int:
    from kevmond.config import load
    from kevmond.daemon import run

    return run(lambda state_dir: load(config, overrides=overrides, state_dir=state_dir))


def _as_job(config: Path | None, overrides: Sequence[str]) -> int:
    from kevmond.cli import exit_code
    from kevmond.errors import KevmondError
    from kevmond.service import job

    job.begin()
    try:
        return _run(config, overrides)
    except (KevmondError, OSError) as error:
        return job.end(str(error), exit_code(error))

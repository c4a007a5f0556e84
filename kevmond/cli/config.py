"""`kevmond config`: whether it is right, what is in force, what can be set."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from kevmond.cli.options import config_options

if TYPE_CHECKING:
    from pathlib import Path


@click.group(
    epilog="""\b
Examples:
  kevmond config check
  kevmond config check --config /etc/kevmond/kevmond.toml
  kevmond config show --set capture.receive_space=1MiB
  kevmond config default > kevmond.toml
  kevmond config schema > kevmond.schema.json
"""
)
def command() -> None:
    """Check, show and describe the configuration."""


@command.command(
    epilog="""\b
Example:
  kevmond config check --config ./kevmond.toml && sudo launchctl kill HUP system/net.kevmond.daemon
"""
)
@config_options
def check(config: Path | None, overrides: tuple[str, ...]) -> None:
    """Say whether the configuration can be used; exit 78 and name every mistake if not."""
    from kevmond.config.loader import exposed_secrets, load_usable

    loaded = load_usable(config, overrides=overrides)
    where = loaded.path or "built-in configuration"
    for line in exposed_secrets(loaded.settings):
        click.echo(f"{where}: warning: {line}", err=True)
    click.echo(f"{where}: right; sinks: {', '.join(loaded.settings.sinks) or 'none'}")


@command.command(
    epilog="""\b
Example:
  kevmond config show > kevmond.toml
"""
)
@config_options
def show(config: Path | None, overrides: tuple[str, ...]) -> None:
    """Print every setting in force as TOML; secrets stand as references, never in clear."""
    from kevmond.config.dump import to_toml
    from kevmond.config.loader import load

    click.echo(to_toml(load(config, overrides=overrides).settings), nl=False)


@command.command(
    epilog="""\b
Example:
  kevmond config default > ~/.config/kevmond/kevmond.toml
"""
)
def default() -> None:
    """Print every setting with its default and what it is for: a file to begin from."""
    from kevmond.shipped import shipped

    click.echo(shipped("config/kevmond.toml").read_text(encoding="utf-8"), nl=False)


@command.command(
    epilog="""\b
Example:
  kevmond config schema > kevmond.schema.json
"""
)
def schema() -> None:
    """Print the JSON Schema of the configuration, for editors that complete and check TOML."""
    import json

    from kevmond.config.dump import json_schema

    click.echo(json.dumps(json_schema(), indent=2))

"""`kevmond schema`: the JSON Schema of an event."""

from __future__ import annotations

import sys

import click


@click.command(
    epilog="""\b
Examples:
  kevmond schema                          readable, on a terminal
  kevmond schema > event.schema.json      one line, for programs
  kevmond schema | jq '."$defs" | keys'   which payloads are there?
"""
)
def command() -> None:
    """Print the JSON Schema of an event, as every sink writes it and `kevmond decode` prints it."""
    import json

    from kevmond.events.schema import json_schema

    indent = 2 if sys.stdout.isatty() else None
    click.echo(json.dumps(json_schema(), indent=indent, ensure_ascii=False))

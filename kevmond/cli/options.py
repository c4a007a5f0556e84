"""Options that more than one command takes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Callable

Function = TypeVar("Function", bound="Callable[..., object]")


def kernel_option(sources: str) -> Callable[[Function], Function]:
    """Add --kernel: parameter `spec: str`; `sources` are the words that the command takes."""
    return click.option(
        "--kernel", "spec", default="auto", show_default=True, metavar="SOURCE", help=sources
    )


def config_options(function: Function) -> Function:
    """Add --config and --set: parameters `config: Path | None` and `overrides: tuple[str, ...]`."""
    for option in (
        click.option(
            "--set",
            "overrides",
            multiple=True,
            metavar="KEY=VALUE",
            help="Set one key over the file, such as sinks.jsonl.keep=3; may be repeated.",
        ),
        click.option(
            "--config",
            "-c",
            type=click.Path(path_type=Path, dir_okay=False),
            help="Configuration file; else $KEVMOND_CONFIG, the usual places, built-in defaults.",
        ),
    ):
        function = option(function)
    return function

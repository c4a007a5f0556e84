"""`kevmond completion`: what a shell reads to complete kevmond's commands and options."""

from __future__ import annotations

from typing import Final

import click

_VARIABLE: Final = "_KEVMOND_COMPLETE"
"""What click's scripts ask by; it is made from the program's name."""


@click.command(
    epilog="""\b
Examples:
  eval "$(kevmond completion bash)"                              in ~/.bashrc; bash 4.4 or newer
  kevmond completion zsh > /usr/local/share/zsh/site-functions/_kevmond
  kevmond completion fish > ~/.config/fish/completions/kevmond.fish

\b
macOS's own bash is 3.2, for which there is no completion; its zsh has it.
"""
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the script that has SHELL complete commands and options of kevmond."""
    from click.shell_completion import ShellComplete, get_completion_class

    from kevmond.cli import group

    kind = get_completion_class(shell)
    assert kind is not None  # click has all three
    # The base class's: bash's own would start a bash to look at its version.
    click.echo(ShellComplete.source(kind(group, {}, "kevmond", _VARIABLE)), nl=False)

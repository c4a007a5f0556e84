"""`kevmond doctor`: what this system offers, found out by trying."""

from __future__ import annotations

import dataclasses
import itertools
import json
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import click

from kevmond.cli.options import kernel_option

if TYPE_CHECKING:
    from kevmond.cli.doctor_checks import Finding
    from kevmond.kernel.base import Kernel

_WORDS: Final = {"pass": "pass", "fail": "fail", "impossible": "not possible here"}
_COLOURS: Final[dict[str, dict[str, Any]]] = {
    "pass": {"fg": "green"},
    "fail": {"fg": "red", "bold": True},
    "impossible": {"fg": "yellow"},
}


@click.command(
    epilog="""\b
Examples:
  kevmond doctor                  what any user can find out
  sudo kevmond doctor             also a tunnel and its kernel events, end to end, and the
                                  daemon's installation
  kevmond doctor --json | jq -r 'select(.outcome == "fail") | .told'

\b
It needs no kernel extension and changes nothing, but for a tunnel interface that comes and goes.
Exit code 1 if any check failed.
"""
)
@kernel_option("auto, darwin, simulated or simulated:PATH.")
@click.option("--json", "as_json", is_flag=True, help="JSON, one object a check.")
def command(spec: str, *, as_json: bool) -> int:
    """Check kernel events, kernel controls and the installed service; say of each why not."""
    from kevmond.cli import doctor_install
    from kevmond.cli.doctor_checks import examine, missing
    from kevmond.kernel.select import open_kernel
    from kevmond.service import place

    kernel = open_kernel(spec)
    if kernel.name == "replay":
        raise click.UsageError(
            "a recording has no kernel to check; say --kernel darwin, simulated or simulated:PATH"
        )
    if not as_json:
        reason = missing(kernel)
        click.echo(f"not possible here: {reason}" if reason else _heading(kernel))
    outcomes: Counter[str] = Counter()
    for finding in itertools.chain(examine(kernel), doctor_install.examine(place.here())):
        outcomes[finding.outcome] += 1
        if as_json:
            facts = {"kernel": kernel.name, **dataclasses.asdict(finding)}
            click.echo(json.dumps(facts))
        else:
            _show(finding)
        sys.stdout.flush()
    if not as_json:
        told = [f"{outcomes[outcome]} {word}" for outcome, word in _WORDS.items()]
        click.echo(", ".join(told))
    return 1 if outcomes["fail"] else 0


def _heading(kernel: Kernel) -> str:
    if kernel.name == "simulated":
        return "a simulated kernel is checked: this tells of kevmond, and nothing of a Mac"
    return "the kernel of this system is checked"


def _show(finding: Finding) -> None:
    word = click.style(f"{_WORDS[finding.outcome]:<17}", **_COLOURS[finding.outcome])
    click.echo(f"{word}  {finding.about}")
    click.echo(f"{'':<17}  {finding.told}")
    if finding.advice:
        click.echo(f"{'':<17}  -> {finding.advice}")

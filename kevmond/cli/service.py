"""`kevmond service`: kevmond as a job of launchd's."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Callable

    from kevmond.service.control import Control
    from kevmond.service.installation import Plan
    from kevmond.service.launchctl import Service
    from kevmond.service.place import Host, Place

Function = TypeVar("Function", bound="Callable[..., object]")

_AGENT = click.option("--agent", is_flag=True, help="The agent of your own, not the daemon of all.")
_DRY_RUN = click.option("--dry-run", is_flag=True, help="Print what would be done.")


def _job_options(function: Function) -> Function:
    """Add what tells one installation from another."""
    for option in (
        click.option("--user", metavar="NAME", help="Run as this user, not as root."),
        click.option(
            "--state-dir",
            metavar="DIR",
            type=click.Path(path_type=Path, file_okay=False),
            help="State folder, whatever the configuration says.",
        ),
        click.option(
            "--config",
            "-c",
            type=click.Path(path_type=Path, dir_okay=False),
            help="Configuration to read; else the one that is there, or a first one is written.",
        ),
    ):
        function = option(function)
    return function


@click.group(
    epilog="""\b
Examples:
  kevmond service install --dry-run          what would be done?
  sudo kevmond service install               for the whole machine, from boot on
  sudo kevmond service install --user alice  the same, as another user than root
  kevmond service install --agent            for you, while you are logged in
  kevmond service status

\b
Exit codes: 0 done, 1 refused or not running, 69 this is no Mac, 78 wrong configuration.
docs/launchd.md tells the rest.
"""
)
def command() -> None:
    """Install kevmond as a service of macOS, and start, stop and watch it."""


@command.command(
    epilog="""\b
Examples:
  sudo kevmond service install --config /etc/kevmond/kevmond.toml
  kevmond service install --agent --dry-run

\b
Run it again after an upgrade or a move: the job is written anew, and restarted.
"""
)
@_AGENT
@_DRY_RUN
@_job_options
def install(
    config: Path | None,
    state_dir: Path | None,
    user: str | None,
    *,
    agent: bool,
    dry_run: bool,
) -> int:
    """Write the job, load it, and see that it runs."""
    host, place, control = _prepared(agent=agent, user=user)
    plan = _planned(host, place, control, config=config, state_dir=state_dir, user=user)
    if dry_run or not host.is_mac:
        return _show(host, plan, dry_run=dry_run)
    _do(plan)
    sudo = "" if agent else "sudo "
    click.echo(f"its events: {sudo}kevmond tail; how it is: {sudo}kevmond status")
    return 0


@command.command(
    epilog="""\b
Examples:
  sudo kevmond service uninstall
  kevmond service uninstall --agent --dry-run
"""
)
@_AGENT
@_DRY_RUN
def uninstall(*, agent: bool, dry_run: bool) -> int:
    """Stop the service and remove its job.  Events and configuration stay."""
    from kevmond.service import installed
    from kevmond.service.installation import Installation
    from kevmond.service.steps import quoted

    host, place, control = _prepared(agent=agent)
    plan = Installation(host, place, control).uninstall()
    if dry_run or not host.is_mac:
        return _show(host, plan, dry_run=dry_run)
    found = None
    try:
        found = installed.read(host, place)
    except installed.UnreadableError as error:
        click.echo(f"kevmond: {error}", err=True)
    if not _do(plan):
        click.echo(f"{place.label} is not installed")
        return 0
    state_dir = (found.state_dir if found else None) or _state_dir(host, place, found)
    sudo = "" if agent else "sudo "
    click.echo(f"kept: {state_dir} (events, subscriptions)")
    if found is not None and found.config is not None:
        click.echo(f"kept: {found.config} (configuration)")
    click.echo(f"to remove them too: {sudo}rm -r {quoted(state_dir)}")
    return 0


def _simple(name: str, told: str, commands: Callable[[Place], list[list[str]]]) -> None:
    """Add a subcommand that is one call of `Control`."""

    @_AGENT
    @_DRY_RUN
    def run(*, agent: bool, dry_run: bool) -> int:
        host, place, control = _prepared(agent=agent)
        if dry_run or not host.is_mac:
            import shlex

            for words in commands(place):
                click.echo(shlex.join(words))
            return 0 if dry_run else _no_mac()
        click.echo(getattr(control, name)())
        return 0

    run.__doc__ = told
    sudo = f"  sudo kevmond service {name}\n  kevmond service {name} --agent"
    command.command(name, epilog=f"\b\nExamples:\n{sudo}\n")(run)


_simple(
    "start",
    "Start the service, if it does not run.",
    lambda place: [
        ["launchctl", "bootstrap", place.domain, str(place.plist)],
        ["launchctl", "kickstart", place.target],
    ],
)
_simple(
    "stop",
    "Stop the service, until the next boot.  An agent: until the next login.",
    lambda place: [["launchctl", "bootout", place.target]],
)
_simple(
    "restart",
    "Stop the service and start it again.  Callers of its socket wait meanwhile.",
    lambda place: [["launchctl", "kickstart", "-k", place.target]],
)


@command.command(
    epilog="""\b
Examples:
  kevmond service status
  kevmond service status --agent --json | jq .state
"""
)
@_AGENT
@click.option("--json", "as_json", is_flag=True, help="JSON, for programs.")
def status(*, agent: bool, as_json: bool) -> int:
    """Tell what launchd does with it.  Exit code 1 if it does not run."""
    from kevmond.service import installed

    host, place, control = _prepared(agent=agent)
    if not host.is_mac:
        click.echo(f"launchctl print {place.target}")
        return _no_mac()
    found = installed.read(host, place)
    service = control.look()
    if as_json:
        import json

        click.echo(json.dumps(_facts(place, found is not None, service)))
    else:
        from kevmond.cli.service_screen import screen

        for line in screen(place, found, service, control):
            click.echo(line)
    return 0 if service is not None and service.running else 1


@command.command(
    "print",
    epilog="""\b
Examples:
  kevmond service print
  kevmond service print --agent > net.kevmond.agent.plist
""",
)
@_AGENT
@_job_options
def show(config: Path | None, state_dir: Path | None, user: str | None, *, agent: bool) -> None:
    """Print the job as `install` would write it."""
    from kevmond.service.launchd import to_plist

    host, place, control = _prepared(agent=agent, user=user)
    plan = _planned(host, place, control, config=config, state_dir=state_dir, user=user)
    click.echo(to_plist(plan.listed), nl=False)


# ---------------------------------------------------------------------- what they share


def _prepared(*, agent: bool, user: str | None = None) -> tuple[Host, Place, Control]:
    from kevmond.service import place
    from kevmond.service.control import Control
    from kevmond.service.launchctl import Launchctl

    host = place.here()
    where = place.agent(host) if agent else place.daemon(user)
    return host, where, Control(host, where, Launchctl())


def _planned(
    host: Host,
    place: Place,
    control: Control,
    *,
    config: Path | None,
    state_dir: Path | None,
    user: str | None,
) -> Plan:
    from kevmond.cli.service_config import configured
    from kevmond.service.installation import Installation

    installation = Installation(host, place, control, user=user)
    found = configured(host, place, config=config, state_dir=state_dir, user=user)
    return installation.install(found)


def _do(plan: Plan) -> bool:
    """Do all steps, telling each; whether there was anything to do."""
    from kevmond.service.installation import RefusedError

    if plan.refusals:
        raise RefusedError("\n".join(plan.refusals))
    for doubt in plan.doubts:
        click.echo(f"kevmond: warning: {doubt}", err=True)
    changed = False
    for step in plan.steps:
        told = step.do()
        if told:
            changed = True
            click.echo(told)
    return changed


def _show(host: Host, plan: Plan, *, dry_run: bool) -> int:
    """Print a plan as a shell would do it."""
    for refusal in plan.refusals if host.is_mac else []:
        click.echo(f"# refused: {refusal}")
    for doubt in plan.doubts:
        click.echo(f"# warning: {doubt}")
    for step in plan.steps:
        click.echo(step.shown())
        if content := step.content():
            click.echo(content.decode().rstrip("\n"))
            click.echo("END")
    return 0 if dry_run else _no_mac()


def _no_mac() -> int:
    click.echo(
        "kevmond: this system has no launchd, so nothing was done; on a Mac it would be the above",
        err=True,
    )
    return os.EX_UNAVAILABLE


def _state_dir(host: Host, place: Place, found: Any) -> Path:
    """Return the state folder that the configuration names."""
    from kevmond.config.loader import load
    from kevmond.errors import KevmondError

    try:
        if found is not None and found.config is not None:
            daemon = load(host.disk(found.config)).settings.daemon
            if "state_dir" in daemon.model_fields_set:
                return daemon.state_dir
    except KevmondError:
        pass
    return place.state_dir


def _facts(place: Place, installed: bool, service: Service | None) -> dict[str, Any]:
    import dataclasses

    facts: dict[str, Any] = {
        "label": place.label,
        "domain": place.domain,
        "plist": str(place.plist),
        "installed": installed,
        "loaded": service is not None,
        "running": service is not None and service.running,
    }
    return facts if service is None else {**facts, **dataclasses.asdict(service)}

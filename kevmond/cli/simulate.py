"""`kevmond simulate`: a kernel for programs to read from, where there is none or none at hand."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from kevmond.kernel.simulated.model import SimulatedKernel
    from kevmond.stories import Step, Story, StoryKernel

_LOOK_S: Final = 0.05
"""How often it is looked whether the first reader came."""


@click.command(
    epilog="""\b
Examples:
  kevmond simulate --list
  kevmond simulate --listen /tmp/k --scenario tour --loop
  kevmond run --kernel simulated:/tmp/k              (in another terminal)
  kevmond simulate --listen /tmp/k                   a silent kernel, and then, at will:
  kevmond simulate --post /tmp/k --scenario cable    what happens when a cable is pulled?
  kevmond simulate --post /tmp/k --scenario events.jsonl --speed 10
  kevmond simulate --post /tmp/k --scenario storm --rate 5000

\b
A scenario is a name of --list, a TOML file of steps (docs/simulate.md), or a recording.
"""
)
@click.option("--listen", metavar="PATH", help="Serve a new simulated kernel at this Unix socket.")
@click.option("--post", "into", metavar="PATH", help="Post into the kernel served there, and end.")
@click.option("--list", "listed", is_flag=True, help="List the built-in scenarios.")
@click.option(
    "--scenario",
    "-s",
    "scenarios",
    multiple=True,
    metavar="NAME|FILE",
    help="What to tell; several are told one after the other.",
)
@click.option("--loop", is_flag=True, help="Tell it again and again, until stopped.")
@click.option(
    "--speed", type=float, default=1.0, show_default=True, metavar="X", help="2 is twice as fast."
)
@click.option("--rate", type=float, metavar="N", help="N events a second, whatever the pauses.")
@click.option("--seed", type=int, metavar="N", help="Choose chance, to have the same run again.")
@click.option(
    "--wait/--no-wait",
    default=True,
    help="With --listen, begin when the first reader came (default), or at once.",
)
@click.option("--quiet", "-q", is_flag=True, help="Do not tell what happens.")
def command(
    *,
    listen: str | None,
    into: str | None,
    listed: bool,
    scenarios: tuple[str, ...],
    loop: bool,
    speed: float,
    rate: float | None,
    seed: int | None,
    wait: bool,
    quiet: bool,
) -> None:
    """Serve a simulated kernel to other processes, or post into one that is served.

    It behaves as XNU was measured to: filters, ids, buffer space, silent drops and errors.
    """
    if listed:
        _list()
        return
    if (listen is None) == (into is None):
        raise click.UsageError("Give one of --listen PATH, --post PATH and --list.")
    if into is not None and not scenarios:
        raise click.UsageError("--post needs a --scenario; --list tells their names.")
    for value, option in ((speed, "--speed"), (rate, "--rate")):
        if value is not None and not value > 0:
            raise click.BadParameter("must be above 0", param_hint=f"'{option}'")
    story = _story(scenarios) if scenarios else None

    def tell(kernel: StoryKernel) -> Awaitable[int]:
        import random

        from kevmond import stories

        assert story is not None
        return stories.play(
            story,
            kernel,
            speed=speed,
            rate=rate,
            loop=loop,
            chance=random.Random(seed),  # noqa: S311 - variety, not secrecy
            on_step=None if quiet else _narrate,
        )

    if into is not None:
        from kevmond.kernel.simulated.remote import RemoteKernel

        remote = RemoteKernel(into)
        remote.identity()  # is anybody there?  before the story's first pause
        try:
            _run(lambda: _until_stopped(tell(remote)))
        finally:
            remote.close()
    elif listen is not None:
        _run(lambda: _serve(Path(listen), tell if story else None, wait=wait, quiet=quiet))


def _list() -> None:
    from kevmond import stories

    for name, summary in stories.summaries().items():
        click.echo(f"{click.style(f'{name:<10}', bold=True)} {summary}")


def _story(scenarios: tuple[str, ...]) -> Story:
    from kevmond import stories
    from kevmond.cli.values import did_you_mean

    told = []
    for scenario in scenarios:
        path = Path(scenario)
        is_word = path.name == scenario and not path.suffix and not path.exists()
        if is_word and scenario not in stories.names():
            hint = did_you_mean(scenario, stories.names()) or "; --list tells their names"
            raise click.BadParameter(
                f"no scenario and no file {scenario!r}{hint}", param_hint="'--scenario'"
            )
        told.append(stories.load(scenario))
    return stories.in_turn(told)


def _narrate(step: Step) -> None:
    if step.note:
        from kevmond.cli.pretty import printable

        click.echo(f"  {printable(step.note)}", err=True)


def _run(main: Callable[[], Awaitable[None]]) -> None:
    import uvloop

    async def run() -> None:
        await main()

    uvloop.run(run())


async def _serve(
    path: Path,
    tell: Callable[[SimulatedKernel], Awaitable[int]] | None,
    *,
    wait: bool,
    quiet: bool,
) -> None:
    import asyncio

    from kevmond.kernel.simulated.model import SimulatedKernel
    from kevmond.kernel.simulated.served import KernelServer

    kernel = SimulatedKernel()

    async def told() -> None:
        if tell is None:
            click.echo(f"silent; post with: kevmond simulate --post {path} --scenario tour")
        else:
            if wait and not quiet:
                click.echo("  (waiting for a first reader; --no-wait does not)", err=True)
            while wait and not _is_read(kernel):  # noqa: ASYNC110 - a kernel does not tell
                await asyncio.sleep(_LOOK_S)
            count = await tell(kernel)
            click.echo(f"told: {count} events; still serving, Ctrl-C ends it")
        sys.stdout.flush()
        await asyncio.Event().wait()

    async with KernelServer(kernel, path):
        click.echo(f"serving a simulated kernel; connect: kevmond run --kernel simulated:{path}")
        sys.stdout.flush()
        await _until_stopped(told())


def _is_read(kernel: SimulatedKernel) -> bool:
    from kevmond.kernel.abi import KEV_VENDOR_NONE

    return any(pcb.kernel_filter.vendor != KEV_VENDOR_NONE for pcb in kernel.pcbs)


async def _until_stopped(work: Awaitable[object]) -> None:
    """Do `work` until it is done or SIGINT or SIGTERM comes."""
    import asyncio

    from kevmond.service.signals import handled

    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(work)

    def stop(_: str) -> None:
        task.cancel()

    with handled(loop, stop=stop, reload=lambda: None):
        try:
            await task
        except asyncio.CancelledError:
            if not task.cancelled():
                raise

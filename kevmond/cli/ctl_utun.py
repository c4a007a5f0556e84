"""`kevmond ctl utun`: a tunnel, and what comes through it."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import click

from kevmond.cli import ctl_common as common
from kevmond.cli.ctl_stop import until_stopped

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from kevmond.control.utun import Utun
    from kevmond.kernel.control_base import ControlKernel


@click.command(
    epilog="""\b
Examples:
  sudo kevmond ctl utun                   any free interface; its name is printed
  sudo kevmond ctl utun --unit 7          utun7, or an error if that is taken
  sudo kevmond ctl utun --scan 10-19      the first free one of utun10 to utun19
  kevmond ctl utun --count 4              off a Mac: a simulated tunnel that is pinged
  sudo kevmond ctl utun --json | jq .destination

\b
On a Mac, give it an address in another terminal, and what is sent there is shown here:
  sudo ifconfig utun7 inet 10.99.0.1 10.99.0.2 up
  ping 10.99.0.2
"""
)
@click.option("--unit", type=click.IntRange(0, 65534), metavar="N", help="Open utunN.")
@click.option("--scan", metavar="A-B", help="Open the first free one of utunA to utunB.")
@click.option("--count", type=click.IntRange(min=1), metavar="N", help="Stop after N packets.")
@click.option("--timeout", metavar="TIME", help="Stop after this long, such as 90s or 10m.")
@click.option(
    "--ping/--no-ping",
    default=None,
    help="Write an echo request into it twice a second (default: in a simulated kernel only, "
    "where they come back and nobody else sends any).",
)
@common.kernel_option
@common.json_option
def utun(
    *,
    unit: int | None,
    scan: str | None,
    count: int | None,
    timeout: str | None,
    ping: bool | None,
    spec: str,
    as_json: bool,
) -> None:
    """Open a tunnel interface, and show each packet that the system sends into it, until Ctrl-C.

    Needs root on a Mac.  The interface goes when this ends.
    """
    from kevmond.cli.values import seconds
    from kevmond.kernel.control_abi import UTUN_CONTROL

    if unit is not None and scan is not None:
        raise click.UsageError("Give one of --unit and --scan.")
    units = _range(scan)
    timeout_s = seconds(timeout, "--timeout")
    kernel = common.open_controls(spec)
    pings = kernel.name == "simulated" if ping is None else ping

    async def work() -> None:
        from kevmond.control.utun import Utun

        opening = Utun.open(kernel, unit, scan=units)
        patience_s = min(common.CONNECT_S, timeout_s or common.CONNECT_S)
        async with await common.answered(opening, "utun", "open a utun", patience_s) as tunnel:
            await until_stopped(
                _show(kernel, tunnel, count, timeout_s, pings=pings, as_json=as_json)
            )

    with common.told(kernel, UTUN_CONTROL):
        common.run(work)


def _range(text: str | None) -> range | None:
    if text is None:
        return None
    first, _, last = text.partition("-")
    if first.isdecimal() and last.isdecimal() and int(first) <= int(last) <= 65534:  # noqa: PLR2004 - a u16
        return range(int(first), int(last) + 1)
    raise click.BadParameter("give two units, such as 10-19", param_hint="'--scan'")


async def _show(
    kernel: ControlKernel,
    tunnel: Utun,
    count: int | None,
    timeout_s: float | None,
    *,
    pings: bool,
    as_json: bool,
) -> None:
    if as_json:
        common.emit({"interface": tunnel.name, "unit": tunnel.unit})
    else:
        click.echo(f"{tunnel.name} is there until this ends; Ctrl-C ends it")
        if kernel.name == "darwin" and not pings:
            say = f"give it an address: sudo ifconfig {tunnel.name} inet 10.99.0.1 10.99.0.2 up"
            click.echo(say, err=True)
    async with _pinging(tunnel) if pings else contextlib.nullcontext():
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await _packets(tunnel, count, as_json=as_json)
    if not as_json:
        told = tunnel.statistics
        said = f"{told.packets_in} packets, {told.bytes_in} bytes came from {tunnel.name}"
        click.echo(said + (f"; {told.malformed} malformed" if told.malformed else ""), err=True)


async def _packets(tunnel: Utun, count: int | None, *, as_json: bool) -> None:
    from kevmond.cli.ctl_packets import packet_facts, packet_line

    seen = 0
    async for packet in tunnel:
        facts: dict[str, Any] = packet_facts(packet.data)
        time = common.now()
        if as_json:
            common.emit({"time": time, "interface": tunnel.name, **facts})
        else:
            common.say(f"{click.style(time, dim=True)}  {packet_line(facts)}")
        seen += 1
        if seen == count:
            return


@contextlib.asynccontextmanager
async def _pinging(tunnel: Utun) -> AsyncIterator[None]:
    """Write an echo request twice a second while the block runs."""
    task = asyncio.get_running_loop().create_task(_ping(tunnel), name="ping")
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _ping(tunnel: Utun) -> None:
    from kevmond.cli.ctl_packets import ping

    number = 0
    while True:
        await tunnel.send(ping(number))
        number += 1
        await asyncio.sleep(0.5)

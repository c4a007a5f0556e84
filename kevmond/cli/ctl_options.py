"""`kevmond ctl get` and `kevmond ctl set`: a control's options."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from kevmond.cli import ctl_common as common
from kevmond.control.sample_abi import speaks_sample

if TYPE_CHECKING:
    from kevmond.control.channel import ControlChannel

_SIZES: Final = (4, 8, 16, 24, 32, 64, 256, 1024)
"""Lengths tried, in bytes, where an option wants one of its own and --size does not say it."""

_SAMPLE_OPTIONS: Final = {
    "command1": 1,
    "command2": 2,
    "version": 3,
    "statistics": 4,
    "debug": 5,
}
"""Options of the sample protocol by name."""


@click.command(
    "get",
    epilog="""\b
Examples:
  kevmond ctl get com.apple.net.utun_control 2            the interface's name
  kevmond ctl get com.apple.net.utun_control 16 --size 4  packets that may wait in the socket
  kevmond ctl get org.mklinux.nke.foo statistics          one that has a name
""",
)
@click.argument("name")
@click.argument("option", metavar="OPT")
@click.option(
    "--size",
    type=click.IntRange(1, 64 << 20),
    metavar="N",
    help="Length of the buffer; without it the control is asked, then some are tried.",
)
@common.timeout_option
@common.protocol_option
@common.kernel_option
@common.json_option
def get_option(
    *,
    name: str,
    option: str,
    size: int | None,
    timeout: str,
    protocol: str,
    spec: str,
    as_json: bool,
) -> None:
    """Read the option OPT of the control NAME: a number, or one of the sample protocol's names.

    It is shown as a number (4 bytes), as text and as hex, whichever it is.
    """
    sample = speaks_sample(name, protocol)
    number = _number(option, sample=sample)
    patience_s = common.patience(timeout)
    kernel = common.open_controls(spec)
    target = common.target(name)

    async def work() -> bytes:
        async with common.connected(kernel, target, patience_s) as channel:
            call = f"getsockopt {number}"
            return await common.answered(_read(channel, number, size), name, call, patience_s)

    with common.told(kernel, name):
        value: bytes = common.run(work)
    decoded = _decoded(number, value) if sample else None
    if as_json:
        facts: dict[str, Any] = {"control": name, "option": number, **common.data_facts(value)}
        common.emit(facts | ({"value": decoded} if decoded is not None else {}))
    elif decoded is None:
        click.echo(common.shown(value))
    else:
        width = max(map(len, decoded))
        for key, one in decoded.items():
            click.echo(f"{key:<{width}}  {one}")


async def _read(channel: ControlChannel, option: int, size: int | None) -> bytes:
    from kevmond.errors import KernelError

    try:
        return await channel.get_option(option, size)
    except KernelError as error:
        if error.symbol != "EMSGSIZE" or size is not None:
            raise
        refused = error
    for each in _SIZES:
        try:
            return await channel.get_option(option, each)
        except KernelError as error:
            if error.symbol != "EMSGSIZE":
                raise
    raise refused


@click.command(
    "set",
    context_settings={"ignore_unknown_options": True},  # -1 is a value
    epilog="""\b
Examples:
  kevmond ctl set org.mklinux.nke.foo command1           no value at all: a command
  kevmond ctl set org.mklinux.nke.foo command2 42        a number: 4 bytes
  kevmond ctl set com.apple.net.utun_control 15 text:en0
  kevmond ctl set org.example.control 7 hex:0102ff
""",
)
@click.argument("name")
@click.argument("option", metavar="OPT")
@click.argument("value", required=False)
@common.timeout_option
@common.protocol_option
@common.kernel_option
@common.json_option
def set_option(
    *,
    name: str,
    option: str,
    value: str | None,
    timeout: str,
    protocol: str,
    spec: str,
    as_json: bool,
) -> None:
    """Set the option OPT of the control NAME.

    VALUE is a number (4 bytes), text:TEXT, hex:BYTES, or left out: then the control is given no
    value (NULL), as a command that takes no argument wants it.
    """
    number = _number(option, sample=speaks_sample(name, protocol))
    data = _value(value)
    patience_s = common.patience(timeout)
    kernel = common.open_controls(spec)
    target = common.target(name)

    async def work() -> None:
        async with common.connected(kernel, target, patience_s) as channel:
            call = f"setsockopt {number}"
            await common.answered(channel.set_option(number, data), name, call, patience_s)

    with common.told(kernel, name):
        common.run(work)
    if as_json:
        given = None if data is None else common.data_facts(data)
        common.emit({"control": name, "option": number, "set": given})
    else:
        click.echo("done", err=True)


def _number(option: str, *, sample: bool) -> int:
    from kevmond.cli.values import did_you_mean

    if sample and option.lower() in _SAMPLE_OPTIONS:
        return _SAMPLE_OPTIONS[option.lower()]
    try:
        number = int(option, 0)
    except ValueError:
        known = ", ".join(_SAMPLE_OPTIONS)
        names = f", or one of {known}" if sample else ""
        hint = did_you_mean(option.lower(), _SAMPLE_OPTIONS) if sample else ""
        raise click.BadParameter(
            f"{option!r} is no option: give its number{names}{hint}", param_hint="'OPT'"
        ) from None
    if not -(1 << 31) <= number < 1 << 31:
        raise click.BadParameter("an option's number has 32 bits", param_hint="'OPT'")
    return number


def _value(text: str | None) -> bytes | None:
    if text is None:
        return None
    kind, colon, rest = text.partition(":")
    try:
        if colon and kind == "text":
            return rest.encode()
        if colon and kind == "hex":
            return bytes.fromhex(rest)
        return _u32(int(text, 0))
    except (ValueError, OverflowError):
        raise click.BadParameter(
            f"{text!r} is neither a number of 32 bits, nor text:TEXT, nor hex:BYTES",
            param_hint="'VALUE'",
        ) from None


def _u32(number: int) -> bytes:
    return number.to_bytes(4, "little", signed=number < 0)


def _decoded(option: int, value: bytes) -> dict[str, Any] | None:
    """Take apart what an option of the sample protocol holds; None if it is not known."""
    import dataclasses

    from kevmond.control.sample import Option, ProtocolError, Statistics, Version, version_text

    try:
        if option == Option.VERSION:
            values = dataclasses.asdict(Version.unpack(value))
        elif option == Option.STATISTICS:
            values = dataclasses.asdict(Statistics.unpack(value))
        else:
            return None
    except ProtocolError:
        return None
    if "version" in values:
        values["version"] = version_text(values["version"])
    return values

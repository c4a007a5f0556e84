"""`kevmond ctl send` and `kevmond ctl watch`: a control's messages."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from kevmond.cli import ctl_common as common
from kevmond.cli.ctl_stop import until_stopped
from kevmond.control.sample_abi import speaks_sample

if TYPE_CHECKING:
    from collections.abc import Callable

    from kevmond.control.channel import ControlChannel

_CUT: Final = 64
"""Bytes of a message shown on a line."""
_PATIENCE_S: Final = 5.0
"""How long an echo is waited for, without --wait."""


@click.command(
    epilog="""\b
Examples:
  kevmond ctl send org.example.control hello
  kevmond ctl send com.apple.netsrc --wait 1s \\
      --hex 0200000000000000100200007f000001 --pad 36     which source address for 127.0.0.1?
  kevmond ctl send org.mklinux.nke.foo hello              the sample echoes it
  date | kevmond ctl send org.example.control
"""
)
@click.argument("name")
@click.argument("data", required=False)
@click.option("--hex", "hex_", metavar="BYTES", help="The message as hex.")
@click.option(
    "--file",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="The message is what is in this file.",
)
@click.option("--pad", type=click.IntRange(0, 1 << 24), metavar="N", help="Fill up with zeros.")
@click.option("--wait", metavar="TIME", help="Show what comes within this time, such as 1s.")
@common.timeout_option
@common.protocol_option
@common.kernel_option
@common.json_option
def send(
    *,
    name: str,
    data: str | None,
    hex_: str | None,
    file: Path | None,
    pad: int | None,
    wait: str | None,
    timeout: str,
    protocol: str,
    spec: str,
    as_json: bool,
) -> None:
    """Send one message to the control NAME: DATA, --hex, --file, or else standard input.

    With the sample protocol it is the payload of an echo, whose answer is shown.
    """
    from kevmond.cli.values import seconds

    message = _message(data, hex_, file)
    if pad is not None:
        message = message.ljust(pad, b"\0")
    wait_s = seconds(wait, "--wait")
    timeout_s = common.patience(timeout)
    kernel = common.open_controls(spec)
    target = common.target(name)
    sample = speaks_sample(name, protocol)

    async def work() -> None:
        from kevmond.control.sample import Message, MessageType
        from kevmond.errors import KevmondError

        data = Message(MessageType.ECHO, 1, message).pack() if sample else message
        async with common.connected(kernel, target, timeout_s) as channel:
            await common.answered(channel.send(data, timeout=timeout_s), name, "send", None)
            if sample:
                patience_s = wait_s or _PATIENCE_S
                if not await _show(
                    channel, _echo_line, as_json=as_json, count=1, timeout_s=patience_s
                ):
                    raise KevmondError(f"{channel.name}: no answer within {patience_s:g} s")
                return
            if not as_json:
                click.echo(f"sent {len(message)} bytes to {channel.name}", err=True)
            if wait_s is not None:
                await _show(channel, _raw_line, as_json=as_json, timeout_s=wait_s)

    with common.told(kernel, name):
        common.run(work)


def _message(data: str | None, hex_: str | None, file: Path | None) -> bytes:
    given = [one for one in (data, hex_, file) if one is not None]
    if len(given) > 1:
        raise click.UsageError("Give one of DATA, --hex and --file.")
    if data is not None:
        return data.encode()
    if hex_ is not None:
        try:
            return bytes.fromhex(hex_)
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint="'--hex'") from error
    if file is not None:
        return file.read_bytes()
    return sys.stdin.buffer.read()


@click.command(
    epilog="""\b
Examples:
  kevmond ctl watch org.mklinux.nke.foo                  decoded: the sample's own protocol
  kevmond ctl watch org.example.control --count 10
  kevmond ctl watch org.example.control --timeout 1m --json
"""
)
@click.argument("name")
@click.option("--count", type=click.IntRange(min=1), metavar="N", help="Stop after N messages.")
@click.option("--timeout", metavar="TIME", help="Stop after this long, such as 90s or 10m.")
@common.protocol_option
@common.kernel_option
@common.json_option
def watch(
    *,
    name: str,
    count: int | None,
    timeout: str | None,
    protocol: str,
    spec: str,
    as_json: bool,
) -> None:
    """Show what the control NAME says, a line each, until Ctrl-C.

    With the sample protocol also until it says goodbye: it cannot be unloaded before it is let go.
    """
    from kevmond.cli.values import seconds

    timeout_s = seconds(timeout, "--timeout")
    kernel = common.open_controls(spec)
    target = common.target(name)
    sample = speaks_sample(name, protocol)

    async def work() -> None:
        patience_s = min(common.CONNECT_S, timeout_s or common.CONNECT_S)
        async with common.connected(kernel, target, patience_s) as channel:
            await until_stopped(
                _watch(channel, sample=sample, count=count, timeout_s=timeout_s, as_json=as_json)
            )

    with common.told(kernel, name):
        common.run(work)


async def _watch(
    channel: ControlChannel,
    *,
    sample: bool,
    count: int | None,
    timeout_s: float | None,
    as_json: bool,
) -> None:
    from kevmond.control.sample import Message, MessageType, Subscription, subscribe

    if not as_json:
        said = f"connected to {channel.name}, unit {channel.unit}; Ctrl-C ends it"
        click.echo(said, err=True)
    if sample:
        everything = Message(MessageType.SUBSCRIBE, 1, subscribe(Subscription.ALL)).pack()
        await common.answered(channel.send(everything), channel.name, "send", timeout_s or None)
    line = _sample_line if sample else _raw_line
    ends = common.goodbye if sample else None
    await _show(channel, line, as_json=as_json, count=count, timeout_s=timeout_s, ends=ends)


Line = tuple[str, dict[str, Any]]
"""A message for a person, and for programs."""


async def _show(
    channel: ControlChannel,
    line: Callable[[bytes], Line | None],
    *,
    as_json: bool,
    count: int | None = None,
    timeout_s: float | None = None,
    ends: Callable[[bytes], str | None] | None = None,
) -> int:
    """Print what comes, as `line` makes it, until so many were printed or the time is over.

    `ends` tells of a message why it is the last.  Returns how many were printed.
    """
    seen = 0
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            async for data in channel:
                told = line(data)
                if told is None:
                    continue
                time = common.now()
                if as_json:
                    common.emit({"time": time, "control": channel.name, **told[1]})
                else:
                    common.say(f"{click.style(time, dim=True)}  {told[0]}")
                seen += 1
                reason = ends(data) if ends is not None else None
                if reason is not None:
                    common.let_go(channel.name, reason)
                if seen == count or reason is not None:
                    break
    return seen


def _raw_line(data: bytes) -> Line:
    return f"{len(data):5} bytes  {_cut(data)}", common.data_facts(data)


def _cut(data: bytes) -> str:
    return common.shown(data[:_CUT]) + (" …" if len(data) > _CUT else "")


def _sample_line(data: bytes) -> Line:
    from kevmond.control.sample import Message, ProtocolError, fields

    try:
        message = Message.unpack(data)
    except ProtocolError as error:
        text, facts = _raw_line(data)
        return f"{text}  ({error})", facts | {"error": str(error)}
    named = fields(message)
    facts = {
        "type": message.word,
        "sequence": message.sequence,
        "reply_to": message.reply_to or None,
        "dropped": message.dropped,
        "fields": named,
    }
    parts = [f"{message.word:<8} #{message.sequence}"]
    if message.reply_to:
        parts.append(f"to our #{message.reply_to}")
    if named is not None:
        parts.append(" ".join(f"{key}={value}" for key, value in named.items()))
    elif message.payload:
        parts.append(_cut(message.payload))
        facts["payload"] = common.data_facts(message.payload)
    if message.dropped:
        parts.append(click.style(f"{message.dropped} lost so far", fg="yellow"))
    return "  ".join(parts), facts


def _echo_line(data: bytes) -> Line | None:
    """Show the answer to the first message, and pass over all else that the sample says."""
    from kevmond.control.sample import Message, ProtocolError

    try:
        if Message.unpack(data).reply_to != 1:
            return None
    except ProtocolError:
        pass
    return _sample_line(data)

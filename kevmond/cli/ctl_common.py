"""What the subcommands of `kevmond ctl` share: the kernel, the control's name, errors, formats."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from kevmond.cli import options
from kevmond.control.sample_abi import CONTROL_NAME

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator

    from kevmond.control.channel import ControlChannel
    from kevmond.control.target import ControlTarget
    from kevmond.errors import KernelError
    from kevmond.kernel.control_base import ControlInfo, ControlKernel

Function = TypeVar("Function", bound="Callable[..., object]")
T = TypeVar("T")

CONNECT_S: Final = 10.0
"""How long a control's handler has to answer, unless told otherwise."""
_NOTICE_S: Final = 1.0
"""How long it is waited for in silence."""
_CLOSE_S: Final = 2.0
"""How long closing waits for it."""


kernel_option: Final = options.kernel_option("auto, darwin, simulated or simulated:PATH.")
"""Add --kernel: parameter `spec: str`, of a kernel that has controls."""


def json_option(function: Function) -> Function:
    """Add --json: parameter `as_json: bool`."""
    return click.option("--json", "as_json", is_flag=True, help="JSON, one object a line.")(
        function
    )


def open_controls(spec: str) -> ControlKernel:
    """Open the kernel that `spec` names; its controls are what is wanted of it."""
    from kevmond.kernel.select import open_kernel

    return open_kernel(spec)


def target(name: str) -> ControlTarget:
    """Read NAME or ID:UNIT of the command line."""
    from kevmond.control.target import ControlTarget
    from kevmond.errors import ConfigError

    try:
        return ControlTarget.parse(name)
    except ConfigError as error:
        raise click.BadParameter(str(error), param_hint="'NAME'") from error


def protocol_option(function: Function) -> Function:
    """Add --protocol: parameter `protocol: str`."""
    return click.option(
        "--protocol",
        type=click.Choice(["auto", "raw", "sample"]),
        default="auto",
        show_default=True,
        help=f"What the control speaks; auto: sample for {CONTROL_NAME}, else raw.",
    )(function)


def timeout_option(function: Function) -> Function:
    """Add --timeout, how long a handler has to answer: parameter `timeout: str`."""
    return click.option(
        "--timeout",
        default=f"{CONNECT_S:g}s",
        show_default=True,
        metavar="TIME",
        help="How long the control's handler is waited for.",
    )(function)


def patience(timeout: str) -> float:
    """Seconds that --timeout grants: some, at least."""
    from kevmond.cli.values import seconds

    found = seconds(timeout, "--timeout")
    if not found:
        raise click.BadParameter("no time at all is too little", param_hint="'--timeout'")
    return found


def registered(kernel: ControlKernel) -> list[ControlInfo]:
    """All controls, or none where the list cannot be read."""
    from kevmond.errors import KernelError

    try:
        return kernel.controls()
    except KernelError:
        return []


@contextlib.contextmanager
def told(kernel: ControlKernel, name: str) -> Iterator[None]:
    """Turn an error of the kernel into one line that names the control and says what to do."""
    from kevmond.errors import KernelError

    try:
        yield
    except KernelError as error:
        raise explained(kernel, name, error) from error


def explained(kernel: ControlKernel, name: str, error: KernelError) -> KernelError:
    """Return `error` with the control's name, and with what to do unless it says so itself."""
    from kevmond.cli.values import did_you_mean
    from kevmond.control import hints
    from kevmond.errors import KernelGone

    if isinstance(error, KernelGone):
        return error
    said, advice = hints.said(error), hints.advice(error)
    if error.symbol == "ENOENT":
        advice = "is its kernel extension loaded? `kevmond ctl list` shows what is registered"
        known = [info.name for info in registered(kernel)]
        if name not in known:
            advice += did_you_mean(name, known)
    hint = hints.joined(said, advice) or hints.meaning(error)
    call = error.call if name in error.call else f"{name}: {error.call}"
    return type(error)(call, error.symbol, hint)


async def answered(
    work: Awaitable[T],
    name: str,
    call: str,
    timeout_s: float | None,
) -> T:
    """Wait for `work`, which runs a handler of the control: it is said if that takes long.

    KernelError ETIMEDOUT after `timeout_s` seconds; None: the work has a bound of its own.
    """
    import asyncio

    from kevmond.errors import KernelError

    notice = asyncio.get_running_loop().call_later(
        _NOTICE_S, lambda: click.echo(f"waiting for {name}'s handler", err=True)
    )
    try:
        async with asyncio.timeout(timeout_s):
            return await work
    except TimeoutError:
        hint = f"its handler has not answered within {timeout_s:g} s"
        raise KernelError(call, "ETIMEDOUT", hint) from None
    finally:
        notice.cancel()


@contextlib.asynccontextmanager
async def connected(
    kernel: ControlKernel, target: ControlTarget, timeout_s: float = CONNECT_S
) -> AsyncIterator[ControlChannel]:
    """Connect for the block; neither connecting nor closing waits for ever."""
    from kevmond.control.channel import ControlChannel

    connecting = ControlChannel.connect(kernel, target)
    channel = await answered(connecting, str(target), "connect", timeout_s)
    try:
        yield channel
    finally:
        await channel.aclose(timeout=_CLOSE_S)


def goodbye(message: bytes) -> str | None:
    """Return why a message of the sample protocol says goodbye; None if it does not."""
    from kevmond.control.sample import Goodbye, Message, MessageType, ProtocolError

    try:
        told = Message.unpack(message)
        return Goodbye.unpack(told.payload).word if told.type == MessageType.GOODBYE else None
    except ProtocolError:
        return None


def let_go(name: str, reason: str) -> None:
    """Say why a command ends by itself."""
    click.echo(f"{name} said goodbye ({reason}), and is let go of", err=True)


def run(work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """Run the asynchronous part of a command."""
    import uvloop

    return uvloop.run(work())


def emit(facts: dict[str, Any]) -> None:
    """Print one JSON object on a line, at once."""
    say(json.dumps(facts))


def say(line: str) -> None:
    """Print a line, at once."""
    import sys

    click.echo(line)
    sys.stdout.flush()


def now() -> str:
    """Tell the time as events have it."""
    import time

    from kevmond.events.event import timestamp

    return timestamp(time.time_ns())


def data_facts(data: bytes) -> dict[str, Any]:
    """Say bytes in every way that fits them: length, hex, and text and u32 if they are that."""
    facts: dict[str, Any] = {"length": len(data), "hex": data.hex()}
    text = as_text(data)
    if text is not None:
        facts["text"] = text
    if len(data) == 4:  # noqa: PLR2004 - u32
        facts["u32"] = int.from_bytes(data, "little")
    return facts


def as_text(data: bytes) -> str | None:
    """Read bytes as the text they are, without NULs at the end; None if they are none."""
    try:
        text = data.rstrip(b"\0").decode()
    except UnicodeDecodeError:
        return None
    return text if text and all(char.isprintable() or char in "\n\t" for char in text) else None


def shown(data: bytes) -> str:
    """Show bytes to a person: as a number, as text, as hex, whichever they are."""
    from kevmond.cli.pretty import printable

    parts = []
    if len(data) == 4:  # noqa: PLR2004 - u32
        parts.append(str(int.from_bytes(data, "little")))
    text = as_text(data)
    if text is not None:
        parts.append(f'"{printable(text)}"')
    parts.append(data.hex(" ", -4) if data else "empty")
    return "  ".join(parts)

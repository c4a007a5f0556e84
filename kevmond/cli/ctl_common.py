"""What the subcommands of `kevmond ctl` share: the kernel, the control's name, errors, formats."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from kevmond.control.target import ControlTarget
    from kevmond.errors import KernelError
    from kevmond.kernel.control_base import ControlInfo, ControlKernel

Function = TypeVar("Function", bound="Callable[..., object]")

SAMPLE: Final = "org.mklinux.nke.foo"
"""Name of the sample kernel extension's control."""

_ADVICE: Final = {
    "EPERM": "only root may do this: run it with sudo",
    "EACCES": "a sandbox forbids it: run this outside of it",
    "ENOENT": "is its kernel extension loaded? `kevmond ctl list` shows what is registered",
    "EBUSY": "its unit is taken: see who has it with `kevmond ctl info`",
    "EPROTOTYPE": "it wants the other type of socket, which `kevmond ctl list` shows",
    "EALREADY": "it takes one client only: see who that is with `kevmond ctl info`",
}
"""What to do about an error of the kernel, by errno."""

_MEANING: Final = {
    "ENOTSUP": "the control has nothing for this: `kevmond ctl info` shows what it has",
    "ENOPROTOOPT": "the control does not know this option",
    "EMSGSIZE": "the length is wrong: `kevmond ctl info` shows the send space; options take --size",
    "EINVAL": "the control found it malformed",
    "ENOBUFS": "its queue is full: are its messages being read?",
}
"""What an error means, where it does not say so itself."""


def kernel_option(function: Function) -> Function:
    """Add --kernel: parameter `spec: str`."""
    return click.option(
        "--kernel",
        "spec",
        default="auto",
        show_default=True,
        metavar="SOURCE",
        help="auto, darwin, simulated or simulated:PATH.",
    )(function)


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


def speaks_sample(name: str, protocol: str | None) -> bool:
    """Whether a control is to be spoken to in the sample protocol: as told, else by its name."""
    return protocol == "sample" if protocol else name == SAMPLE


def protocol_option(function: Function) -> Function:
    """Add --protocol: parameter `protocol: str | None`."""
    return click.option(
        "--protocol",
        type=click.Choice(["raw", "sample"]),
        help=f"What the control speaks; by default sample for {SAMPLE}, else raw.",
    )(function)


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
    from kevmond.errors import KernelGone

    if isinstance(error, KernelGone):
        return error
    said = hint_of(error)
    advice = _ADVICE.get(error.symbol, "") or ("" if said else _MEANING.get(error.symbol, ""))
    if error.symbol == "ENOENT":
        known = [info.name for info in registered(kernel)]
        if name not in known:
            advice += did_you_mean(name, known)
    hint = "; ".join(part for part in (said, advice) if part)
    call = error.call if name in error.call else f"{name}: {error.call}"
    return type(error)(call, error.symbol, hint)


def hint_of(error: KernelError) -> str:
    """Return what an error says beside its call and its errno."""
    _, _, rest = str(error).partition(f": {error.symbol}")
    rest = rest.strip()
    return rest[1:-1] if rest.startswith("(") and rest.endswith(")") else rest


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


async def until_stopped(work: Coroutine[Any, Any, Any]) -> None:
    """Do `work` until it is done, or SIGINT or SIGTERM comes, which is no error."""
    import asyncio

    from kevmond.service.signals import handled

    loop = asyncio.get_running_loop()
    task = loop.create_task(work)

    def stop(_: str) -> None:
        task.cancel()

    with handled(loop, stop=stop, reload=lambda: None):
        try:
            await task
        except asyncio.CancelledError:
            if not task.cancelled():
                raise

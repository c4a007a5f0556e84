"""`kevmond ctl echo`: how long a round trip to a control and back takes."""

from __future__ import annotations

import asyncio
import contextlib
import math
import struct
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

import click

from kevmond.cli import ctl_common as common
from kevmond.cli.ctl_stop import until_stopped
from kevmond.control.sample_abi import speaks_sample

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kevmond.control.channel import ControlChannel

_U64: Final = 0xFFFFFFFFFFFFFFFF
_NOT_TAKEN: Final = frozenset({"ETIMEDOUT", "ENOBUFS"})
"""What sending fails with where the handler takes too long: the echo is lost, as on any way."""


@click.command(
    epilog="""\b
Examples:
  kevmond ctl echo com.apple.network.statistics                   any Mac, any user
  kevmond ctl echo org.mklinux.nke.foo --count 10000 --interval 0 --size 512
  kevmond ctl echo org.mklinux.nke.foo --count 0                  until Ctrl-C
  kevmond ctl echo com.apple.network.statistics --json | jq .median_us
"""
)
@click.argument("name")
@click.option(
    "--count",
    type=click.IntRange(min=0),
    default=10,
    show_default=True,
    metavar="N",
    help="Round trips; 0: until Ctrl-C.",
)
@click.option(
    "--size",
    type=click.IntRange(0, 1 << 20),
    default=64,
    show_default=True,
    metavar="N",
    help="Bytes of payload, beside the protocol's header.",
)
@click.option(
    "--interval",
    default="0.1s",
    show_default=True,
    metavar="TIME",
    help="Pause between two; with 0 each is not shown by itself.",
)
@click.option(
    "--timeout",
    default="1s",
    show_default=True,
    metavar="TIME",
    help="An answer that takes longer is lost.",
)
@common.protocol_option
@common.kernel_option
@common.json_option
def echo(
    *,
    name: str,
    count: int,
    size: int,
    interval: str,
    timeout: str,
    protocol: str,
    spec: str,
    as_json: bool,
) -> int:
    """Send messages that come back, one after the other, and tell how long each took.

    The control must echo: the sample's does, and com.apple.network.statistics in effect does.
    Times are those of this program: from the call to the answer in its hands.
    """
    from kevmond.cli.values import seconds
    from kevmond.control.sample import ProtocolError
    from kevmond.errors import KevmondError
    from kevmond.kernel.control_abi import NETWORK_STATISTICS_CONTROL

    pause_s = seconds(interval, "--interval") or 0.0
    timeout_s = common.patience(timeout)
    kernel = common.open_controls(spec)
    target = common.target(name)
    spoken: Spoken
    if speaks_sample(name, protocol):
        spoken = Sample()
    elif name == NETWORK_STATISTICS_CONTROL:
        spoken = NetworkStatistics()
    else:
        raise click.UsageError(
            f"{name} is not known to echo: say --protocol sample if it speaks that, or use "
            f"{NETWORK_STATISTICS_CONTROL}"
        )
    run = Echoes(spoken, size, timeout_s)

    def show(number: int, took_ns: int | None) -> None:
        if pause_s and not as_json:
            told = "lost" if took_ns is None else f"{took_ns / 1e3:.1f} us"
            common.say(f"{size} bytes back from {name}: seq={number} time={told}")

    async def work() -> None:
        async with common.connected(kernel, target) as channel:
            await until_stopped(_echo(channel, run, count=count, pause_s=pause_s, show=show))

    try:
        with common.told(kernel, name):
            common.run(work)
    except ProtocolError as error:
        raise KevmondError(f"{name} does not speak the sample protocol: {error}") from error
    finally:
        facts = run.facts()
        if facts["sent"]:
            _tell(name, size, facts, as_json=as_json)
    if run.goodbye is not None:
        common.let_go(name, run.goodbye)
    return 1 if facts["lost"] or facts["damaged"] or not facts["sent"] else 0


class Spoken(Protocol):
    """How an echo is asked for in a control's own language."""

    def encode(self, number: int, payload: bytes) -> bytes:
        """Make the message with this number, counted from 1."""
        ...

    def decode(self, message: bytes) -> tuple[int, bytes] | None:
        """Return number and payload of an answer; None for what is none."""
        ...

    def goodbye(self, message: bytes) -> str | None:
        """Return why a message asks to be let go of; None if it does not."""
        ...


class Sample:
    """The sample protocol's ECHO."""

    def encode(self, number: int, payload: bytes) -> bytes:
        """See `Spoken.encode`."""
        from kevmond.control.sample import Message, MessageType

        return Message(MessageType.ECHO, number, payload).pack()

    def decode(self, message: bytes) -> tuple[int, bytes] | None:
        """See `Spoken.decode`."""
        from kevmond.control.sample import Message, MessageType

        answer = Message.unpack(message)
        if answer.type != MessageType.ECHO:
            return None
        return answer.reply_to, answer.payload

    def goodbye(self, message: bytes) -> str | None:
        """See `Spoken.goodbye`."""
        return common.goodbye(message)


class NetworkStatistics:
    """com.apple.network.statistics: a request of no known type comes back behind an error."""

    HEADER: Final = struct.Struct("<QI2H")
    """nstat_msg_hdr: context, type, length, flags."""
    ERROR_SIZE: Final = 24
    UNKNOWN_TYPE: Final = 0x7FFF0001

    def encode(self, number: int, payload: bytes) -> bytes:
        """See `Spoken.encode`."""
        length = self.HEADER.size + len(payload)
        return self.HEADER.pack(number & _U64, self.UNKNOWN_TYPE, length & 0xFFFF, 0) + payload

    def decode(self, message: bytes) -> tuple[int, bytes] | None:
        """See `Spoken.decode`."""
        if len(message) < self.ERROR_SIZE:
            return None
        number, kind, _, _ = self.HEADER.unpack_from(message)
        if kind != 1:
            return None
        return number, message[self.ERROR_SIZE + self.HEADER.size :]

    def goodbye(self, message: bytes) -> str | None:
        """See `Spoken.goodbye`: it is never unloaded."""


@dataclass
class Echoes:
    """Round trips, and what came of them."""

    spoken: Spoken
    size: int
    timeout_s: float
    sent: int = 0
    damaged: int = 0
    """Came back with another payload."""
    reordered: int = 0
    """Came back after a later one, or too late."""
    times_ns: list[int] = field(default_factory=list)
    goodbye: str | None = None
    """Why the control asked to be let go of; None: it did not."""

    async def once(self, channel: ControlChannel) -> int | None:
        """Send one and wait for it; nanoseconds, or None if it is lost."""
        from kevmond.errors import KernelError

        self.sent += 1
        number = self.sent
        payload = number.to_bytes(8, "little")
        payload = (payload * (self.size // 8 + 1))[: self.size]
        message = self.spoken.encode(number, payload)
        before = time.perf_counter_ns()
        try:
            await channel.send(message, timeout=self.timeout_s)
        except KernelError as error:
            if error.symbol not in _NOT_TAKEN:
                raise
            return None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.timeout_s):
                async for data in channel:
                    took = time.perf_counter_ns() - before
                    answer = self._answer(data)
                    if answer is None:
                        continue
                    if answer[0] != number:
                        self.reordered += 1
                        continue
                    self.damaged += answer[1] != payload
                    self.times_ns.append(took)
                    return took
        return None

    async def pause(self, channel: ControlChannel, seconds: float) -> None:
        """Wait so long, or until the control says goodbye."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                async for data in channel:
                    self.reordered += self._answer(data) is not None
                    if self.goodbye is not None:
                        return

    def _answer(self, data: bytes) -> tuple[int, bytes] | None:
        answer = self.spoken.decode(data)
        if answer is None:
            self.goodbye = self.goodbye or self.spoken.goodbye(data)
        return answer

    def facts(self) -> dict[str, Any]:
        """Return what is to be told at the end; times in microseconds."""
        times = sorted(self.times_ns)
        facts: dict[str, Any] = {
            "sent": self.sent,
            "received": len(times),
            "lost": self.sent - len(times),
            "reordered": self.reordered,
            "damaged": self.damaged,
        }
        if times:
            facts |= {
                "min_us": times[0] / 1e3,
                "avg_us": round(sum(times) / len(times) / 1e3, 3),
                "median_us": percentile(times, 50) / 1e3,
                "p99_us": percentile(times, 99) / 1e3,
                "max_us": times[-1] / 1e3,
            }
        return facts


def percentile(ordered: Sequence[int], percent: float) -> int:
    """Return the smallest value that so many percent are not above (nearest rank)."""
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


async def _echo(
    channel: ControlChannel,
    run: Echoes,
    *,
    count: int,
    pause_s: float,
    show: Callable[[int, int | None], None],
) -> None:
    while run.goodbye is None:
        took = await run.once(channel)
        show(run.sent, took)
        if run.sent == count:
            return
        if pause_s:
            await run.pause(channel, pause_s)


def _tell(name: str, size: int, facts: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        common.emit({"control": name, "size": size, **facts})
    else:
        for line in _summary(name, facts):
            click.echo(line)


def _summary(name: str, facts: dict[str, Any]) -> list[str]:
    share = 100 * facts["lost"] / facts["sent"] if facts["sent"] else 0
    counts = f"{facts['sent']} sent, {facts['received']} came back, {facts['lost']} lost"
    lines = [f"--- {name}", f"{counts} ({share:.1f}%), {facts['reordered']} out of order"]
    if facts["damaged"]:
        lines.append(f"{facts['damaged']} came back damaged")
    if facts["received"]:
        keys = ("min", "avg", "median", "p99", "max")
        shown = "/".join(f"{facts[f'{key}_us']:.1f}" for key in keys)
        lines.append(f"round trip {'/'.join(keys)} = {shown} us")
    return lines

"""`kevmond record`: raw kernel events into a file, and what of them was lost."""

from __future__ import annotations

import contextlib
import selectors
import signal
import socket as sockets
import time
from typing import TYPE_CHECKING, Final

import click

from kevmond.capture.ledger import LossLedger
from kevmond.cli.options import kernel_option
from kevmond.errors import KernelError
from kevmond.kernel import abi
from kevmond.kernel.base import EndOfEvents

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from kevmond.events.filters import EventFilter
    from kevmond.kernel.base import EventSocket, Kernel, KernelIdentity
    from kevmond.kernel.recording import RecordingWriter

_RECEIVE_SPACE: Final = 8 << 20
_BATCH: Final = 512
"""Messages written at once: how much a crash may lose, and how long a stop may wait."""


@click.command(
    epilog="""\b
Examples:
  kevmond record events.jsonl                      until Ctrl-C
  kevmond record events.jsonl --duration 10m       for ten minutes
  kevmond record - --count 3                       the next three, to standard output
  kevmond record vpn.jsonl --filter interface=utun*
  kevmond record x.jsonl --kernel simulated:/tmp/k   from `kevmond simulate --listen /tmp/k`
  kevmond decode events.jsonl                      what was recorded?
  kevmond run --kernel replay:events.jsonl         the daemon on what was recorded

\b
Lines are appended whole; a file that exists is continued.  It is readable by its owner only.
"""
)
@click.argument("file", metavar="FILE|-")
@kernel_option("auto, darwin, simulated:PATH or replay:FILE.")
@click.option(
    "--filter", "rules", multiple=True, metavar="RULE", help="Record only these; may be repeated."
)
@click.option("--count", type=click.IntRange(min=1), metavar="N", help="Stop after N events.")
@click.option("--duration", metavar="TIME", help="Stop after this long, such as 90s or 10m.")
def command(
    file: str, spec: str, rules: tuple[str, ...], count: int | None, duration: str | None
) -> int:
    """Write raw kernel events to FILE as JSON lines, until Ctrl-C; tell at the end what was lost.

    With --filter, only the narrowest filter that the kernel can set is in its hands and the rest
    is done here; losses can be counted exactly only without it.
    """
    from kevmond.cli.values import event_filter, seconds
    from kevmond.kernel.recording import RecordingWriter
    from kevmond.kernel.select import open_kernel

    passes = event_filter(rules)
    limit_s = seconds(duration, "--duration")
    kernel = open_kernel(spec)
    if kernel.name == "simulated" and not spec.startswith("simulated:"):
        raise click.UsageError(
            f"--kernel {spec} is a simulated kernel of this very process, and nobody posts to it:"
            " run `kevmond simulate --listen PATH` and record --kernel simulated:PATH"
        )
    with RecordingWriter(file) as writer:
        recorder = Recorder(kernel, writer, passes, count)
        try:
            recorder.run(limit_s)
        finally:
            click.echo(f"kevmond: {recorder.report()}", err=True)
            recorder.close()
    return 0


class Recorder:
    """Drains an event socket into a recording, and keeps account of what did not come through."""

    def __init__(
        self,
        kernel: Kernel,
        writer: RecordingWriter,
        passes: EventFilter,
        count: int | None = None,
    ) -> None:
        self._kernel = kernel
        self._socket = kernel.open_event_socket(_RECEIVE_SPACE)
        self._identity = kernel.identity()
        self._writer = writer
        self._count = count
        vendors = _vendor_codes(self._socket, passes)
        self._filter = passes.kernel_filter(vendors)
        self._passes = _by_event(self._identity, passes, vendors) if passes.rules else None
        self._buffer = memoryview(bytearray(abi.READ_SIZE))
        self._ledger = LossLedger()

    def run(self, limit_s: float | None = None) -> None:
        """Record until the source ends, the count or the time is reached, or a signal comes."""
        end = None if limit_s is None else time.monotonic() + limit_s
        with stop_signals() as stop, selectors.DefaultSelector() as selector:
            selector.register(stop, selectors.EVENT_READ)
            selector.register(self._socket, selectors.EVENT_READ)
            self._listen()
            while True:
                wait = None if end is None else end - time.monotonic()
                if wait is not None and wait <= 0:
                    break
                if any(key.fileobj is stop for key, _ in selector.select(wait)):
                    break
                if not self._drain():
                    return
            self._finish()

    def _listen(self) -> None:
        before = self._socket.last_event_id()
        self._socket.set_filter(self._filter)
        after = self._socket.last_event_id()
        self._ledger.baseline(self._socket.dropped(), self._kernel.statistics())
        self._ledger.opened(before, after, 0, ids_count=self._filter.is_open, new_boot=True)

    def _drain(self) -> bool:
        """Write what waits, one batch at most; False if nothing more is wanted or to come."""
        batch: list[tuple[bytes, int]] = []
        ids: list[int | None] = []
        now = time.time_ns()
        try:
            while len(ids) < _BATCH:
                size = self._socket.recv_into(self._buffer)
                raw = bytes(self._buffer[:size])
                whole = size >= abi.KEV_MSG_HEADER_SIZE
                ids.append(abi.HEADER.unpack_from(raw)[4] if whole else None)
                if self._passes is None or self._passes(raw):
                    batch.append((raw, self._socket.recorded_ns() or now))
                    if self._writer.count + len(batch) == self._count:
                        return False
        except BlockingIOError:
            pass
        except EndOfEvents:
            return False
        finally:
            self._writer.write(batch, self._identity)
            self._ledger.observe(ids, 0, self._last_event_id)
        return True

    def _finish(self) -> None:
        """Read what was posted up to now, so that a loss at the very end is seen too."""
        self._ledger.posted_up_to(self._socket.last_event_id(), 0)
        # No more than the buffer can hold was posted before now and waits still.
        for _ in range(1 + self._socket.receive_space // abi.KEV_MSG_HEADER_SIZE // _BATCH):
            before = self._ledger.totals().delivered
            if not self._drain() or self._ledger.totals().delivered == before:
                break

    def _last_event_id(self) -> int | None:
        try:
            return self._socket.last_event_id()
        except KernelError:  # the kernel went away
            return None

    def report(self) -> str:
        """One line: how many were written, and how many of those posted to us were lost."""
        with contextlib.suppress(KernelError):
            self._ledger.counters(self._socket.dropped(), self._kernel.statistics())
        self._ledger.closed()
        told = self._ledger.totals()
        written = self._writer.count
        said = f"wrote {written} event{'' if written == 1 else 's'} to {self._writer.name}"
        if not self._filter.is_open and self._socket.dropped() is None:
            return f"{said}; with a kernel filter set, losses cannot be told"
        said += f"; {told.posted} posted to us, {told.delivered} read, {told.lost or 'none'} lost"
        return said + (": it came faster than it could be read" if told.lost else "")

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


def _vendor_codes(socket: EventSocket, passes: EventFilter) -> dict[str, int]:
    """Codes of the third parties that the rules name, as far as the kernel knows them."""
    codes = {}
    for rule in passes.rules:
        for value in rule.terms.get("vendor", ()):
            if value.number is None and not value.is_glob and "." in value.text:
                with contextlib.suppress(KernelError):
                    codes[value.text] = socket.vendor_code(value.text)
    return codes


def _by_event(
    identity: KernelIdentity, passes: EventFilter, vendors: Mapping[str, int]
) -> Callable[[bytes], bool]:
    from kevmond.events.decoder import Decoder
    from kevmond.events.event import Context

    decoder = Decoder(
        Context(
            identity.host,
            identity.boot_id,
            identity.os_release,
            identity.os_build,
            {code: name for name, code in vendors.items()},
        )
    )
    return lambda raw: passes.matches(decoder.event(raw, seq=0, time=""))


@contextlib.contextmanager
def stop_signals() -> Iterator[sockets.socket]:
    """Give a socket that is readable once SIGINT or SIGTERM came; a second one ends the process."""
    read, write = sockets.socketpair()
    write.setblocking(False)
    numbers = (signal.SIGINT, signal.SIGTERM)

    def once(_number: int, _frame: object) -> None:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)

    before = {number: signal.signal(number, once) for number in numbers}
    wakeup = signal.set_wakeup_fd(write.fileno())
    try:
        with read, write:
            yield read
    finally:
        signal.set_wakeup_fd(wakeup)
        for number, handler in before.items():
            signal.signal(number, handler)

"""What capture costs a kernel event, on top of reading it and making a record of it.

    python benchmarks/capture.py [--rounds 15]

Both sides drain the same simulated kernel, in this process, of the same 20,000 link events.  The
bare loop does `recv_into` and `Decoder.record` and nothing else.  The other side is the daemon's
`Capture` under uvloop, with its loss ledger and its remembered position, into a journal that throws
records away.  Rounds alternate; the figures are CPU time (user and system) of this process.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import statistics
import time
from typing import TYPE_CHECKING, Any

import uvloop

from kevmond.capture.reader import Capture
from kevmond.capture.settings import CaptureSettings
from kevmond.events.event import Context
from kevmond.events.revive import decoder_for
from kevmond.kernel import abi
from kevmond.kernel.base import KernelFilter
from kevmond.kernel.simulated.model import SimulatedKernel

if TYPE_CHECKING:
    from collections.abc import Sequence

EVENTS = 20_000
BATCH = 256
"""Both sides read so many, then make their records: that is quicker than one by one."""
LINK_ON = (1, 1, 2, 13, b"\x02\0\0\0\0\0\0\0en".ljust(24, b"\0"))
SPACE = 8 << 20
SETTINGS = CaptureSettings(snapshot=False, receive_space=SPACE, batch_size=BATCH)


class NoJournal:
    """Takes records, counts them and lets them go."""

    first_run = True
    clean_stop_ns = None

    def __init__(self) -> None:
        self.next_seq = 1
        self.wanted = 0
        self.reached: asyncio.Future[None] | None = None

    def append(self, records: Sequence[Any]) -> None:
        """Count, and tell when there are enough."""
        self.next_seq += len(records)
        if self.reached is not None and self.next_seq > self.wanted:
            self.reached.set_result(None)
            self.reached = None

    def set_context(self, context: Context) -> None:
        """Do nothing: there is nothing to keep."""

    def state(self, key: str) -> str | None:
        """Know of no run before."""

    def set_state(self, key: str, value: str) -> None:
        """Do nothing: there is nothing to keep."""

    async def more(self, count: int) -> None:
        """Wait until so many further records came."""
        self.wanted = self.next_seq + count - 1
        self.reached = asyncio.get_running_loop().create_future()
        await self.reached


def burst(kernel: SimulatedKernel) -> None:
    """Post the events of one round."""
    for _ in range(EVENTS):
        kernel.post(*LINK_ON)


def bare(kernel: SimulatedKernel) -> float:
    """CPU seconds to read a burst and make records of it, and no more."""
    decoder = decoder_for(Context(host="mac", boot_id="boot"))
    sock = kernel.open_event_socket(SPACE)
    sock.set_filter(KernelFilter())
    sock.fileno()
    burst(kernel)
    buffer = memoryview(bytearray(abi.READ_SIZE))
    recv_into, make = sock.recv_into, decoder.record
    wall_ns = time.time_ns()
    done = 0
    begin = time.process_time()
    while done < EVENTS:
        raws: list[bytes] = []
        append = raws.append
        with contextlib.suppress(BlockingIOError):
            for _ in range(BATCH):
                append(bytes(buffer[: recv_into(buffer)]))
        done += len([make(raw, seq=at, wall_ns=wall_ns) for at, raw in enumerate(raws, done)])
    used = time.process_time() - begin
    sock.close()
    return used


async def captured(kernel: SimulatedKernel) -> float:
    """CPU seconds until capture has put a burst into its journal."""
    journal = NoJournal()
    capture = Capture(kernel, journal, SETTINGS)  # type: ignore[arg-type]
    await capture.start()
    burst(kernel)
    begin = time.process_time()
    await journal.more(EVENTS)
    used = time.process_time() - begin
    await capture.stop()
    totals = capture.statistics().totals
    assert totals.posted == totals.delivered == EVENTS, totals
    return used


async def measure(rounds: int) -> None:
    """Print the cost of both sides, and of what lies between."""
    kernel = SimulatedKernel()
    bare(kernel)
    await captured(kernel)
    pairs = [(bare(kernel), await captured(kernel)) for _ in range(rounds)]
    least = [min(side) / EVENTS * 1e6 for side in zip(*pairs, strict=True)]
    ratio = statistics.median(whole / alone for alone, whole in pairs)
    print(f"bare loop  {least[0]:5.2f} µs an event (least of {rounds} rounds)")
    print(f"capture    {least[1]:5.2f} µs an event")
    print(f"on top     {least[1] - least[0]:5.2f} µs an event; ratio {ratio:.2f} (median)")


def main() -> None:
    """Run it."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=15)
    uvloop.run(measure(options.parse_args().rounds))


if __name__ == "__main__":
    main()

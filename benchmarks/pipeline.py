"""What the whole pipeline costs a kernel event, and what a burst loses.

    python benchmarks/pipeline.py [--rounds 7]

A simulated kernel in a process of its own serves one socket to one reader.  The bare reader drains
it with non-blocking `recv_into` and does nothing else; the pipeline is the daemon's own rooms
(capture -> decoded pydantic event -> journal -> JSON lines file) under uvloop.  Both read the same
30,000 link events, posted back to back, after 1,000 to warm up; each round runs both, each in a new
process, and the cost is the CPU time (user and system, all threads) from the first event to the
last that is done with.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import select
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

WARM_UP = 1_000
"""Events read first and not counted: models are built and layouts compiled at first use."""
EVENTS = 30_000
LINK_ON = (1, 1, 2, 13, b"\x02\0\0\0\0\0\0\0en".ljust(24, b"\0"))
SPACE = 7_456_540


def cpu() -> float:
    """CPU seconds of this process so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def tell(**figures: float) -> None:
    """Report to the parent, one JSON line."""
    print(json.dumps(figures), flush=True)


def bare(path: str, count: int) -> None:
    """Read `count` events and do nothing with them."""
    from kevmond.kernel.base import KernelFilter
    from kevmond.kernel.simulated.remote import RemoteKernel

    opened = RemoteKernel(path).open_event_socket(SPACE)
    opened.set_filter(KernelFilter())
    sock = socket.socket(fileno=os.dup(opened.fileno()))
    sock.setblocking(False)
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    buffer = memoryview(bytearray(1024))
    recv_into = sock.recv_into

    def drain(until: int) -> None:
        done = 0
        while done < until:
            poll.poll()
            try:
                while True:
                    recv_into(buffer)
                    done += 1
            except BlockingIOError:
                pass

    tell(ready=1)
    drain(WARM_UP)
    tell(ready=2)
    before = cpu()
    drain(count)
    tell(cpu=cpu() - before, events=count)


def pipeline(path: str, folder: str, count: int) -> None:
    """Read `count` events into a journal and a JSON lines file."""
    import uvloop

    from kevmond.capture.reader import Capture
    from kevmond.capture.settings import CaptureSettings
    from kevmond.journal.journal import Journal
    from kevmond.journal.settings import JournalSettings
    from kevmond.kernel.simulated.remote import RemoteKernel
    from kevmond.sinks.fleet import Fleet
    from kevmond.sinks.jsonl import JsonlSettings

    async def work() -> None:
        journal = Journal.open(JournalSettings(path=Path(folder) / "journal.sqlite"))
        said: list[object] = []
        fleet = Fleet(journal, said.append)
        file = Path(folder) / "events.jsonl"
        await fleet.apply({"f": JsonlSettings(path=file, max_bytes="1GiB", total_bytes=0)}, 5)
        capture = Capture(RemoteKernel(path), journal, CaptureSettings(snapshot=False), filters=[])
        await capture.start()
        start = journal.next_seq

        async def delivered(until: int) -> None:
            while fleet.statistics()[0].position < start + until - 1:
                await asyncio.sleep(0.05)

        tell(ready=1)
        await delivered(WARM_UP)
        before = cpu()
        tell(ready=2)
        await delivered(WARM_UP + count)
        tell(cpu=cpu() - before, events=capture.statistics().delivered - WARM_UP)
        await capture.stop()
        await fleet.drain(5)
        await journal.aclose(5)

    uvloop.run(work())


def measure(what: str, path: str, *more: str) -> dict[str, float]:
    """Run one reader in a process of its own while events are posted; what it reports."""
    from kevmond.kernel.simulated.remote import RemoteKernel

    reader = subprocess.Popen(
        [sys.executable, __file__, what, path, *more], stdout=subprocess.PIPE, text=True
    )
    assert reader.stdout is not None
    kernel = RemoteKernel(path)
    for count in (WARM_UP, EVENTS):
        reader.stdout.readline()
        kernel.post(*LINK_ON, times=count)
    figures: dict[str, float] = json.loads(reader.stdout.readline())
    reader.wait(60)
    return figures


def main() -> None:
    """Print the figures of every round, and the ratios."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=7)
    rounds = options.parse_args().rounds
    ratios = []
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "kernel")
        server = subprocess.Popen(
            [sys.executable, "-m", "kevmond", "simulate", "--listen", path],
            stdout=subprocess.DEVNULL,
        )
        while not Path(path).exists():
            time.sleep(0.02)
        print("CPU µs an event:   bare   pipeline   ratio   read of 30,000")
        for number in range(rounds):
            alone = measure("bare", path, str(EVENTS))
            state = Path(folder) / str(number)
            state.mkdir()
            whole = measure("pipeline", path, str(state), str(EVENTS))
            ratio = whole["cpu"] / alone["cpu"]
            ratios.append(ratio)
            a, b = (each["cpu"] / EVENTS * 1e6 for each in (alone, whole))
            print(f"                  {a:5.2f}   {b:8.2f}   {ratio:5.2f}   {whole['events']:,.0f}")
        server.terminate()
        server.wait(20)
    print(f"ratio: least {min(ratios):.2f}, median {statistics.median(ratios):.2f}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["bare"]:
        bare(sys.argv[2], int(sys.argv[3]))
    elif sys.argv[1:2] == ["pipeline"]:
        pipeline(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    else:
        main()

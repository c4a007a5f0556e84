"""Fifty streams beside a sink: what they cost the reader of the kernel, the sink, and in memory.

    python benchmarks/tails.py [--rounds 3] [--seconds 10] [--rate 1000]

A simulated kernel in a process of its own is posted to at a steady rate, in bursts; each event
carries the time of its post.  The daemon's rooms (capture, journal, a JSON lines sink, the API) are
in another process, and the streams' readers in one more.  One of the streams never reads.

Lags are from the post to the daemon's read, to the sink's file, and to the stream's reader, in
milliseconds.  Rounds without streams and with them take turns.  All processes share the machine's
processors, so with few of them a part of what the streams seem to cost is that of their readers.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

STREAMS = 50
BURSTS = 50
"""Bursts a second."""
SETTLE = 1.0
"""Seconds for what was posted last."""
STAMP = struct.Struct("<Q")
DATA = b"\x02\0\0\0\0\0\0\0en".ljust(24, b"\0")
"""A link event's payload; the stamp behind it is more than the kernel would say."""
QUESTION = b"GET /v1/events/stream HTTP/1.1\r\nHost: x\r\n\r\n"


def tell(**figures: Any) -> None:
    """Report to the parent, one JSON line."""
    print(json.dumps(figures), flush=True)


def lag(stamp: bytes) -> float:
    """Milliseconds since a post."""
    return (time.monotonic_ns() - STAMP.unpack(stamp)[0]) / 1e6


def memory() -> int:
    """Bytes of memory that this process has now."""
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * resource.getpagesize()


def of(lags: list[float]) -> dict[str, float]:
    """Return what is told of lags."""
    ordered = sorted(lags)
    pick = {"median": 0.5, "p99": 0.99, "most": 1.0}
    return {name: ordered[int((len(ordered) - 1) * part)] for name, part in pick.items()}


# ---------------------------------------------------------------------- the daemon's rooms


def daemon(kernel_path: str, folder: str) -> None:  # noqa: PLR0915 - one part after the other
    """Run until a line comes in; tell lags, CPU time and memory."""
    import uvloop

    from kevmond.api.server import ApiServer
    from kevmond.api.services import Services
    from kevmond.capture.reader import Capture
    from kevmond.capture.settings import CaptureSettings
    from kevmond.events.event import Kind
    from kevmond.journal.journal import Journal
    from kevmond.journal.settings import JournalSettings
    from kevmond.kernel.simulated.remote import RemoteKernel
    from kevmond.service.logging import configure
    from kevmond.sinks.fleet import Fleet
    from kevmond.sinks.jsonl import JsonlSettings, JsonlSink

    read: list[float] = []
    written: list[float] = []
    write = JsonlSink.write

    async def noting(self: Any, batch: Any) -> Any:
        done = await write(self, batch)
        bodies = [record.body for record in batch if record.kind == Kind.KERNEL]
        written.extend(lag(body[-STAMP.size :]) for body in bodies)
        return done

    JsonlSink.write = noting  # type: ignore[method-assign]

    def heard(raws: Any) -> None:
        read.extend(lag(raw[-STAMP.size :]) for raw in raws or ())

    async def work() -> None:
        loop = asyncio.get_running_loop()
        state = Path(folder)
        journal = Journal.open(JournalSettings(path=state / "journal.sqlite"))
        fleet = Fleet(journal, lambda _: None)
        await fleet.apply({"f": JsonlSettings(path=state / "events.jsonl")}, 5)
        capture = Capture(
            RemoteKernel(kernel_path),
            journal,
            CaptureSettings(snapshot=False),
            filters=[],
            heard=heard,
        )
        parts = {"journal": journal, "fleet": fleet, "capture": capture}
        services = Services(**{name: parts.get(name) for name in Services.__dataclass_fields__})
        server = ApiServer(state / "s", services, log=configure("warning"))
        await server.start()
        await capture.start()
        tell(ready=1)
        await loop.run_in_executor(None, sys.stdin.readline)  # warm
        read.clear()
        written.clear()
        before, used = memory(), time.process_time()
        most = before
        tell(ready=2)
        ending = loop.run_in_executor(None, sys.stdin.readline)
        while not ending.done():
            most = max(most, memory())
            await asyncio.sleep(0.25)
        used = time.process_time() - used
        made = server._made  # noqa: SLF001 - to look at what the API does not tell
        streams = [] if made is None else made._streams.facts()  # noqa: SLF001 - as above
        tell(
            read=of(read),
            written=of(written),
            cpu=used / len(read) * 1e6,
            grown=(most - before) / (1 << 20),
            lost=capture.statistics().totals.lost,
            streams=len(streams),
            behind=max((each["lag"] for each in streams), default=0),
        )
        await server.aclose()
        await capture.stop()
        await fleet.drain(5)
        await journal.aclose(5)

    uvloop.run(work())


# ---------------------------------------------------------------------- readers of streams


def readers(path: str, count: str) -> None:
    """Read all streams but one until a line comes in; tell lags and how many events came."""
    import uvloop

    lags: list[float] = []
    events = [0]
    mark = b'"raw":"'

    class Reader(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport: Any = transport
            self.transport.write(QUESTION)

        def data_received(self, data: bytes) -> None:
            events[0] += data.count(b"\nevent: event\n")
            end = data.rfind(b'"}\n\n')
            if end > data.rfind(mark) > 0:
                stamp = bytes.fromhex(data[end - 2 * STAMP.size : end].decode())
                lags.append(lag(stamp))

    async def work() -> None:
        loop = asyncio.get_running_loop()
        deaf = socket.socket(socket.AF_UNIX)
        deaf.connect(path)
        deaf.sendall(QUESTION)
        kept = [await loop.create_unix_connection(Reader, path) for _ in range(int(count) - 1)]
        await asyncio.sleep(1)
        tell(ready=1)
        await loop.run_in_executor(None, sys.stdin.readline)  # warm
        lags.clear()
        begun = events[0]
        tell(ready=2)
        await loop.run_in_executor(None, sys.stdin.readline)
        tell(lags=of(lags), events=events[0] - begun)
        for transport, _ in kept:
            transport.abort()
        deaf.close()

    uvloop.run(work())


# ---------------------------------------------------------------------- one round


class Child:
    """A part of the benchmark in a process of its own."""

    def __init__(self, *words: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, __file__, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.hear()

    def hear(self) -> dict[str, Any]:
        """Return what it tells next."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        return dict(json.loads(line)) if line else sys.exit("a part of the benchmark ended")

    def go_on(self) -> dict[str, Any]:
        """Let it go on, and return what it tells."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self.hear()

    def end(self) -> None:
        """Wait for its end."""
        self.process.communicate(timeout=30)


def post(path: str, seconds: float, rate: int) -> int:
    """Post at a rate; return how many were posted."""
    from kevmond.kernel.simulated.remote import RemoteKernel

    kernel = RemoteKernel(path)
    size, begun, done = rate // BURSTS, time.monotonic(), 0
    for number in range(int(seconds * BURSTS)):
        time.sleep(max(0.0, begun + number / BURSTS - time.monotonic()))
        data = DATA + STAMP.pack(time.monotonic_ns())
        kernel.post(1, 1, 2, 13, data, times=size)
        done += size
    return done


def one_round(folder: Path, streams: int, seconds: float, rate: int) -> dict[str, Any]:
    """Measure with so many streams."""
    kernel = str(folder / "kernel")
    server = subprocess.Popen(
        [sys.executable, "-m", "kevmond", "simulate", "--listen", kernel],
        stdout=subprocess.DEVNULL,
    )
    while not Path(kernel).exists():
        time.sleep(0.02)
    parts = [Child("daemon", kernel, str(folder))]
    if streams:
        parts.append(Child("readers", str(folder / "s"), str(streams)))
    post(kernel, 2, rate)
    time.sleep(SETTLE)
    for part in parts:
        part.go_on()
    posted = post(kernel, seconds, rate)
    time.sleep(SETTLE)
    figures = [part.go_on() for part in parts]
    for part in parts:
        part.end()
    server.terminate()
    server.wait(20)
    found = figures[0]
    if streams:
        found["told"], told = figures[1]["lags"], figures[1]["events"]
        found["complete"] = told / ((streams - 1) * posted)
    return found


def rounds(chosen: argparse.Namespace) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Measure without and with streams, in turn."""
    for _ in range(chosen.rounds):
        pair = []
        for streams in (0, STREAMS):
            with tempfile.TemporaryDirectory() as folder:
                pair.append(one_round(Path(folder), streams, chosen.seconds, chosen.rate))
        yield pair[0], pair[1]


def main() -> None:
    """Print the figures."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--seconds", type=float, default=10)
    options.add_argument("--rate", type=int, default=1000)
    chosen = options.parse_args()
    pairs = list(rounds(chosen))

    def median(which: int, *keys: str) -> float:
        found = []
        for pair in pairs:
            value: Any = pair[which]
            for key in keys:
                value = value[key]
            found.append(value)
        return statistics.median(found)

    print(f"{STREAMS} streams, one of which never reads; {chosen.rate:,} events a second")
    print("lag, ms                  without   with    ratio")
    for key, words in (("read", "kernel to daemon"), ("written", "kernel to file")):
        for part in ("median", "p99", "most"):
            alone, beside = median(0, key, part), median(1, key, part)
            print(f"  {words:16} {part:6} {alone:6.1f} {beside:7.1f}  {beside / alone:6.2f}")
    for part in ("median", "p99", "most"):
        print(f"  kernel to stream {part:6}        {median(1, 'told', part):7.1f}")
    alone, beside = median(0, "cpu"), median(1, "cpu")
    print(f"CPU µs an event          {alone:6.0f} {beside:7.0f}  {beside / alone:6.2f}")
    print(f"memory grown, MiB        {median(0, 'grown'):6.1f} {median(1, 'grown'):7.1f}")
    print(f"lost by the kernel       {median(0, 'lost'):6.0f} {median(1, 'lost'):7.0f}")
    print(f"streams open at the end         {median(1, 'streams'):7.0f}")
    print(f"events behind, of the one that never reads {median(1, 'behind'):,.0f}")
    print(f"of their events, the others got {median(1, 'complete'):.2%}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["daemon"]:
        daemon(sys.argv[2], sys.argv[3])
    elif sys.argv[1:2] == ["readers"]:
        readers(sys.argv[2], sys.argv[3])
    else:
        main()

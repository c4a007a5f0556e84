"""What a control channel costs: echoes through the sample kext, against a bare ping-pong.

    python benchmarks/control.py [--count 10000] [--size 512]

The kernel extension's own C code runs in its host, inside a served simulated kernel: three
processes, and two hops each way that a Mac has not.  The bare side is a blocking ping-pong of the
same bytes over a socket pair with one other process, measured before, between and after.  Every
echo is compared with what was sent, in order.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop

from kevmond.control.channel import ControlChannel
from kevmond.control.session import SampleSession
from kevmond.control.target import ControlTarget
from kevmond.kernel.simulated.remote import RemoteKernel

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
CONTROL = "org.mklinux.nke.foo"
WINDOW = 32
"""Echoes under way at once where throughput is measured."""


def bare(count: int, size: int) -> list[float]:
    """Round-trip times of a ping-pong with another process, seconds."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    child = os.fork()
    if child == 0:
        ours.close()
        while data := theirs.recv(65536):
            theirs.send(data)
        os._exit(0)
    theirs.close()
    message, times = bytes(size), []
    for _ in range(count):
        begin = time.perf_counter()
        ours.send(message)
        ours.recv(65536)
        times.append(time.perf_counter() - begin)
    ours.close()
    os.waitpid(child, 0)
    return times


@contextlib.contextmanager
def hosted() -> Iterator[str]:
    """Serve a simulated kernel with the kernel extension in it; its path."""
    subprocess.run(["make", "-s", "-C", str(ROOT / "kext" / "host")], check=True)
    with tempfile.TemporaryDirectory(prefix="kevmond-", dir="/tmp") as folder:
        path = f"{folder}/kernel"
        server = subprocess.Popen(
            [sys.executable, "-m", "kevmond", "simulate", "--listen", path],
            stdout=subprocess.DEVNULL,
        )
        while not Path(path).exists():
            time.sleep(0.01)
        host = subprocess.Popen(
            [str(ROOT / "kext/host/build/kext-host"), path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert host.stdout is not None
        host.stdout.readline()  # loaded
        try:
            yield path
        finally:
            host.communicate("quit\n", timeout=10)
            server.terminate()
            server.wait(10)


async def one_by_one(session: SampleSession, count: int, size: int) -> list[float]:
    """Round-trip times of echoes, each after the one before, seconds."""
    times = []
    for number in range(count):
        payload = number.to_bytes(8, "little").ljust(size, b"\1")
        begin = time.perf_counter()
        answer = await session.echo(payload)
        times.append(time.perf_counter() - begin)
        assert answer == payload
    return times


async def together(session: SampleSession, count: int, size: int) -> float:
    """Seconds for `count` echoes of which several are under way at once; all of them come back."""
    numbers = iter(range(count))

    async def client() -> None:
        for number in numbers:
            payload = number.to_bytes(8, "little").ljust(size, b"\2")
            assert await session.echo(payload) == payload

    begin = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(WINDOW):
            group.create_task(client())
    return time.perf_counter() - begin


async def measure(path: str, count: int, size: int) -> tuple[list[float], float, int]:
    """Echo one by one and together; times, seconds, and messages the kernel lost."""
    channel = await ControlChannel.connect(RemoteKernel(path), ControlTarget.parse(CONTROL))
    session = await SampleSession.open(channel)
    try:
        await one_by_one(session, 200, size)
        times = await one_by_one(session, count, size)
        return times, await together(session, count, size), session.lost
    finally:
        await channel.aclose()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--size", type=int, default=512)
    arguments = parser.parse_args()
    count, size = arguments.count, arguments.size
    before = bare(count, size)
    with hosted() as path:
        times, seconds, lost = uvloop.run(measure(path, count, size))
    after = bare(count, size)
    base = statistics.median(before + after)
    median = statistics.median(times)
    p99 = statistics.quantiles(times, n=100)[98]
    print(f"bare ping-pong of {size} bytes     {base * 1e6:8.1f} us")
    print(f"echo through the extension  {median * 1e6:8.1f} us, {median / base:.1f} x bare")
    print(f"  99 of 100 within          {p99 * 1e6:8.1f} us")
    rate = count / seconds
    print(f"{WINDOW} echoes under way at once {rate:8.0f} a second, {rate * base:.2f} x bare")
    print(f"{2 * count} echoes came back whole; lost within the kernel: {lost}")


if __name__ == "__main__":
    main()

"""Webhooks: events a second to one receiver and to eight, one an event and in batches.

    python benchmarks/webhook.py [--rounds 7] [--events 3000]

The receiver is a process of its own that reads each request and answers 204.  The bare client is a
loop around `session.post` of aiohttp with the events' JSON made beforehand, one such loop and
session for each endpoint; kevmond is its own rooms from the journal on: cursor, JSON, signature,
POST, acknowledgement, one sink for each endpoint.  Both run under uvloop, in turn, against the same
receiver, and after some events to warm up.

An event is decoded and encoded by the first sink that looks at it.  The first figures are those of
a webhook beside another sink, which has done that, as the bare client's JSON is made beforehand;
those in brackets are of a webhook alone, which does it itself.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvloop

if TYPE_CHECKING:
    from kevmond.events.event import Record

WARM_UP = 200
ENDPOINTS = 8
BATCH = 256
WAVE = 1500
"""Events appended to the journal at once; fewer than are kept decoded."""
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
HEADERS = {
    "Content-Type": "application/json",
    "webhook-id": "4f1c0a52-9d0e-4c55-8c2f-6f0d2f7a0001-1-00000000",
    "webhook-timestamp": "1795507771",
    "webhook-signature": "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=",
}
"""As many bytes of headers as kevmond sends."""


class Receiver(asyncio.Protocol):
    """Reads requests that have a Content-Length, and takes every one."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin with nothing read."""
        self._transport: Any = transport
        self._read = bytearray()

    def data_received(self, data: bytes) -> None:
        """Answer each request that is there in full."""
        self._read += data
        while (end := self._read.find(b"\r\n\r\n")) >= 0:
            head = bytes(self._read[:end]).lower()
            length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0])
            if len(self._read) < end + 4 + length:
                return
            del self._read[: end + 4 + length]
            self._transport.write(b"HTTP/1.1 204 No Content\r\n\r\n")


async def serve() -> None:
    """Listen at a port of the system's choice, say which, and serve until stdin ends."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Receiver, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


async def bare(url: str, endpoints: int, lines: list[bytes]) -> float:
    """Events a second to all endpoints together."""
    import aiohttp

    async def loop(lines: list[bytes]) -> None:
        for line in lines:
            async with session.post(url, data=line, headers=HEADERS) as answer:
                await answer.read()

    async def each(number: int) -> None:
        await loop(lines[:number])

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=endpoints)) as session:
        await asyncio.gather(*(each(WARM_UP) for _ in range(endpoints)))
        begin = time.perf_counter()
        await asyncio.gather(*(each(len(lines)) for _ in range(endpoints)))
        return endpoints * len(lines) / (time.perf_counter() - begin)


async def kevmond(
    url: str, endpoints: int, waves: int, folder: Path, *, ready: bool, **more: Any
) -> float:
    """As `bare`, from the journal on: events come in waves of which each is delivered whole."""
    from kevmond.journal.journal import Journal
    from kevmond.journal.settings import JournalSettings
    from kevmond.sinks.fleet import Fleet
    from kevmond.sinks.webhook.settings import WebhookSettings

    os.environ["KEVMOND_BENCHMARK_SECRET"] = SECRET
    settings = WebhookSettings(
        url=url,
        secret="env:KEVMOND_BENCHMARK_SECRET",
        allow_http=True,
        allow_private=True,
        start="oldest",
        **more,
    )
    journal = Journal.open(JournalSettings(path=folder / "journal.sqlite"))
    journal.set_context(CONTEXT)
    fleet = Fleet(journal, lambda _: None)
    await fleet.apply({f"w{number}": settings for number in range(endpoints)}, 5)

    async def delivered() -> None:
        while min(sink.position for sink in fleet.statistics()) < journal.next_seq - 1:
            await asyncio.sleep(0.005)

    append(journal, WARM_UP, ready=ready)
    await delivered()
    took = 0.0
    for _ in range(waves):
        append(journal, WAVE, ready=ready)
        begin = time.perf_counter()
        await delivered()
        took += time.perf_counter() - begin
    troubles = [sink.last_error for sink in fleet.statistics() if sink.last_error]
    await fleet.drain(5)
    await journal.aclose(5)
    if troubles:
        sys.exit(f"a sink was in trouble: {troubles[0]}")
    return endpoints * waves * WAVE / took


def append(journal: Any, count: int, *, ready: bool) -> None:
    """Put link events into the journal, as the capture does; `ready`: another sink has had them."""
    first = journal.next_seq
    records = [make(seq) for seq in range(first, first + count)]
    if ready:
        for record in records:
            _ = record.line
    journal.append(records)


def make(seq: int) -> Record:
    """Make a record of a kernel event that nobody has decoded yet."""
    from kevmond.sinks.testing import link_message

    return DECODER.record(link_message(seq), seq=seq, wall_ns=1_795_507_771_123_456_000)


def run(what: Any, *words: Any, **more: Any) -> float:
    """Run one of the two in an event loop of its own."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        figure: float = runner.run(what(*words, **more))
        return figure


def one_round(url: str, endpoints: int, waves: int, lines: list[bytes]) -> tuple[float, ...]:
    """Measure each kind once, in turn."""
    figures = [run(bare, url, endpoints, lines)]
    for ready in (True, False):
        for more in ({}, {"batch_size": BATCH}):
            with tempfile.TemporaryDirectory() as folder:
                figures.append(
                    run(kevmond, url, endpoints, waves, Path(folder), ready=ready, **more)
                )
    return tuple(figures)


def main() -> None:
    """Print the medians, and whether they are what they shall be."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=7)
    options.add_argument("--waves", type=int, default=2)
    chosen = options.parse_args()
    lines = [make(seq).line for seq in range(1, chosen.waves * WAVE + 1)]
    server = subprocess.Popen(
        [sys.executable, __file__, "serve"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdin is not None
    assert server.stdout is not None
    url = f"http://127.0.0.1:{server.stdout.readline().strip()}/events"
    reached = True
    for endpoints in (1, ENDPOINTS):
        waves = max(1, chosen.waves // (2 if endpoints > 1 else 1))
        mine = lines[: waves * WAVE]
        rounds = [one_round(url, endpoints, waves, mine) for _ in range(chosen.rounds)]
        alone, single, batched, single_alone, batched_alone = (
            statistics.median(each) for each in zip(*rounds, strict=True)
        )
        ratio = statistics.median(one[1] / one[0] for one in rounds)
        gain = statistics.median(one[2] / one[1] for one in rounds)
        print(f"{endpoints} endpoint{'s' if endpoints > 1 else ''}, events a second")
        print(f"  bare client          {alone:9,.0f}")
        print(f"  one an event         {single:9,.0f}, {ratio:.2f} of bare  ({single_alone:,.0f})")
        many = f"{batched:9,.0f}, {gain:.0f} x single  ({batched_alone:,.0f})"
        print(f"  batches of {BATCH}       {many}")
        reached &= ratio >= 0.7 and gain >= 20
    server.stdin.close()
    server.wait(20)
    print("aim: ratio at least 0.7, batched at least 20 times:", "reached" if reached else "NO")


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        uvloop.run(serve())
        sys.exit()
    from kevmond.events.decoder import Decoder
    from kevmond.sinks.testing import CONTEXT

    DECODER = Decoder(CONTEXT)
    main()

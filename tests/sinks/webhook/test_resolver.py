"""Look-ups of names: in a thread of the sink's own, one at a time."""

import asyncio
import socket
import subprocess
import sys
import threading

import pytest

from kevmond.errors import RetryableError, UnreachableError
from kevmond.sinks.testing import records
from kevmond.sinks.webhook import failures
from kevmond.sinks.webhook.resolver import Resolver
from kevmond.worker import Worker


class System:
    """Stands in for the system's resolver: names under dead.example hang until it is released."""

    def __init__(self, real):
        self.real = real
        self.asked = []
        self.begun = threading.Semaphore(0)
        self.answer = threading.Event()

    def getaddrinfo(self, host, *args, **more):
        if host.endswith("dead.example"):
            self.asked.append(host)
            self.begun.release()
            assert self.answer.wait(60)
            host = "127.0.0.1"
        return self.real(host, *args, **more)


@pytest.fixture
def system(monkeypatch):
    """Put a resolver in the system's place whose look-ups end with the test at the latest."""
    system = System(socket.getaddrinfo)
    monkeypatch.setattr(socket, "getaddrinfo", system.getaddrinfo)
    yield system
    system.answer.set()


@pytest.mark.parametrize("online", [True, False])
async def test_look_up_that_hangs_is_told_and_not_repeated(
    receiver, opened, system, monkeypatch, online
):
    """Attempts fail in time, naming the host, and share one look-up, even after a reload."""
    monkeypatch.setattr(failures.target, "online", lambda: online)
    url = f"http://dead.example:{receiver.server.port}/"
    sink = await opened(url, connect_timeout=0.05)
    for _ in range(2):
        for _ in range(3):
            with pytest.raises(RetryableError, match=r"look-up of dead\.example hangs") as caught:
                await sink.write(records(1, 1))
            assert isinstance(caught.value, UnreachableError) is not online
        await sink.reopen()
    assert system.asked == ["dead.example"]
    system.answer.set()
    async with asyncio.timeout(30):
        while not receiver.got:
            try:
                await sink.write(records(1, 1))
            except RetryableError:
                await asyncio.sleep(0)
    assert len(system.asked) <= 2


async def test_dead_names_hold_up_no_other(receiver, opened, system):
    """However many names hang, another sink's is looked up."""
    dead = [await opened(f"http://{n}.dead.example/") for n in range(8)]
    writes = [asyncio.ensure_future(sink.write(records(1, 1))) for sink in dead]
    try:
        for _ in dead:
            assert await asyncio.to_thread(system.begun.acquire, timeout=30)
        sink = await opened(f"http://localhost:{receiver.server.port}/")
        assert await sink.write(records(1, 1)) == 1
    finally:
        for write in writes:
            write.cancel()
        await asyncio.gather(*writes, return_exceptions=True)


async def test_literal_address_is_not_looked_up(receiver, opened, system, monkeypatch):
    """An address in the URL is connected to as it is."""
    monkeypatch.setattr(socket, "getaddrinfo", None)
    sink = await opened(receiver.url)
    assert await sink.write(records(1, 1)) == 1


async def test_zone_of_a_link_local_address_is_kept(monkeypatch):
    """What mDNS finds on a link is reached on that link."""
    stream = (socket.SOCK_STREAM, 6, "")
    found = [
        (socket.AF_INET6, *stream, ("fe80::1", 443, 0, 4)),
        (socket.AF_INET6, *stream, ("2606:4700::1111", 443, 0, 0)),
        (socket.AF_INET, *stream, ("8.8.8.8", 443)),
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    worker = Worker("names")
    told = await Resolver(worker).resolve("printer.local", 443)
    worker.stop()
    assert [one["host"] for one in told] == ["fe80::1%4", "2606:4700::1111", "8.8.8.8"]


def test_process_ends_while_a_look_up_hangs():
    """Nothing waits for the thread of a look-up when the process ends."""
    program = """
import asyncio, socket, threading
import uvloop
from kevmond.sinks.testing import records
from kevmond.sinks.webhook.sink import WebhookSink

asked = threading.Event()

def hang(*args, **more):
    asked.set()
    threading.Event().wait()

async def main():
    socket.getaddrinfo = hang
    sink = WebhookSink("hook", WebhookSink.Settings(url="https://dead.example/"))
    await sink.open()
    write = asyncio.ensure_future(sink.write(records(1, 1)))
    await asyncio.to_thread(asked.wait)
    write.cancel()
    await asyncio.gather(write, return_exceptions=True)
    await sink.aclose()

uvloop.run(main())
print("ended")
"""
    done = subprocess.run(
        [sys.executable, "-c", program], timeout=60, capture_output=True, check=True, text=True
    )
    assert done.stdout == "ended\n"

"""Channels to a kernel that the very loop serves which uses them.

A call made on the loop could never be answered: what works here makes none.
"""

import asyncio
import sys
import tempfile
from pathlib import Path

import pytest

from kevmond.control.channel import ControlChannel
from kevmond.control.presence import find_control
from kevmond.control.session import SampleSession
from kevmond.control.target import ControlTarget
from kevmond.errors import KernelError
from kevmond.kernel.simulated.remote import RemoteKernel
from kevmond.kernel.simulated.served import KernelServer

FOO = ControlTarget("org.mklinux.nke.foo")

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="messages need packet sockets")


@pytest.fixture
async def served(simulated):
    """Serve the simulated kernel, and give its client."""
    with tempfile.TemporaryDirectory(prefix="kevmond-", dir="/tmp") as folder:
        path = Path(folder) / "kernel"
        async with KernelServer(simulated, path):
            yield RemoteKernel(path)


async def test_ten_thousand_echoes(simulated, served, kit):
    """Ten thousand echoes of 512 bytes through threads and a served kernel: all in order."""
    double = kit.SampleDouble(simulated)
    session = await SampleSession.open(await ControlChannel.connect(served, FOO))
    answered = []

    async def ask(numbers):
        for number in numbers:
            payload = number.to_bytes(8, "little") * 64
            assert await session.echo(payload, timeout=kit.PATIENCE) == payload
            answered.append(number)

    numbers = iter(range(10_000))
    await asyncio.gather(*(ask(numbers) for _ in range(64)))
    assert answered == list(range(10_000))
    assert session.lost == 0
    await session.aclose()
    assert double.clients == {}


async def test_closing_reads_what_the_server_holds(simulated, served, kit):
    """What the kernel has queued, and not passed on for want of room, is read before the end."""
    double = kit.SampleDouble(simulated, hello=False)
    channel = await ControlChannel.connect(served, FOO, queue=10)
    for value in range(4000):
        double.notice(value)
    assert double.clients[1].dropped == 0
    await channel.aclose()
    assert len([data async for data in channel]) == 4000


async def test_connecting_options_and_closing(simulated, served, kit):
    """Looking up, connecting, options, refusals and closing never wait on the loop."""
    assert await find_control(served, FOO) is None
    double = kit.SampleDouble(simulated)
    assert await find_control(served, FOO) == double.control.control_id
    channel = await ControlChannel.connect(served, FOO, receive_space=1 << 20)
    session = await SampleSession.open(channel)
    assert channel.receive_space == 1 << 20
    await session.command(2, 5)
    assert double.commands[2] == [b"\5\0\0\0"]
    assert await channel.get_option(42) == b"\7" * 70_000
    with pytest.raises(KernelError, match="EMSGSIZE"):
        await channel.send(b"x" * 20_000)
    double.refusal = "EBUSY"
    with pytest.raises(KernelError, match="EBUSY"):
        await ControlChannel.connect(served, FOO)
    await channel.aclose()
    assert double.clients == {}


async def test_a_crashed_control(simulated, served, kit):
    """A control that crashes ends the iteration with an error, and leaves the loop alone."""
    double = kit.SampleDouble(simulated, hello=False)
    channel = await ControlChannel.connect(served, FOO)
    simulated.kctl.deregister(double.control, force=True)
    try:
        async with asyncio.timeout(kit.PATIENCE):
            with pytest.raises(KernelError, match="let go of this connection"):
                await anext(channel)
    finally:
        await channel.aclose()


async def test_side_by_side(simulated, served, kit):
    """Sixteen channels at once are connected, used and closed together."""
    double = kit.SampleDouble(simulated)
    before = kit.descriptors()
    channels = await asyncio.gather(*(ControlChannel.connect(served, FOO) for _ in range(16)))
    sessions = await asyncio.gather(*map(SampleSession.open, channels))
    for number in range(50):
        payloads = [b"%d %d" % (number, n) for n in range(16)]
        echoes = [session.echo(data) for session, data in zip(sessions, payloads, strict=True)]
        assert await asyncio.gather(*echoes) == payloads
    await asyncio.gather(*(session.aclose() for session in sessions))
    assert double.clients == {}
    await kit.until(lambda: kit.descriptors() == before)

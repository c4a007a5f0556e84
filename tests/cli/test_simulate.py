"""`kevmond simulate`: a served kernel with something to tell."""

import asyncio
import signal
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from kevmond import stories
from kevmond.events.decoder import Decoder
from kevmond.events.event import Context
from kevmond.kernel.base import KernelFilter
from kevmond.kernel.simulated.model import SimulatedKernel
from kevmond.kernel.simulated.remote import RemoteKernel
from kevmond.kernel.simulated.served import KernelServer

CAPTURE = Path(__file__).parents[1] / "captures" / "xnu-7195-events.jsonl"


@asynccontextmanager
async def simulate(*args):
    """Run `kevmond simulate ARGS`, and end it if it still runs."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "kevmond", "simulate", *map(str, args)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(30):
            yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


def opened(path):
    """Open a socket of the kernel served at `path`, that listens to everything."""
    socket = RemoteKernel(path).open_event_socket(1_000_000)
    socket.set_filter(KernelFilter())
    return socket


async def types(socket, count):
    """Types of the next `count` events."""
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(socket.fileno(), readable.set)
    decoder = Decoder(Context("h", "b", "20.6.0"))
    buffer = memoryview(bytearray(1024))
    found = []
    while len(found) < count:
        try:
            size = socket.recv_into(buffer)
        except BlockingIOError:
            readable.clear()
            await readable.wait()
            continue
        found.append(decoder.event(bytes(buffer[:size]), seq=0, time="").type)
    loop.remove_reader(socket.fileno())
    return found


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_it_serves_until_a_signal_and_removes_its_socket(tmp_path, number):
    """One line tells how to connect; the end is clean."""
    path = tmp_path / "k"
    async with simulate("--listen", path) as process:
        line = await process.stdout.readline()
        assert line.decode() == (
            f"serving a simulated kernel; connect: kevmond run --kernel simulated:{path}\n"
        )
        assert RemoteKernel(path).identity().boot_id
        process.send_signal(number)
        _, told = await process.communicate()
    assert (process.returncode, told) == (0, b"")
    assert not path.exists()


async def test_a_scenario_begins_when_the_first_reader_came(tmp_path):
    """Nothing of the story is missed, and the kernel serves on when it is over."""
    path = tmp_path / "k"
    args = ("--listen", path, "-s", "control", "-s", "storm", "--speed", "1000")
    async with simulate(*args) as process:
        await process.stdout.readline()
        socket = opened(path)
        found = await types(socket, 10_004)
        assert found[:4] == [
            *["system.ctl.registered"] * 2,
            *["system.ctl.deregistered"] * 2,
        ]
        line = await process.stdout.readline()
        assert line.startswith(b"told: 10004 events; still serving")
        RemoteKernel(path).post(1, 1, 2, 13, b"\0" * 24)
        assert await types(socket, 1) == ["network.dl.link-on"]
        socket.close()
        process.terminate()
        _, told = await process.communicate()
    assert "a kernel extension registers control" in told.decode()


async def test_a_loop_never_ends(tmp_path):
    """The story begins again, and `--quiet` tells nothing of it."""
    path = tmp_path / "k"
    args = ("--listen", path, "-s", "control", "--loop", "--rate", "2000", "--quiet")
    async with simulate(*args) as process:
        await process.stdout.readline()
        socket = opened(path)
        assert len(await types(socket, 200)) == 200
        socket.close()
        process.terminate()
        _, told = await process.communicate()
    assert told == b""


async def test_a_scenario_is_posted_into_a_kernel_that_is_served(tmp_path):
    """`--post` plays a story, a file of steps or a recording, and ends."""
    mine = tmp_path / "mine.toml"
    mine.write_text('[[step]]\ntype = "network.dl.link-off"\ninterface = "en0"\nnote = "off"')
    kernel = SimulatedKernel()
    socket = kernel.open_event_socket(1_000_000)
    socket.set_filter(KernelFilter())
    async with KernelServer(kernel, tmp_path / "k"):
        args = ("--post", tmp_path / "k", "-s", mine, "-s", CAPTURE, "--speed", "inf")
        async with simulate(*args) as process:
            out, told = await process.communicate()
    assert (process.returncode, out) == (0, b"")
    assert told.decode().splitlines()[:2] == ["  off", "  boot"]
    count = len(CAPTURE.read_text().splitlines()) + 1
    assert socket.last_event_id() == count
    assert (await types(socket, count))[0] == "network.dl.link-off"
    socket.close()


def test_scenarios_are_listed(kevmond):
    """Every name and what it tells."""
    result = kevmond("simulate", "--list")
    assert result.code == 0
    assert [line.split()[0] for line in result.out.splitlines()] == stories.names()


@pytest.mark.parametrize(
    ("args", "code", "why"),
    [
        ([], 2, "Give one of --listen PATH, --post PATH and --list"),
        (["--listen", "k", "--post", "k"], 2, "Give one of"),
        (["--post", "k"], 2, "--post needs a --scenario"),
        (["--listen", "k", "-s", "vnp"], 2, "no scenario and no file 'vnp'; did you mean vpn?"),
        (["--listen", "k", "-s", "vpn", "--speed", "0"], 2, "'--speed': must be above 0"),
        (["--listen", "k", "-s", "vpn", "--rate", "-1"], 2, "'--rate': must be above 0"),
        (["--listen", "k", "-s", "none.toml"], 66, "none.toml: cannot be read: No such file"),
        (["--listen", "k", "-s", "bad.toml"], 65, "bad.toml: step: there is none"),
        (["--post", "nowhere/k", "-s", "vpn"], 69, "kevmond simulate --listen nowhere/k"),
        (["--listen", "nowhere/k"], 69, "listen on nowhere/k"),
    ],
)
@pytest.mark.usefixtures("in_tmp")
def test_errors_tell_what_to_do(kevmond, args, code, why):
    """One line, an exit code of its own, no traceback."""
    Path("bad.toml").write_text("")
    result = kevmond("simulate", *args)
    assert (result.code, why in result.err) == (code, True), result.err
    assert "Traceback" not in result.err

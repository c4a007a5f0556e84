"""Signals, turned into calls."""

import asyncio
import os
import signal
import subprocess
import sys

import pytest

from kevmond.service.signals import handled


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_first_signal_asks_for_a_stop(number):
    """TERM and INT call `stop` with the signal's name."""
    stopped = asyncio.get_running_loop().create_future()
    before = signal.getsignal(number)
    with handled(asyncio.get_running_loop(), stop=stopped.set_result, reload=lambda: None):
        os.kill(os.getpid(), number)
        assert await asyncio.wait_for(stopped, 10) == number.name
    signal.signal(number, before)


async def test_hangup_asks_for_a_reload_each_time():
    """HUP calls `reload`, as often as it comes."""
    calls = asyncio.Queue()
    with handled(
        asyncio.get_running_loop(), stop=lambda name: None, reload=lambda: calls.put_nowait(1)
    ):
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGHUP)
            await asyncio.wait_for(calls.get(), 10)


def test_second_signal_ends_a_stop_that_hangs():
    """After the first TERM the next one ends the process at once."""
    code = """
import asyncio, os, signal
from kevmond.service.signals import handled
async def main():
    asked = asyncio.Event()
    with handled(asyncio.get_running_loop(), stop=lambda name: asked.set(), reload=print):
        os.kill(os.getpid(), signal.SIGTERM)
        await asked.wait()
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(60)
asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", code], check=False, timeout=30)
    assert done.returncode == -signal.SIGTERM

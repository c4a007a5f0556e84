"""A simulated kernel served by a thread, for clients in the test's own thread or process."""

import asyncio
import os
import subprocess
import sys
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest
import uvloop

from kevmond.kernel.simulated.model import SimulatedKernel
from kevmond.kernel.simulated.served import KernelServer


@contextmanager
def serving(kernel=None, ready=None):
    """Serve a simulated kernel from another thread; its path, which is short enough for a Mac.

    `ready` is given the event loop of that thread.
    """
    started = threading.Event()
    state = {}

    async def serve(path):
        stop = asyncio.Event()
        async with KernelServer(kernel or SimulatedKernel(), path):
            state.update(loop=asyncio.get_running_loop(), stop=stop)
            started.set()
            await stop.wait()

    with tempfile.TemporaryDirectory(prefix="kevmond-", dir="/tmp") as folder:
        path = Path(folder) / "kernel"
        thread = threading.Thread(target=lambda: uvloop.run(serve(path)))
        thread.start()
        try:
            assert started.wait(20), "the server did not start"
            if ready is not None:
                ready(state["loop"])
            yield path
        finally:
            if state:
                state["loop"].call_soon_threadsafe(state["stop"].set)
            thread.join()


@pytest.fixture(scope="session")
def served():
    """Serve a simulated kernel (a new one unless given) from a thread."""
    return serving


@pytest.fixture(scope="session")
def preloaded(kevshim_environment):
    """Run Python with the library preloaded, on the kernel served at a path; what it printed."""

    def run(arguments, server=os.devnull):
        result = subprocess.run(
            [sys.executable, *arguments],
            env=kevshim_environment(server),
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert result.returncode == 0, result.stderr
        return result.stdout

    return run


@pytest.fixture(scope="session")
def has_all_of():
    """Hold classes to a Protocol: each has every member that it asks for."""

    def check(protocol, kinds):
        wanted = {name for name in vars(protocol) if not name.startswith("_")}
        for kind in kinds:
            assert wanted <= {*dir(kind), "name"}, kind

    return check

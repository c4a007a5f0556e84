"""A simulated kernel served by a thread, for clients in the test's own thread or process."""

import asyncio
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

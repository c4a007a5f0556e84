"""A served simulated kernel, kexts in their host, and clients of them."""

import asyncio
import contextlib
import runpy
import sys
import threading
from pathlib import Path

import pytest
import uvloop

from kevmond.errors import KernelError
from kevmond.kernel.base import KernelFilter
from kevmond.kernel.control_base import ControlAddress
from kevmond.kernel.simulated.model import SimulatedKernel
from kevmond.kernel.simulated.remote import RemoteKernel
from kevmond.kernel.simulated.served import KernelServer

HOSTING = runpy.run_path(str(Path(__file__).parent / "hosting.py"))
PATIENCE = HOSTING["PATIENCE"]


class Served:
    """A simulated kernel that a thread serves, and clients of it."""

    def __init__(self, path):
        self.path = path
        self.kernel = SimulatedKernel()
        self.remote = RemoteKernel(path)
        self._sockets = contextlib.ExitStack()
        self._started = threading.Event()
        self._thread = threading.Thread(target=lambda: uvloop.run(self._serve()))
        self._thread.start()
        assert self._started.wait(PATIENCE), "the server did not start"

    async def _serve(self):
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        async with KernelServer(self.kernel, self.path):
            self._started.set()
            await self._stop.wait()

    def on_loop(self, function):
        """Have something done on the server's thread, and return what it returned."""

        async def run():
            return function()

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(PATIENCE)

    def client(self, name, unit=0, *, stream=False, uid=0):
        """Connect a client to a control."""
        kernel = RemoteKernel(self.path, uid=uid)
        self._sockets.callback(kernel.close)
        opened = kernel.open_control_socket(stream=stream)
        self._sockets.callback(opened.close)
        opened.connect(ControlAddress(opened.lookup(name), unit))
        return opened

    def events(self, vendor=None):
        """Open an event socket that hears one vendor, or everybody."""
        opened = self.remote.open_event_socket(1 << 20)
        self._sockets.callback(opened.close)
        opened.set_filter(KernelFilter(vendor=vendor or 0))
        return opened

    def close_clients(self):
        """Close whatever was opened here."""
        with contextlib.suppress(KernelError):
            self._sockets.close()

    def close(self):
        """Close everything, and end the server."""
        self.close_clients()
        self.remote.close()
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(PATIENCE)


@pytest.fixture
def served(tmp_path):
    """Serve a simulated kernel from a thread."""
    opened = Served(tmp_path / "kernel")
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def builds(tmp_path_factory):
    """Make the host in a variant, once; a sanitizer that is not there skips the test."""
    if sys.platform != "linux":
        pytest.skip("kexts are hosted on Linux: a Mac has a kernel of its own")
    made = {}

    def build(variant):
        reason = HOSTING["unable"](variant)
        if reason is not None:
            pytest.skip(reason)
        if variant not in made:
            made[variant] = HOSTING["Build"](tmp_path_factory.mktemp(f"host-{variant}"), variant)
        return made[variant]

    return build


@pytest.fixture
def start(builds, served):
    """Run a kext of one file, or the sample ("sample"), in a variant of the host."""
    with contextlib.ExitStack() as stack:

        def run(source, *options, variant="plain", says="loaded", **environment):
            build = builds(variant)
            image = build.sample(*options) if source == "sample" else build.image(source)
            host = build.start(served.path, image, **environment)
            stack.callback(host.kill)
            if says is not None:
                said = host.line()
                assert said == says, f"{said}\n{host.errors()}"
            return host

        yield run


@pytest.fixture(scope="session")
def build_error():
    """Give the error of a kext that does not compile."""
    return HOSTING["BuildError"]

"""Every kernel's event socket obeys one contract; the checks are in event_contract.py."""

import json
import runpy
from pathlib import Path

import pytest

from kevmond.kernel.base import EventSocket, Kernel
from kevmond.kernel.darwin import DarwinEventSocket, DarwinKernel
from kevmond.kernel.simulated.event_socket import SimulatedEventSocket
from kevmond.kernel.simulated.model import SimulatedKernel
from kevmond.kernel.simulated.remote import RemoteKernel
from kevmond.kernel.simulated.remote_event import RemoteEventSocket
from kevmond.kernel.simulated.wire import Transport

PROGRAM = Path(__file__).parent / "event_contract.py"
CHECKS = runpy.run_path(str(PROGRAM))["CHECKS"]
each_check = pytest.mark.parametrize("name", CHECKS)


class FramedKernel(RemoteKernel):
    """A served kernel whose messages come as a byte stream, as where packets are lacking."""

    def open_event_socket(self, receive_space):
        return super().open_event_socket(receive_space, transport=Transport.FRAMED)


@each_check
def test_simulated(name):
    """The simulated kernel in this process obeys the contract."""
    kernel = SimulatedKernel()
    CHECKS[name](kernel, kernel)


@each_check
def test_remote(name, served):
    """A served simulated kernel obeys the contract."""
    with served() as path:
        kernel = RemoteKernel(path)
        CHECKS[name](kernel, kernel)
        kernel.close()


@each_check
def test_remote_framed(name, served):
    """So it does where messages come over a byte stream."""
    with served() as path:
        kernel = FramedKernel(path)
        CHECKS[name](kernel, kernel)
        kernel.close()


@pytest.fixture(scope="module")
def darwin_failures(preloaded, served):
    """Tell what failed of the checks in a process whose PF_SYSTEM sockets are interposed."""
    with served() as path:
        return json.loads(preloaded([PROGRAM, path], path))


@each_check
def test_darwin_through_shim(name, darwin_failures):
    """The Darwin kernel's own code obeys it, down to the ioctl numbers and struct bytes."""
    assert darwin_failures.get(name) is None, darwin_failures[name]


def test_protocols_are_met(has_all_of):
    """Each class has every member that its Protocol asks for."""
    kernels: list[type[Kernel]] = [SimulatedKernel, RemoteKernel, DarwinKernel]
    sockets: list[type[EventSocket]] = [
        SimulatedEventSocket,
        RemoteEventSocket,
        DarwinEventSocket,
    ]
    has_all_of(Kernel, kernels)
    has_all_of(EventSocket, sockets)

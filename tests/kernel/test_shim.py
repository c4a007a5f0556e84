"""The preloaded library answers libc's calls on PF_SYSTEM as a Mac does, and no others."""

import json
import re
import runpy
import sys
from pathlib import Path

import pytest

from kevmond.kernel import abi
from kevmond.kernel.simulated.model import SimulatedKernel

HERE = Path(__file__).parent
PROGRAM = HERE / "shim_checks.py"
CONTROL_PROGRAM = HERE / "shim_control_checks.py"
LINUX = sys.platform == "linux"
CHECKS = runpy.run_path(str(PROGRAM))["CHECKS"] if LINUX else {}
CONTROL_CHECKS = runpy.run_path(str(CONTROL_PROGRAM))["CHECKS"] if LINUX else {}


@pytest.fixture(scope="module")
def failures(preloaded, served):
    """Tell what failed of the checks in a process with the library preloaded."""
    with served() as path:
        return json.loads(preloaded([PROGRAM, path], path))


@pytest.mark.parametrize("name", CHECKS)
def test_libc(name, failures):
    """Each check of shim_checks.py holds."""
    assert failures.get(name) is None, failures[name]


@pytest.fixture(scope="module")
def control_failures(preloaded):
    """Tell what failed of the checks on control sockets."""
    return json.loads(preloaded([CONTROL_PROGRAM]))


@pytest.mark.parametrize("name", CONTROL_CHECKS)
def test_libc_on_control_sockets(name, control_failures):
    """Each check of shim_control_checks.py holds."""
    assert control_failures.get(name) is None, control_failures[name]


GRANTED = """
from kevmond.kernel.darwin import DarwinKernel
sock = DarwinKernel().open_event_socket(16 * 1024 * 1024)
print(sock.receive_space)
sock.close()
"""


def test_newer_kernel_clamps(preloaded, served):
    """Against a kernel that clamps, the size read back is what counts."""
    with served(SimulatedKernel(clamp_receive_space=True)) as path:
        assert preloaded(["-c", GRANTED], path) == "8388608\n"


GONE = """
import sys
from kevmond.errors import KernelGone, KernelError
from kevmond.kernel.base import KernelFilter
from kevmond.kernel.darwin import DarwinKernel
from kevmond.kernel.simulated.remote import RemoteKernel
sock = DarwinKernel().open_event_socket(32768)
sock.set_filter(KernelFilter())
RemoteKernel(sys.argv[1]).reboot()
try:
    sock.recv_into(memoryview(bytearray(1024)))
except KernelGone as error:
    print(error.symbol)
try:
    sock.last_event_id()
except KernelError as error:
    print(error.symbol)
print(sock.dropped())
sock.close()
"""


def test_kernel_that_is_gone(preloaded, served):
    """A simulated kernel that reboots is gone to the Darwin socket, for reads and for ioctls."""
    with served() as path:
        output = preloaded(["-c", GONE, path], path)
    assert output.split() == ["ECONNRESET", "ECONNRESET", "None"]


def test_every_errno_name_is_known_to_the_library():
    """The library knows this system's number for each errno name of the boundary."""
    source = (HERE.parent / "shim" / "client.c").read_text()
    assert set(re.findall(r'\{"(E\w+)", \1\}', source)) == set(abi.DARWIN_ERRNO)

"""Every kernel's control socket obeys one contract; the checks are in control_contract.py."""

import json
import runpy
import sys
from pathlib import Path

import pytest

from kevmond.kernel.control_base import ControlKernel, ControlSocket
from kevmond.kernel.darwin import DarwinKernel
from kevmond.kernel.darwin_control import DarwinControlSocket
from kevmond.kernel.simulated.control_socket import SimulatedControlSocket
from kevmond.kernel.simulated.model import SimulatedKernel
from kevmond.kernel.simulated.remote import RemoteKernel
from kevmond.kernel.simulated.remote_control import RemoteControlSocket

HERE = Path(__file__).parent
PROGRAM = HERE / "control_contract.py"
CONTRACT = runpy.run_path(str(PROGRAM))
TABLE = runpy.run_path(str(HERE / "control_errno_table.py"))
LAB = CONTRACT["LAB"]
CHECKS, SERVED_CHECKS = CONTRACT["CHECKS"], CONTRACT["SERVED_CHECKS"]
ROWS = {row[0]: row[1:] for row in TABLE["ROWS"]}
NOBODY_ROWS = {row[0]: row[1:] for row in TABLE["NOBODY_ROWS"]}

linux = pytest.mark.skipif(sys.platform != "linux", reason="messages need packet sockets")


@pytest.mark.parametrize("name", CHECKS)
def test_simulated(name):
    """The simulated kernel in this process obeys the contract."""
    with LAB["in_process"]() as lab:
        CHECKS[name](lab)


@linux
@pytest.mark.parametrize("name", [*CHECKS, *SERVED_CHECKS])
def test_remote(name, served):
    """A served simulated kernel obeys the contract, and holds nobody up for a slow handler."""
    with LAB["served_by"](served, RemoteKernel, LAB["remote_user"]) as lab:
        {**CHECKS, **SERVED_CHECKS}[name](lab)
        lab.kernel.close()


@linux
@pytest.mark.parametrize("name", [*ROWS, *NOBODY_ROWS])
def test_errno_of_remote(name, served):
    """Each call of a client of a served kernel ends as it did on XNU."""
    act, expected = {**ROWS, **NOBODY_ROWS}[name]
    model = SimulatedKernel()
    world = TABLE["World"](None, model.kctl)
    with served(model) as path:
        world.kernel = RemoteKernel(path)
        world.nobody = RemoteKernel(path, uid=501)
        assert TABLE["outcome"](act, world) == expected
        world.close()


@pytest.fixture(scope="module")
def darwin_failures(preloaded):
    """Tell what failed of checks and rows where PF_SYSTEM sockets are interposed."""
    return json.loads(preloaded([PROGRAM]))


@pytest.mark.parametrize("name", [*CHECKS, *SERVED_CHECKS])
def test_darwin_through_shim(name, darwin_failures):
    """The Darwin kernel's own code obeys it, down to option numbers and struct bytes."""
    assert darwin_failures[0].get(name) is None, darwin_failures[0][name]


@pytest.mark.parametrize("name", [*ROWS, *NOBODY_ROWS])
def test_errno_of_darwin_through_shim(name, darwin_failures):
    """Each call ends as on XNU, but that Linux has one number for ENOTSUP and EOPNOTSUPP."""
    assert darwin_failures[1].get(name) is None, darwin_failures[1][name]


def test_protocols_are_met(has_all_of):
    """Each class has every member that its Protocol asks for."""
    kernels: list[type[ControlKernel]] = [SimulatedKernel, RemoteKernel, DarwinKernel]
    sockets: list[type[ControlSocket]] = [
        SimulatedControlSocket,
        RemoteControlSocket,
        DarwinControlSocket,
    ]
    has_all_of(ControlKernel, kernels)
    has_all_of(ControlSocket, sockets)

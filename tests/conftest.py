"""What every test shares: the event loop it runs on, and the library that stands in for Darwin."""

import os
import runpy
import sys
from pathlib import Path

import pytest
import uvloop

SHIM = runpy.run_path(str(Path(__file__).parent / "shim" / "build.py"))


def pytest_asyncio_loop_factories(config, item):
    """Run asynchronous tests on the loop that the daemon runs on."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="session")
def kevshim(tmp_path_factory):
    """Path of the library to preload so that a simulated kernel answers for PF_SYSTEM."""
    if sys.platform != "linux":
        pytest.skip("the preloaded library is for Linux: on a Mac the kernel itself answers")
    try:
        return SHIM["build"](tmp_path_factory.mktemp("kevshim"))
    except SHIM["ShimError"] as error:
        pytest.fail(str(error))


@pytest.fixture(scope="session")
def kevshim_environment(kevshim):
    """Make the environment of a program that runs on the simulated kernel at a Unix socket."""
    return lambda server: SHIM["environment"](kevshim, server)


@pytest.fixture(scope="session")
def release(tmp_path_factory):
    """Build sdist and wheel of this tree; what is handed out installs them, too."""
    installing = runpy.run_path(str(Path(__file__).parent / "packaging/installing.py"))
    return installing["Release"](tmp_path_factory.mktemp("release"))


@pytest.fixture(scope="session", autouse=True)
def umask():
    """Keep what tests write from being writable by a group: such a configuration is refused."""
    old = os.umask(0o022)
    yield
    os.umask(old)


@pytest.fixture(autouse=True)
def untouched_logging():
    """Undo what a test sets up for the daemon's own log, so that no other test speaks into it."""
    yield
    if "structlog" in sys.modules:
        sys.modules["structlog"].reset_defaults()

"""What stands in for launchd here."""

import os
import runpy
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from kevmond.cli import main

HERE = Path(__file__).parent
MAC = runpy.run_path(str(HERE / "stand_in/mac.py"))
SHIM = runpy.run_path(str(HERE.parent / "shim/build.py"))


class Result(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def launchd(tmp_path, monkeypatch):
    """Put a launchctl that stands in on PATH."""
    made = MAC["Launchd"](tmp_path / "launchd")
    monkeypatch.setenv("PATH", made.path)
    monkeypatch.setenv("KEVMOND_TEST_LAUNCHD", str(made.folder))
    return made


@pytest.fixture
def mac(tmp_path):
    """Make a root folder to install below; keywords change its Host."""
    return lambda **more: MAC["make"](tmp_path, **more)


@pytest.fixture
def mac_in():
    """Make a root folder in a folder of one's own."""
    return MAC["make"]


@pytest.fixture
def kevmond(capsys):
    """Call `kevmond ARGS...`; its exit code, and what it printed."""

    def call(*args):
        with pytest.raises(SystemExit) as stop:
            main([str(arg) for arg in args])
        printed = capsys.readouterr()
        return Result(stop.value.code, printed.out, printed.err)

    return call


@pytest.fixture(scope="session")
def activation(tmp_path_factory):
    """Compile what hands out descriptors as launchd does; its path."""
    if sys.platform != "linux":
        pytest.skip("the preloaded library is for Linux: on a Mac launchd itself answers")
    library = tmp_path_factory.mktemp("launchd") / "launchd.so"
    source = HERE / "stand_in/launchd.c"
    command = ["cc", *SHIM["FLAGS"], "-o", str(library), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return library


@pytest.fixture
def as_job(activation):
    """Make the environment of a job with these descriptors, by name."""

    def environment(**descriptors):
        table = ";".join(
            f"{name}={','.join(map(str, numbers))}" for name, numbers in descriptors.items()
        )
        preload = " ".join(filter(None, [str(activation), os.environ.get("LD_PRELOAD")]))
        return {
            **os.environ,
            "LD_PRELOAD": preload,
            "LAUNCHD_STAND_IN": table,
            "XPC_SERVICE_NAME": "net.kevmond.daemon",
        }

    return environment

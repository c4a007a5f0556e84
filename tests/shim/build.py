"""Builds the preloaded library that serves PF_SYSTEM from a simulated kernel; Linux only.

    python tests/shim/build.py FOLDER      prints the path of the library it made

A program then runs on it with LD_PRELOAD set to that path and KEVSHIM_SERVER to the Unix socket of
`kevmond simulate --listen`.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
SOURCES = [HERE / name for name in ("kevshim.c", "options.c", "calls.c", "client.c")]
FLAGS = [
    "-std=gnu11",
    "-D_GNU_SOURCE",
    "-O2",
    "-g",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-fPIC",
    "-shared",
    "-pthread",
]


class ShimError(Exception):
    """The library cannot be built; the text says what to do."""


def build(folder):
    """Compile the library into `folder` with the system's `cc` and return its path."""
    if sys.platform != "linux":
        raise ShimError("the preloaded library is for Linux: on a Mac the kernel itself answers")
    compiler = shutil.which("cc")
    if compiler is None:
        raise ShimError("no C compiler: install one (Debian: apt-get install gcc libc6-dev)")
    library = Path(folder) / "kevshim.so"
    command = [compiler, *FLAGS, "-o", str(library), *map(str, SOURCES), "-ldl"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise ShimError(f"{' '.join(command)} failed:\n{result.stderr}")
    return library


def environment(library, server):
    """Make the environment of a program that is to run on the simulated kernel at `server`."""
    preload = " ".join(filter(None, [str(library), os.environ.get("LD_PRELOAD")]))
    return {**os.environ, "LD_PRELOAD": preload, "KEVSHIM_SERVER": str(server)}


if __name__ == "__main__":
    print(build(sys.argv[1]))  # noqa: T201 - the path is this script's output

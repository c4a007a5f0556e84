"""A release built from this tree, and clean environments that it is installed in; no network."""

import os
import re
import runpy
import subprocess
import sys
import sysconfig
import tarfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
RELEASE = runpy.run_path(str(ROOT / "packaging/release.py"))
LIBRARIES = sorted({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})
"""Where the libraries are that kevmond needs; kevmond itself is there by a .pth file only, which
counts in that environment and not where this folder is merely on the path."""


class Release:
    """An sdist and the wheel made from it."""

    def __init__(self, folder):
        self._folder = folder
        self.sdist, self.wheel = RELEASE["build"](ROOT, folder / "dist")

    def install(self, folder):
        """Make a clean environment and install the wheel in it."""
        return Installed(folder, self.wheel)

    def successor(self, version):
        """Build the wheel of a later version from a copy of the sources; return its path."""
        folder = self._folder / version
        with tarfile.open(self.sdist) as archive:
            archive.extractall(folder, filter="data")
        source = next(folder.iterdir())
        for name in ("pyproject.toml", "kevmond/__init__.py"):
            path = source / name
            text, count = re.subn(
                r'(version(?:__)? = )"[^"]+"', rf'\1"{version}"', path.read_text(), count=1
            )
            assert count == 1, path
            path.write_text(text)
        return RELEASE["build"](source, self._folder / "dist")[1]


class Installed:
    """kevmond in an environment of its own; the libraries come from the one that tests run in."""

    def __init__(self, folder, wheel):
        self.folder = folder
        self.python = folder / "bin/python"
        self.kevmond = folder / "bin/kevmond"
        run([sys.executable, "-m", "venv", "--without-pip", str(folder)])
        self.site = Path(self.says("import sysconfig as s; print(s.get_path('purelib'))").strip())
        (self.site / "libraries.pth").write_text("".join(f"{path}\n" for path in LIBRARIES))
        self.upgrade(wheel)

    def upgrade(self, wheel):
        """Install a wheel over what there is."""
        run([
            sys.executable, "-m", "pip", "--python", str(self.python), "install", "--quiet",
            "--no-index", "--no-deps", "--disable-pip-version-check", "--force-reinstall",
            str(wheel),
        ])  # fmt: skip

    def says(self, program):
        """Run a program of Python's in the environment and return what it prints."""
        return run([str(self.python), "-c", program]).stdout

    def run(self, *words, **more):
        """Run a command of kevmond's and wait for it to end well."""
        return run([str(self.kevmond), *map(str, words)], **more)


def run(command, *, code=0, environment=None, **more):
    """Run a program outside of the checkout, without what could lead it back there."""
    kept = {k: v for k, v in os.environ.items() if k not in {"PYTHONPATH", "KEVMOND_CONFIG"}}
    done = subprocess.run(
        command,
        cwd=more.pop("cwd", "/"),
        env={**kept, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        **more,
    )
    assert done.returncode == code, (command, done.returncode, done.stdout, done.stderr)
    return done

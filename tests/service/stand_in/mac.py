"""A Mac to install on: a folder that stands for its root, and a launchctl that stands in."""

import json
import os
import stat
import sys
from pathlib import Path

from kevmond.service.place import Host

HERE = Path(__file__).parent
PROGRAM = Path("/opt/kevmond/bin/python")
FOLDERS = [
    "etc/newsyslog.d",
    "Library/Application Support",
    "Library/LaunchDaemons",
    "opt/kevmond/bin",
    "opt/kevmond/lib/kevmond",
    "var/log",
]
"""What every Mac has, and the kevmond that is to be installed."""


class Launchd:
    """What the stand-in was called with, and what it is to say."""

    def __init__(self, folder):
        self.folder = folder
        bin_folder = folder / "bin"
        bin_folder.mkdir(parents=True)
        program = bin_folder / "launchctl"
        program.write_text(f"#!{sys.executable} -IS\n{(HERE / 'launchctl.py').read_text()}")
        program.chmod(0o755)
        self.path = f"{bin_folder}:{os.environ['PATH']}"
        self.state = {"services": {}, "disabled": [], "answers": {}, "fate": {}, "next": 4200}

    @property
    def state(self):
        return json.loads((self.folder / "state.json").read_text())

    @state.setter
    def state(self, state):
        (self.folder / "state.json").write_text(json.dumps(state))

    def calls(self):
        """Return every call since the last time, without those that only look."""
        path = self.folder / "calls"
        lines = path.read_text().splitlines() if path.exists() else []
        path.write_text("")
        return [call for call in map(json.loads, lines) if not call[0].startswith("print")]

    def answers(self, word, *answers):
        """Have the next calls of `word` refused, by (code, text)."""
        state = self.state
        state["answers"][word] = [[*answer, ""] for answer in answers]
        self.state = state

    def fate(self, **fate):
        """Have what is started from now on be like this, such as pid=None, exit="1"."""
        self.state = {**self.state, "fate": fate}

    def change(self, target, **facts):
        """Change what a loaded service is like."""
        state = self.state
        state["services"][target].update(facts)
        self.state = state

    def disable(self, target):
        self.state = {**self.state, "disabled": [target]}


def make(folder, *, real=False):
    """Make a root folder with an interpreter in it, and return its Host.

    The interpreter only says a version, unless it is to be a real one.
    """
    root = folder / "root"
    for name in FOLDERS:
        (root / name).mkdir(parents=True)
    program = root / PROGRAM.relative_to("/")
    word = f"exec {sys.executable}" if real else "echo kevmond 0.0.0:"
    program.write_text(f'#!/bin/sh\n{word} "$@"\n')
    program.chmod(0o755)
    for made in (root, *root.rglob("*")):
        made.chmod(made.stat().st_mode & ~(stat.S_IWGRP | stat.S_IWOTH))
    me = os.getuid()
    return Host(
        platform="darwin",
        uid=me,
        home=Path("/Users/alice"),
        executable=PROGRAM,
        package=Path("/opt/kevmond/lib/kevmond"),
        root=root,
        superuser=me,
    )

"""The command line, called in this process as its entry point calls it."""

from dataclasses import dataclass

import pytest

from kevmond.cli import main


@dataclass
class Result:
    code: int
    out: str
    err: str


@pytest.fixture
def kevmond(capsys):
    """Call `kevmond ARGS...`; its exit code and what it printed."""

    def call(*args):
        with pytest.raises(SystemExit) as stop:
            main([str(arg) for arg in args])
        printed = capsys.readouterr()
        return Result(stop.value.code, printed.out, printed.err)

    return call


@pytest.fixture
def in_tmp(tmp_path, monkeypatch):
    """Work in a folder of its own, for short relative names."""
    monkeypatch.chdir(tmp_path)

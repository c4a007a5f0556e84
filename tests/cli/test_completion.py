"""Completion by a shell: the scripts, and what they are answered."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kevmond.cli import COMMANDS

ROOT = Path(__file__).parents[2]
KEVMOND = [sys.executable, "-m", "kevmond"]
FILES = {"bash": "kevmond.bash", "zsh": "_kevmond", "fish": "kevmond.fish"}


def script(shell):
    """Return what `kevmond completion` prints."""
    return subprocess.run(
        [*KEVMOND, "completion", shell], capture_output=True, text=True, check=True
    ).stdout


def answers(line):
    """Return what bash is offered at the end of a command line."""
    words = line.split(" ")
    asked = {
        "_KEVMOND_COMPLETE": "bash_complete",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
    }
    program = "import sys; sys.argv[0] = 'kevmond'; from kevmond.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **asked},
        capture_output=True,
        text=True,
        check=True,
    )
    return [answer.partition(",")[2] for answer in done.stdout.splitlines() if answer]


@pytest.mark.parametrize("shell", FILES)
def test_shipped_scripts_are_current(shell):
    """What packages install is what the command prints: `make docs` writes it."""
    assert (ROOT / "packaging/completion" / FILES[shell]).read_text() == script(shell)


@pytest.mark.parametrize("shell", FILES)
def test_shells_can_read_their_scripts(shell, tmp_path):
    """By the shell itself, where it is installed."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    path = tmp_path / "script"
    path.write_text(script(shell))
    subprocess.run([shell, "-n", str(path)], check=True, capture_output=True)


def test_every_command_is_offered():
    """Also though they are loaded only when they are named."""
    assert answers("kevmond ") == list(COMMANDS)


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("kevmond conf", ["config"]),
        ("kevmond config def", ["default"]),
        ("kevmond config check --conf", ["--config"]),
        ("kevmond completion z", ["zsh"]),
        ("kevmond run --no-such", []),
    ],
)
def test_words_and_options_are_completed(line, offered):
    """Commands, what is in groups, options, and choices."""
    assert answers(line) == offered


def test_bash_completes(tmp_path):
    """The script, read by a bash, fills in what Tab would."""
    if shutil.which("bash") is None:
        pytest.skip("bash is not installed")
    program = tmp_path / "kevmond"
    program.write_text(
        f"#!{sys.executable}\nimport sys\nsys.argv[0] = 'kevmond'\n"
        "from kevmond.cli import main\nmain()\n"
    )
    program.chmod(0o755)
    commands = (
        "compopt() { :; }\n"  # it has a meaning only while a line is being completed
        f"{script('bash')}\n"
        "COMP_WORDS=(kevmond webhook ro) COMP_CWORD=2\n"
        '_kevmond_completion kevmond; echo "${COMPREPLY[@]}"\n'
    )
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "--norc", "-c", commands],
        env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "rotate-secret\n"
    assert done.stderr == ""


def test_an_unknown_shell_is_told_the_known_ones():
    """Exit code 2, and the three names."""
    done = subprocess.run(
        [*KEVMOND, "completion", "tcsh"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "'bash', 'zsh', 'fish'" in done.stderr

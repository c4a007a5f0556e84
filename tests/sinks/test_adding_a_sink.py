"""What docs/adding-a-sink.md shows works as it stands there."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs/adding-a-sink.md"
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)


@pytest.fixture
def installed(tmp_path):
    """Install the page's example into an empty folder and return the folder."""
    (_, sink), (_, project), (_, config), (_, test) = BLOCKS
    (tmp_path / "kevmond_tcp.py").write_text(sink)
    (tmp_path / "test_tcp.py").write_text(test)
    (tmp_path / "kevmond.toml").write_text(config)
    info = tmp_path / "kevmond_tcp-1.0.dist-info"
    info.mkdir()
    declared = tomllib.loads(project)["project"]
    name, version = declared["name"], declared["version"]
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    ((group, points),) = declared["entry-points"].items()
    lines = [f"[{group}]", *(f"{kind} = {target}" for kind, target in points.items()), ""]
    (info / "entry_points.txt").write_text("\n".join(lines))
    return tmp_path


def run(folder, *arguments):
    """Run Python in the folder with the example installed; return what it said."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        timeout=120,
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_page_has_the_four_pieces():
    """The page holds the sink, its project, its configuration and its test."""
    assert [language for language, _ in BLOCKS] == ["python", "toml", "toml", "python"]


def test_example_keeps_the_contract(installed):
    """The page's sink passes the page's test."""
    said = run(
        installed,
        *("-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "asyncio_mode=auto"),
        *("-o", "asyncio_default_fixture_loop_scope=function", "-W", "error", "test_tcp.py"),
    )
    assert re.search(r"\d+ passed", said)


def test_example_is_found_and_configured(installed):
    """The page's project is found by its entry point and takes the page's settings."""
    program = """
import tomllib
from pathlib import Path
from kevmond.sinks import registry
table = tomllib.loads(Path("kevmond.toml").read_text())["sinks"]["siem"]
settings = registry.load(table["type"]).Settings.model_validate(table)
print(settings.host, settings.port, settings.filter[0])
"""
    assert run(installed, "-c", program) == "siem.example 5170 class=network 'severity=>=notice'\n"

"""What is in the sdist and in the wheel, and that what is installed from the latter works alone."""

import email
import re
import runpy
import subprocess
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

import kevmond

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
INDEX = re.compile(rb"files\.pythonhosted|pypi\.org|pypi\.python", re.IGNORECASE)


@pytest.fixture(scope="session")
def in_sdist(release):
    """Read the names in the sdist, without its own folder."""
    with tarfile.open(release.sdist) as archive:
        return {member.name.partition("/")[2] for member in archive if member.isfile()}


@pytest.fixture(scope="session")
def in_wheel(release):
    """Read the names in the wheel."""
    return set(zipfile.ZipFile(release.wheel).namelist())


def tracked():
    """Return the files that git knows, or would if they were added."""
    if not (ROOT / ".git").exists():
        pytest.skip("this is no checkout")
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return {name for name in names.split("\0") if (ROOT / name).is_file()}


def test_sdist_is_the_whole_tree(in_sdist):
    """Everything in a checkout is there, tests and locks included, and nothing else."""
    assert in_sdist - {"PKG-INFO"} == tracked()


def test_sdist_can_test_itself(in_sdist):
    """What the tests read beside their own code is there."""
    assert {
        "Makefile", ".ci/run", ".ci/lock/run.txt", ".ci/lock/test.txt", "config/kevmond.toml",
        "kext/src/foo.c", "tests/conftest.py", "tests/shim/kevshim.c", "benchmarks/all.py",
        "tests/captures/xnu-7195-events.jsonl", "packaging/homebrew/kevmond.rb", "README.md",
    } <= in_sdist  # fmt: skip


def test_no_index_is_written_down(release):
    """Where packages come from is the choice of whoever installs: no file names an index."""
    named = set()
    with tarfile.open(release.sdist) as archive:
        for member in archive:
            if member.isfile() and INDEX.search(archive.extractfile(member).read()):
                named.add(member.name.partition("/")[2])
    assert named <= {str(Path(__file__).relative_to(ROOT))}


def test_wheel_has_the_package_and_what_it_needs(in_wheel):
    """Every file of the package, configuration, launchd's files, man page, completions; no more."""
    package = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "kevmond").rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    data = {
        f"kevmond/data/{path.relative_to(ROOT)}"
        for folder in ("config", "launchd")
        for path in (ROOT / folder).rglob("*")
        if path.is_file()
    }
    stem = f"kevmond-{PROJECT['version']}"
    share = {
        f"{stem}.data/data/share/{name}"
        for name in (
            "man/man1/kevmond.1",
            "bash-completion/completions/kevmond",
            "zsh/site-functions/_kevmond",
            "fish/vendor_completions.d/kevmond.fish",
        )
    }
    rest = {name for name in in_wheel if not name.startswith(f"{stem}.dist-info/")}
    assert rest == package | data | share


def test_wheel_tells_what_it_is(release):
    """Version, Python, dependencies and the command are those of the project."""
    archive = zipfile.ZipFile(release.wheel)
    stem = f"kevmond-{PROJECT['version']}.dist-info"
    facts = email.message_from_bytes(archive.read(f"{stem}/METADATA"))
    assert facts["Version"] == PROJECT["version"] == kevmond.__version__
    assert facts["Requires-Python"] == PROJECT["requires-python"]
    assert sorted(facts.get_all("Requires-Dist")) == sorted(PROJECT["dependencies"])
    assert "kevmond = kevmond.cli:main" in archive.read(f"{stem}/entry_points.txt").decode()


def test_the_same_tree_gives_the_same_bytes(release, tmp_path):
    """Whoever builds a release again, from its sdist, gets what was published."""
    build = runpy.run_path(str(ROOT / "packaging/release.py"))["build"]
    with tarfile.open(release.sdist) as archive:
        archive.extractall(tmp_path / "source", filter="data")
    again = build(next((tmp_path / "source").iterdir()), tmp_path / "dist")
    assert [path.read_bytes() for path in again] == [
        release.sdist.read_bytes(),
        release.wheel.read_bytes(),
    ]


def test_installed_command_says_its_version(installed):
    """The program is there, and it is the version that was built."""
    assert installed.run("--version").stdout == f"kevmond {kevmond.__version__}\n"


def test_installed_configuration_is_the_shipped_one(installed, tmp_path):
    """`config default` prints the commented file, and `config check` finds it right."""
    text = installed.run("config", "default").stdout
    assert text == (ROOT / "config/kevmond.toml").read_text()
    path = tmp_path / "kevmond.toml"
    path.write_text(text)
    assert installed.run("config", "check", "-c", path).stdout.startswith(f"{path}: right;")
    home = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / "none")}
    assert "right; sinks: log, jsonl" in installed.run("config", "check", environment=home).stdout


def test_installed_page_and_libraries_are_its_own(installed):
    """The live page is found in the package; every module comes from the new environment."""
    file, names = installed.says(
        "import importlib.resources as r, kevmond\n"
        "page = r.files('kevmond.api') / 'page'\n"
        "print(kevmond.__file__)\n"
        "print(*sorted(each.name for each in page.iterdir() if each.is_file()))\n"
    ).splitlines()
    assert Path(file).is_relative_to(installed.folder)
    page = ROOT / "kevmond/api/page"
    assert names.split() == sorted(path.name for path in page.iterdir() if path.is_file())
    assert "index.html" in names.split()


def test_installed_sinks_are_found(installed):
    """Entry points work from a wheel as they do from a checkout."""
    told = installed.run("config", "check", "--set", 'sinks.a={type="nope"}', code=78).stderr
    for name in ("exec", "jsonl", "log", "unix", "webhook"):
        assert name in told


def test_installed_man_page_is_where_pipx_looks(installed):
    """In share/man of the environment, from where it links pages for `man`."""
    page = installed.folder / "share/man/man1/kevmond.1"
    assert page.read_bytes() == (ROOT / "packaging/man/kevmond.1").read_bytes()

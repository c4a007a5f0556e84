"""The Homebrew formula, as far as that goes without Homebrew."""

import hashlib
import re
import runpy
import shutil
import subprocess
from pathlib import Path

import pytest

from kevmond.events.decoder import Decoder
from kevmond.events.event import Context

ROOT = Path(__file__).parents[2]
TEMPLATE = (ROOT / "packaging/homebrew/kevmond.rb").read_text()
RELEASE = runpy.run_path(str(ROOT / "packaging/release.py"))
OPENS = re.compile(r"^\s*(class|def|if|unless)\b|\bdo(\s*\|[^|]*\|)?\s*$")
"""Lines of Ruby that an `end` belongs to, in the style that formulae are written in."""


@pytest.fixture(scope="module")
def formula(release):
    """Fill in the template for the built sdist."""
    return RELEASE["formula"](
        homepage="https://example.org/kevmond",
        url=f"https://example.org/dl/{release.sdist.name}",
        sha256=RELEASE["checksum"](release.sdist),
    )


def block(text, first):
    """Return the lines of the block that begins with a line, without that and its end."""
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if line.strip().startswith(first))
    indent = len(lines[start]) - len(lines[start].lstrip())
    end = next(i for i, line in enumerate(lines[start:], start) if line == " " * indent + "end")
    return [line.strip() for line in lines[start + 1 : end]]


def test_a_release_fills_in_the_blanks(formula, release):
    """Page, address and checksum of the sdist; nothing is left of the template."""
    assert not re.search(r"@[A-Z0-9]+@", formula)
    assert f'sha256 "{hashlib.sha256(release.sdist.read_bytes()).hexdigest()}"' in formula
    assert formula.startswith("class Kevmond < Formula\n")
    with pytest.raises(SystemExit, match="@SHA256@"):
        RELEASE["formula"](homepage="x", url="y")


def test_release_writes_everything_into_one_folder(tmp_path, monkeypatch, capsys):
    """The program builds, prints the checksums, and writes the formula beside the files."""
    words = ["release.py", "--homepage", "https://x.example", "--url", "https://x.example/dl/",
             "--dist", str(tmp_path / "dist")]  # fmt: skip
    monkeypatch.setattr("sys.argv", words)
    RELEASE["main"]()
    names = {path.name for path in (tmp_path / "dist").iterdir()}
    (sdist,) = (name for name in names if name.endswith(".tar.gz"))
    (wheel,) = (name for name in names if name.endswith(".whl"))
    assert names == {sdist, wheel, "kevmond.rb", "SHA256SUMS"}
    assert f'url "https://x.example/dl/{sdist}"' in (tmp_path / "dist/kevmond.rb").read_text()
    told = capsys.readouterr().out
    assert told.startswith((tmp_path / "dist/SHA256SUMS").read_text())


def test_ruby_can_read_it(formula, tmp_path):
    """By Ruby itself where there is one, and by counting what is open everywhere."""
    opened = sum(bool(OPENS.search(line)) for line in formula.splitlines())
    assert opened == sum(line.strip() == "end" for line in formula.splitlines())
    for pair in ("()", "[]", "{}"):
        assert formula.count(pair[0]) == formula.count(pair[1]), pair
    assert formula.count('"') % 2 == 0
    ruby = shutil.which("ruby")
    if ruby is None:
        pytest.skip("no ruby here: only its blocks and brackets were counted")
    path = tmp_path / "kevmond.rb"
    path.write_text(formula)
    subprocess.run([ruby, "-wc", str(path)], check=True, capture_output=True)


def test_what_it_installs_is_in_the_sdist():
    """Every path of the tree that it names is there."""
    named = re.findall(r'"((?:\.ci|packaging|config)/[^"]+)"', TEMPLATE)
    assert len(named) >= 6
    assert [name for name in named if not (ROOT / name).is_file()] == []


def test_dependencies_come_from_the_lock():
    """By hash, from whatever index pip is set up for; there is no address of any of them."""
    install = " ".join(block(TEMPLATE, "def install"))
    assert '"--require-hashes", "--requirement", ".ci/lock/run.txt"' in install
    assert "resource" not in re.sub(r"#.*", "", TEMPLATE)
    assert re.findall(r"https?://", TEMPLATE) == []
    lock = (ROOT / ".ci/lock/run.txt").read_text()
    pinned = re.findall(r"^[a-z0-9_.-]+==\S+", lock, re.MULTILINE | re.IGNORECASE)
    assert len(pinned) == len(re.findall(r"^\S.*==", lock, re.MULTILINE))
    assert any(pin.startswith("hatchling==") for pin in pinned)  # what builds kevmond, too


def test_service_is_started_again_after_a_crash_only():
    """As launchd's own job: with a throttle, its state folder, and nothing to stdout."""
    service = block(TEMPLATE, "service do")
    assert "keep_alive successful_exit: false" in service
    assert 'working_dir var/"lib/kevmond"' in service
    assert 'error_log_path var/"log/kevmond.err"' in service
    assert "environment_variables PATH: std_service_path_env" in service
    words = {line.split()[0] for line in service if re.match(r"[a-z_]+ ", line)}
    assert words == {
        "run", "keep_alive", "throttle_interval", "process_type", "working_dir",
        "environment_variables", "log_path", "error_log_path",
    }  # fmt: skip


def test_commands_in_it_are_understood():
    """Options that the service and the caveats name are options that there are."""
    import click

    from kevmond.cli import group

    context = click.Context(group)
    run = group.get_command(context, "run")
    options = {name for parameter in run.params for name in parameter.opts}
    service = " ".join(block(TEMPLATE, "service do"))
    assert set(re.findall(r'"(--[a-z-]+)"', service)) <= options
    for name in re.findall(r"^ +(?:sudo )?kevmond (\w+)", TEMPLATE, re.MULTILINE):
        assert group.get_command(context, name) is not None, name


def test_its_own_test_would_pass():
    """The message that `brew test` decodes is the event that it looks for."""
    test = " ".join(block(TEMPLATE, "test do"))
    message = "".join(re.findall(r'"([0-9a-f]{48})"', test))
    context = Context(boot_id="b", host="h", os_release="20.6.0", os_build="20G1427")
    event = Decoder(context).event(bytes.fromhex(message), seq=1, time="")
    assert event.type == "network.dl.link-on"
    assert "network.dl.link-on" in test

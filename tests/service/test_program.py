"""The program that a job starts, and who could change it."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from kevmond.service import ownership, program

ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}


def test_the_interpreter_is_called_by_its_own_name(mac):
    """A virtual environment is found by that name only, so its link is not followed."""
    host = mac()
    venv = Path("/Users/alice/venv/bin/python")
    (host.disk(venv).parent).mkdir(parents=True)
    host.disk(venv).symlink_to(host.disk(host.executable))
    found = program.command(replace(host, executable=venv))
    assert found == (str(venv), "-P", "-m", "kevmond")


def test_homebrews_name_without_a_version_is_taken(mac):
    """It leads to whatever version is installed."""
    cellar = Path("/opt/homebrew/Cellar/kevmond/0.1.0/libexec/bin/python")
    host = replace(mac(), executable=cellar)
    assert program.stable(host) == cellar
    assert any("next upgrade" in told for told in program.doubts(host, cellar, "the program"))
    host.disk(cellar).parent.mkdir(parents=True)
    host.disk(cellar).touch()
    host.disk(Path("/opt/homebrew/opt")).mkdir()
    host.disk(Path("/opt/homebrew/opt/kevmond")).symlink_to("../Cellar/kevmond/0.1.0")
    stable = Path("/opt/homebrew/opt/kevmond/libexec/bin/python")
    assert program.stable(host) == stable
    assert list(program.doubts(host, stable, "the program")) == []


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/tmp/venv/bin/python", "temporary"),
        ("/private/tmp/venv/bin/python", "temporary"),
        ("/private/var/folders/x/T/venv/bin/python", "temporary"),
        ("/Users/alice/.cache/uv/x/bin/python", "cache"),
        ("/Users/bob/Library/Caches/x/bin/python", "cache"),
        ("/Users/alice/Desktop/venv/bin/python", "consent"),
        ("/Users/bob/Documents/venv/bin/python", "consent"),
        ("/Users/alice/Downloads/venv/bin/python", "consent"),
        ("/Users/alice/Library/Mobile Documents/venv/bin/python", "consent"),
        ("/Volumes/Stick/venv/bin/python", "volume"),
        ("/opt/kevmond/bin/python", None),
        ("/Users/alice/.local/pipx/venvs/kevmond/bin/python", None),
        ("/Users/Shared/Downloads-of-all/venv/bin/python", None),
    ],
)
def test_places_that_a_service_cannot_count_on_are_told(mac, path, told):
    """What macOS empties, hides, or does not have at boot."""
    found = list(program.doubts(mac(), Path(path), "the program"))
    assert [told in line for line in found] == ([] if told is None else [True])
    assert all(path in line for line in found)


def test_the_program_is_tried_as_launchd_starts_it(mac):
    """With that environment and from the root folder."""
    host = mac(real=True)
    words = (str(host.disk(host.executable)), "-P", "-m", "kevmond")
    assert program.try_out(words, environment=ENVIRONMENT, user=None).startswith("kevmond ")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("/nowhere/python",), "No such file"),
        (("/bin/sh", "-c", "echo one >&2; echo No module named kevmond >&2; exit 1"), "No module"),
        (("/bin/sh", "-c", "exit 3"), "exit code 3"),
    ],
)
def test_a_program_that_does_not_run_is_told(words, told):
    """Before anything is installed; with its last words."""
    with pytest.raises(program.ProgramError, match=told):
        program.try_out(words, environment=ENVIRONMENT, user=None)


def test_a_program_that_its_user_cannot_run_is_told(tmp_path):
    """It lies in a home that others cannot look into, for one."""
    if os.geteuid() != 0:
        pytest.skip("only root can try as another user")
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    (private / "python").symlink_to("/bin/sh")
    with pytest.raises(program.ProgramError, match=r"as nobody.*--global"):
        program.try_out((str(private / "python"),), environment=ENVIRONMENT, user="nobody")


# ---------------------------------------------------------------------- who could change it


def complaints(host, path, *more):
    """Return what is said of a path."""
    return list(ownership.complaints(host, Path(path), frozenset({host.superuser, *more})))


def test_what_is_roots_alone_is_right(mac):
    """File, folders and the root folder."""
    host = mac()
    assert complaints(host, host.executable) == []


@pytest.mark.parametrize(
    ("path", "mode", "told"),
    [
        ("/opt/kevmond/bin/python", 0o757, "/opt/kevmond/bin/python can be changed by everybody"),
        ("/opt/kevmond", 0o777, "/opt/kevmond can be changed by everybody (mode 0777)"),
        ("/", 0o777, "/ can be changed by everybody"),
    ],
)
def test_what_anybody_can_change_is_told(mac, path, mode, told):
    """Every folder on the way counts."""
    host = mac()
    host.disk(Path(path)).chmod(mode)
    (found,) = complaints(host, host.executable)
    assert found.startswith(told)


def test_a_sticky_folder_is_no_way_in(mac):
    """Nobody can take another's file away there."""
    host = mac()
    host.disk(Path("/opt")).chmod(0o1777)
    assert complaints(host, host.executable) == []


def test_a_group_counts_unless_it_may_be_root_anyway(mac, monkeypatch):
    """Homebrew's folders belong to admin, which may use sudo."""
    host = mac()
    host.disk(Path("/opt")).chmod(0o775)
    monkeypatch.setattr(ownership, "_ADMINISTRATORS", frozenset({os.getgid()}))
    assert complaints(host, host.executable) == []
    monkeypatch.setattr(ownership, "_ADMINISTRATORS", frozenset({80}))
    (found,) = complaints(host, host.executable)
    assert found.startswith("/opt can be changed by the group ")


def test_another_owner_is_told(mac):
    """Unless the job runs as that user."""
    host = mac()
    stranger = replace(host, superuser=host.superuser + 1)
    assert "/opt belongs to" in " ".join(complaints(stranger, host.executable))
    assert complaints(stranger, host.executable, host.superuser) == []


def test_links_are_followed(mac):
    """Whoever can change what a name leads to changes the program."""
    host = mac()
    loose = host.disk(Path("/usr/loose"))
    loose.mkdir(parents=True)
    loose.chmod(0o777)
    (loose / "python").symlink_to("../../opt/kevmond/bin/python")
    link = host.disk(Path("/usr/local/bin/python"))
    link.parent.mkdir(parents=True)
    link.symlink_to("../../loose/python")
    found = complaints(host, "/usr/local/bin/python")
    assert [line.split(" ", 1)[0] for line in found] == ["/usr/loose"]


def test_links_in_a_circle_end(mac):
    """After as many as the system follows."""
    host = mac()
    one, two = host.disk(Path("/opt/one")), host.disk(Path("/opt/two"))
    one.symlink_to("two")
    two.symlink_to("one")
    assert complaints(host, "/opt/one/x") == []


def test_what_is_not_there_is_judged_by_its_folders(mac):
    """Whoever can change one of them can make it."""
    host = mac()
    host.disk(Path("/opt")).chmod(0o777)
    assert complaints(host, "/opt/new/file") == ["/opt can be changed by everybody (mode 0777)"]

"""Which user a daemon goes on as, and what is refused before root is given up."""

import os
import pwd

import pytest

from kevmond.config import load
from kevmond.config.settle import settle
from kevmond.errors import ConfigError
from kevmond.service import privileges

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root goes on as another user")


@pytest.fixture
def configured(tmp_path):
    """Write a configuration with a state folder and return it loaded."""

    def write(text, folder="etc"):
        path = tmp_path / folder / "kevmond.toml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f'[daemon]\nstate_dir = "{tmp_path}/state"\n{text}')
        return load(path)

    return write


@pytest.fixture
def became(monkeypatch):
    """Note who the daemon became instead of becoming it."""
    names = []
    monkeypatch.setattr(privileges, "become", lambda account: names.append(account.name))
    monkeypatch.delenv("KEVMOND_CONFIG", raising=False)
    yield names
    os.environ.pop("KEVMOND_CONFIG", None)


def refusal(loaded):
    """Return what is said, without the file's name, which is in front of every line."""
    with pytest.raises(ConfigError) as caught:
        settle(loaded, lambda state_dir: loaded)
    lines = str(caught.value).splitlines()
    assert all(line.startswith(f"{loaded.path}: ") for line in lines)
    return [line.removeprefix(f"{loaded.path}: ") for line in lines]


def test_without_a_user_the_folder_is_made(configured, became, tmp_path):
    """Nothing else happens: the configuration in force is the one that was read."""
    loaded = configured("")
    assert settle(loaded, load) is loaded
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700
    assert became == []


def test_the_right_user_already_is_no_change(configured, became, tmp_path):
    """A job of launchd's with UserName and the same daemon.user go together."""
    loaded = configured(f'user = "{pwd.getpwuid(os.geteuid()).pw_name}"\n')
    assert settle(loaded, load) is loaded
    assert (tmp_path / "state").is_dir()
    assert became == []


def test_only_root_can_become_another(configured, became, monkeypatch):
    """Another user is told the two ways there are."""
    loaded = configured('user = "root"\n')
    monkeypatch.setattr(os, "geteuid", lambda: 54321)
    (line,) = refusal(loaded)
    assert line.startswith("daemon.user: only root can go on as root; start kevmond by sudo")
    assert "UserName" in line


def test_unknown_user_names_file_and_key(configured, became):
    """The file, the key, and what to do."""
    (line,) = refusal(configured('user = "kevmond-none"\n'))
    assert line == (
        'daemon.user: there is no user "kevmond-none" here; make it, or name one that `id` knows'
    )


@AS_ROOT
def test_configuration_in_the_user_s_own_folder_is_refused(configured, became):
    """The user could replace it, and the next start would do as root what it says."""
    for folder in ("state", "state/etc"):
        loaded = configured('user = "nobody"\n', folder=folder)
        (line,) = refusal(loaded)
        assert line.startswith("daemon.user: this file lies in daemon.state_dir (")
    assert became == []


@AS_ROOT
def test_the_user_reads_the_configuration_anew(configured, became, tmp_path):
    """What holds is what every reload will find, from the same file."""
    loaded = configured('user = "nobody"\n')
    given = []

    def again(state_dir):
        given.append(state_dir)
        return loaded

    assert settle(loaded, again) is loaded
    assert became == ["nobody"]
    assert given == [tmp_path / "state"]
    assert os.environ["KEVMOND_CONFIG"] == str(loaded.path)
    assert (tmp_path / "state").stat().st_uid == pwd.getpwnam("nobody").pw_uid


@AS_ROOT
def test_what_the_user_cannot_read_is_refused(configured, became, tmp_path, monkeypatch):
    """Configuration, secrets and the program itself: one line each, before anything is opened."""
    (tmp_path / "token").write_text("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    loaded = configured(
        'user = "nobody"\n[sinks.a]\ntype = "webhook"\nurl = "https://x.example"\n'
        f'secret = ["file:{tmp_path}/token", "file:{tmp_path}/none"]\n'
    )
    real = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: real(path, mode) and not became)
    lines = refusal(loaded)
    assert [line.split(":")[0] for line in lines] == [
        "daemon.user", "sinks.a.secret.0", *["daemon.user"] * 5, "daemon.state_dir",
    ]  # fmt: skip
    assert lines[0].startswith("daemon.user: nobody cannot read this file, and has to at every")
    assert f"sudo chown nobody {tmp_path}/token" in lines[1]
    assert "kevmond's own program" in lines[2]
    assert "cannot get into" in lines[-1]

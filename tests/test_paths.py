"""Where files go."""

from pathlib import Path

from pydantic import BaseModel

from kevmond.paths import StatePath, config_search_path, default_state_dir


class Model(BaseModel):
    path: StatePath


def test_relative_path_is_taken_below_the_state_dir(tmp_path):
    """A relative file belongs to the daemon's own folder."""
    model = Model.model_validate({"path": "events.jsonl"}, context={"state_dir": tmp_path})
    assert model.path == tmp_path / "events.jsonl"


def test_absolute_path_stays():
    """An absolute file is where it says."""
    model = Model.model_validate({"path": "/a/b"}, context={"state_dir": "/c"})
    assert model.path == Path("/a/b")


def test_home_is_expanded(monkeypatch):
    """`~` is the user's home, whatever the state dir."""
    monkeypatch.setenv("HOME", "/home/ann")
    model = Model.model_validate({"path": "~/x"}, context={"state_dir": "/c"})
    assert model.path == Path("/home/ann/x")


def test_ordinary_user_keeps_state_below_home(monkeypatch):
    """Without root the state lies where the user may write."""
    monkeypatch.setattr("os.geteuid", lambda: 501)
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_STATE_HOME", "/home/ann/.state")
    assert default_state_dir() == Path("/home/ann/.state/kevmond")


def test_mac_keeps_state_in_application_support(monkeypatch):
    """On macOS the system's own place for such files is used."""
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("sys.platform", "darwin")
    assert default_state_dir() == Path("/Library/Application Support/kevmond")


def test_named_configuration_is_the_only_one_looked_for(monkeypatch):
    """$KEVMOND_CONFIG replaces the search path."""
    monkeypatch.setenv("KEVMOND_CONFIG", "/x/kevmond.toml")
    assert config_search_path() == [Path("/x/kevmond.toml")]

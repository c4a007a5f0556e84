"""From a TOML file to settings, and what is said of mistakes."""

from pathlib import Path

import pytest

from kevmond.config.loader import check_secrets, exposed_secrets, load, state_folder
from kevmond.errors import ConfigError
from kevmond.paths import default_state_dir

SHIPPED = Path(__file__).parents[2] / "config/kevmond.toml"


@pytest.fixture
def written(tmp_path):
    """Write a configuration and return its path."""

    def write(text):
        path = tmp_path / "kevmond.toml"
        path.write_text(text)
        return path

    return write


def complaints(path, **more):
    """Return what loading `path` complains of, one line each, without the file's name."""
    with pytest.raises(ConfigError) as caught:
        load(path, **more)
    lines = str(caught.value).splitlines()
    assert all(line.startswith(f"{path}: ") for line in lines)
    return [line.removeprefix(f"{path}: ") for line in lines]


def test_shipped_file_is_the_built_in_configuration(written):
    """The commented default file sets what holds anyway, no more and no less."""
    assert load(written(SHIPPED.read_text())).settings == load(search=False).settings


def test_without_sinks_there_are_a_log_and_a_file():
    """A configuration that names no sink gets the two that a first user wants."""
    assert {name: sink.type for name, sink in load(search=False).settings.sinks.items()} == {
        "log": "log",
        "jsonl": "jsonl",
    }


def test_naming_no_sinks_at_all_is_possible(written):
    """An empty [sinks] table means none."""
    assert load(written("[sinks]\n")).settings.sinks == {}


def test_relative_files_lie_below_the_state_dir(written):
    """Journal and event file follow the state folder."""
    path = written('[daemon]\nstate_dir = "/var/x"\n[sinks.a]\ntype = "jsonl"\npath = "e.jsonl"\n')
    settings = load(path).settings
    assert settings.sinks["a"].path == Path("/var/x/e.jsonl")
    assert settings.journal.path.parent == Path("/var/x")


def test_unknown_key_names_the_nearest(written):
    """A mistyped key is answered with its place and the key that was meant."""
    assert complaints(written("[capture]\nrecieve_space = 1\n")) == [
        "capture.recieve_space: unknown key; did you mean receive_space?"
    ]


def test_unknown_section_lists_what_is_known(written):
    """A section nobody knows is answered with the sections there are."""
    (line,) = complaints(written("[zebra]\nx = 1\n"))
    assert line.startswith("zebra: unknown key; known here: api, capture, control, daemon, journal")


def test_unknown_key_of_a_sink_names_the_nearest(written):
    """The keys of a sink's own settings are known too."""
    lines = complaints(written('[sinks.f]\ntype = "jsonl"\npth = "x"\n'))
    assert "sinks.f.pth: unknown key; did you mean path?" in lines


def test_every_mistake_is_told_at_once(written):
    """Three mistakes in three sections give three lines."""
    lines = complaints(
        written('[daemon]\nlog_level = "loud"\n[kernel]\nspeed = -1\n[sinks.a]\ntype = "jsonll"\n')
    )
    assert [line.split(":")[0] for line in lines] == ["daemon.log_level", "kernel.speed", "sinks.a"]
    assert "jsonl" in lines[2]


def test_wrong_value_is_shown(written):
    """A value out of range is told with what was given."""
    (line,) = complaints(written("[kernel]\nspeed = -1\n"))
    assert line == "kernel.speed: Input should be greater than 0 (it is -1)"


def test_sink_without_type_is_told_the_types(written):
    """A sink must say what it is, and the answer lists what there is."""
    (line,) = complaints(written('[sinks.a]\npath = "x"\n'))
    assert line.startswith('sinks.a: say what kind it is: type = "jsonl" (')
    assert "log" in line


def test_broken_toml_names_line_and_column(written):
    """Text that is no TOML is told with its place."""
    (line,) = complaints(written("[daemon\n"))
    assert line.startswith("not TOML: ")
    assert "line 1" in line


def test_file_that_others_may_change_is_refused(written):
    """Every reason is a line of its own, as mistakes are, with the command that helps."""
    path = written("")
    path.chmod(0o602)
    path.parent.chmod(0o702)
    file, folder = complaints(path)
    assert file.startswith("everybody may change it (")
    assert file.endswith(f"chmod o-w {path}")
    assert folder.startswith("everybody may put another file in its place (")
    assert folder.endswith(f"chmod o-w {path.parent}")


def test_missing_file_says_how_to_name_another(tmp_path):
    """A file that is not there is an error when it was asked for."""
    assert complaints(tmp_path / "none.toml") == [
        "No such file or directory; give another file by --config"
    ]


def test_override_wins_over_the_file(written):
    """--set changes one key over the file, its value being TOML or plain text."""
    path = written('[kernel]\nsource = "darwin"\nspeed = 1.0\n')
    kernel = load(path, overrides=["kernel.source=simulated", "kernel.speed=2.5"]).settings.kernel
    assert (kernel.source, kernel.speed) == ("simulated", 2.5)


def test_override_without_a_key_is_refused(written):
    """--set needs a key and a value."""
    with pytest.raises(ConfigError, match=r"--set speed: write it as section\.key=value"):
        load(written(""), overrides=["speed"])


def test_secrets_are_found_wherever_they_are():
    """A secret that cannot be read is named by its key."""
    from pydantic import BaseModel

    from kevmond.secret import Secret

    class Inner(BaseModel):
        tokens: list[Secret]

    class Outer(BaseModel):
        inner: dict[str, Inner]

    outer = Outer(inner={"a": Inner(tokens=["env:KEVMOND_NO_SUCH"])})
    assert check_secrets(outer) == [
        "inner.a.tokens.0: secret env:KEVMOND_NO_SUCH: the variable is not set"
    ]


def test_secrets_that_everybody_may_read_are_named(written, tmp_path):
    """Such a secret works, and is told by its key, with the command that helps."""
    for name, mode in (("open", 0o644), ("private", 0o600)):
        (tmp_path / name).write_text("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n")
        (tmp_path / name).chmod(mode)
    text = '[sinks.{0}]\ntype = "webhook"\nurl = "https://x.example"\nsecret = "file:{1}/{0}"\n'
    path = written(text.format("open", tmp_path) + text.format("private", tmp_path))
    settings = load(path).settings
    assert check_secrets(settings) == []
    (line,) = exposed_secrets(settings)
    assert line.startswith(f"sinks.open.secret.0: secret file:{tmp_path}/open: everybody may read")


def test_a_running_daemon_s_folder_is_the_default(written, tmp_path):
    """A reload of a file that names no state folder keeps the one in use; one that does is told."""
    assert load(written(""), state_dir=tmp_path).settings.daemon.state_dir == tmp_path
    named = written('[daemon]\nstate_dir = "/var/x"\n')
    assert load(named, state_dir=tmp_path).settings.daemon.state_dir == Path("/var/x")


def test_state_folder_is_found_in_a_configuration_that_is_refused(written, monkeypatch, tmp_path):
    """Whoever asks a running daemon finds it, whatever became of the file meanwhile."""
    wrong = '[daemon]\nstate_dir = "/var/x"\nnonsense = 1\n[sinks.a]\n'
    assert state_folder(written(wrong)) == Path("/var/x")
    assert state_folder(written("[sinks.a]\n")) == default_state_dir()
    monkeypatch.setenv("KEVMOND_CONFIG", str(written(wrong)))
    assert state_folder() == Path("/var/x")
    with pytest.raises(ConfigError, match="not TOML"):
        state_folder(written("[daemon\n"))
    monkeypatch.setenv("KEVMOND_CONFIG", str(tmp_path / "none"))
    assert state_folder() == default_state_dir()


def test_group_without_user_is_a_mistake(written):
    """A group to go on with makes sense with a user to go on as."""
    (line,) = complaints(written('[daemon]\ngroup = "staff"\n'))
    assert line.startswith("daemon: group is for the user to go on as: name daemon.user, too")


def test_unknown_kernel_is_told_with_the_known_ones(written):
    """A kernel that does not exist is a mistake of the configuration, found before the start."""
    (line,) = complaints(written('[kernel]\nsource = "linux"\n'))
    assert line.startswith("kernel.source: there is no kernel 'linux'; say one of: auto, darwin")


def test_home_of_nobody_is_a_mistake_of_its_key(written):
    """A `~user` that does not exist is told like any other wrong value."""
    (line,) = complaints(written('[daemon]\nstate_dir = "~nosuch-user/x"\n'))
    assert line.startswith("daemon.state_dir: ")
    lines = complaints(written('[sinks.f]\ntype = "jsonl"\npath = "~nosuch-user/x"\n'))
    assert lines[0].startswith("sinks.f.path: ")


def test_running_daemon_keeps_its_folder(written):
    """On a reload relative files stay in the folder in use, whatever the file says by now."""
    path = written('[daemon]\nstate_dir = "/new"\n')
    settings = load(path, state_dir=Path("/old")).settings
    assert settings.journal.path.parent == settings.sinks["jsonl"].path.parent == Path("/old")
    assert settings.daemon.state_dir == Path("/new")


def test_a_channel_s_mistakes_are_told_with_its_key(written):
    """A [control] section is checked for its keys, its values, and for what it can connect to."""
    lines = complaints(
        written('[control.foo]\ncontrl = "x"\n[control.bar]\nprotocol = "raw"\nsubscribe = ["x"]\n')
    )
    assert "control.foo.contrl: unknown key; did you mean control?" in lines
    assert any(line.startswith("control.bar.subscribe") for line in lines)
    too_long = "x" * 96
    (line,) = complaints(written(f"[control.{too_long}]\n"))
    assert f"control.{too_long}" in line


def test_two_sinks_on_one_file_are_refused(tmp_path):
    """The second would wait for the first, which is the same daemon, for ever."""
    lines = [
        "[sinks.a]",
        "type = 'jsonl'",
        "[sinks.b]",
        "type = 'jsonl'",
        "path = 'x/../events.jsonl'",
    ]
    path = tmp_path / "kevmond.toml"
    path.write_text("\n".join(lines))
    with pytest.raises(ConfigError, match=r"sinks\.b\.path: .* is that of sinks\.a"):
        load(path)
    path.write_text("\n".join([*lines, "enabled = false"]))
    assert set(load(path).settings.sinks) == {"a", "b"}

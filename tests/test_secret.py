"""Secrets by reference."""

import pytest
from pydantic import BaseModel, ValidationError

from kevmond.errors import ConfigError
from kevmond.secret import Secret, shown


class Model(BaseModel):
    token: Secret


def test_environment_reference_is_revealed(monkeypatch):
    """`env:NAME` is the value of that variable."""
    monkeypatch.setenv("A_TOKEN", "s3cret")
    assert Model(token="env:A_TOKEN").token.reveal() == "s3cret"


def test_file_reference_is_revealed_without_its_newline(tmp_path):
    """`file:/path` is the text of that file, its last newline apart."""
    (tmp_path / "token").write_text("s3cret\n")
    assert Model(token=f"file:{tmp_path}/token").token.reveal() == "s3cret"


def test_secret_in_clear_is_refused():
    """A secret written into the configuration is refused with the two ways to give it."""
    with pytest.raises(ValidationError, match="write env:NAME or file:/path"):
        Model(token="s3cret")


def test_dumps_hold_the_reference_only(monkeypatch):
    """Neither a dump nor a repr shows the secret."""
    monkeypatch.setenv("A_TOKEN", "s3cret")
    model = Model(token="env:A_TOKEN")
    model.token.reveal()
    assert model.model_dump(mode="json") == {"token": "env:A_TOKEN"}
    assert "s3cret" not in repr(model) + model.model_dump_json()


@pytest.mark.parametrize(
    ("reference", "why"),
    [
        ("env:KEVMOND_NO_SUCH", "the variable is not set"),
        ("file:/no/such/file", "No such file or directory"),
    ],
)
def test_missing_secret_names_its_reference(reference, why):
    """What cannot be revealed is told by its reference and the reason."""
    with pytest.raises(ConfigError, match=f"secret {reference}: {why}"):
        Secret(reference).reveal()


def test_empty_secret_is_refused(tmp_path):
    """An empty secret is a mistake, not a secret."""
    (tmp_path / "token").write_text("\n")
    with pytest.raises(ConfigError, match="it is empty"):
        Secret(f"file:{tmp_path}/token").reveal()


def test_json_schema_says_how_to_write_it():
    """Editors learn that a reference is wanted."""
    assert Model.model_json_schema()["properties"]["token"]["pattern"] == "^(env|file):"


@pytest.mark.parametrize("key", [("sinks", "hook", "secret"), ("secret", 0), ("headers", "x")])
def test_what_may_be_a_secret_is_never_shown(key):
    """An error about a value tells it, but for keys where somebody may have written a secret."""
    assert shown(key, "whsec_VERYSECRET") == ""
    assert shown(("sinks", "hook", "timeout"), -1) == " (it is -1)"


def test_a_secret_written_out_is_refused_once_and_not_repeated():
    """The error says how it is written, and nothing of what was written."""
    with pytest.raises(ValidationError) as caught:
        Model(token="whsec_VERYSECRET")
    (problem,) = caught.value.errors()
    assert "by reference" in problem["msg"]
    assert problem["loc"] == ("token",)

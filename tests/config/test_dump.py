"""Settings back to text."""

import json
import tomllib

import pytest

from kevmond.cli import main
from kevmond.config.dump import json_schema, to_toml
from kevmond.config.loader import load


def test_shown_configuration_can_be_loaded_again(tmp_path):
    """What `config show` prints is a file that gives the same settings."""
    settings = load(search=False, overrides=["sinks.jsonl.keep=3"]).settings
    path = tmp_path / "kevmond.toml"
    path.write_text(to_toml(settings))
    assert load(path).settings == settings


def test_schema_knows_every_section_and_sink():
    """Editors are told the keys of every section and of every installed sink."""
    schema = json_schema()
    assert set(schema["properties"]) == {
        "daemon", "kernel", "capture", "journal", "api", "control", "sinks",
    }  # fmt: skip
    assert schema["$defs"]["sink-jsonl"]["properties"]["type"] == {"const": "jsonl"}
    assert "max_bytes" in schema["$defs"]["sink-jsonl"]["properties"]


def test_schema_references_lead_somewhere():
    """No reference in the schema points to a definition that is not there."""
    text = json.dumps(json_schema())
    named = {part.split('"')[0] for part in text.split('"#/$defs/')[1:]}
    assert named <= set(json_schema()["$defs"])


@pytest.mark.parametrize("word", ["check", "show", "schema"])
def test_config_commands_answer(word, capsys):
    """`kevmond config` checks, shows and describes."""
    with pytest.raises(SystemExit) as stopped:
        main(["config", word])
    assert stopped.value.code == 0
    out = capsys.readouterr().out
    if word == "show":
        assert tomllib.loads(out)["sinks"]["jsonl"]["type"] == "jsonl"
    elif word == "schema":
        assert json.loads(out)["title"] == "kevmond configuration"
    else:
        assert "right; sinks: log, jsonl" in out


def test_schema_says_what_each_key_is_for():
    """Every key of every section and sink has a description."""
    schema = json_schema()
    tables = [schema, *schema["$defs"].values()]
    bare = [
        (table.get("title"), key)
        for table in tables
        for key, found in table.get("properties", {}).items()
        if "description" not in found and "const" not in found
    ]
    assert bare == []

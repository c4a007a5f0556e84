"""`kevmond schema`: the JSON Schema of an event."""

import json


def test_the_schema_is_printed_as_one_line_for_programs(kevmond):
    """Not on a terminal it is compact JSON, and describes the envelope."""
    result = kevmond("schema")
    assert (result.code, result.err) == (0, "")
    assert result.out.count("\n") == 1
    schema = json.loads(result.out)
    assert {"schema", "id", "seq", "time", "payload", "raw"} <= set(schema["properties"])


def test_the_schema_is_readable_on_a_terminal(kevmond, monkeypatch):
    """On a terminal it is indented."""
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert kevmond("schema").out.count("\n") > 100

"""Settings back to text: TOML for people, JSON Schema for editors."""

from __future__ import annotations

from typing import Any

import tomli_w

from kevmond.api.settings import HttpSettings, MetricsSettings
from kevmond.config.settings import Settings
from kevmond.control.settings import ControlSettings
from kevmond.events.describe import field_docs
from kevmond.events.filters import Rule
from kevmond.sinks import registry


def to_toml(settings: Settings) -> str:
    """Return the settings in force as TOML; secrets stand as their references."""
    return tomli_w.dumps(settings.model_dump(mode="json", by_alias=True, exclude_none=True))


def json_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of the configuration, with the settings of every installed sink."""
    schema = Settings.model_json_schema()
    _describe(schema, Settings)
    for name in ("daemon", "kernel", "capture", "journal", "api"):
        model = Settings.model_fields[name].annotation
        assert isinstance(model, type)
        _describe(schema["$defs"][model.__name__], model)
    for part in (HttpSettings, MetricsSettings):
        _describe(schema["$defs"][part.__name__], part)
    sinks = {}
    for name in registry.names():
        own = registry.load(name).Settings.model_json_schema(ref_template="#/$defs/{model}")
        schema["$defs"].update(own.pop("$defs", {}))
        _describe(own, registry.load(name).Settings)
        own["properties"]["type"] = {"const": name}
        sinks[name] = own
        schema["$defs"][f"sink-{name}"] = own
    schema["properties"]["sinks"]["additionalProperties"] = {
        "oneOf": [{"$ref": f"#/$defs/sink-{name}"} for name in sinks]
    }
    schema["$defs"].pop("SinkSettings", None)  # every sink has a definition of its own
    _describe(schema["$defs"]["Rule"], Rule)
    _describe(schema["$defs"]["ControlSettings"], ControlSettings)
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "kevmond configuration"
    return schema


def _describe(schema: dict[str, Any], model: type) -> None:
    """Put the docstrings under a model's fields into its schema.

    The models do not carry them: reading sources would cost every start of the daemon.
    """
    docs = field_docs(model)
    for field, found in model.model_fields.items():  # type: ignore[attr-defined]
        if field in docs:
            schema["properties"][found.alias or field].setdefault("description", docs[field])

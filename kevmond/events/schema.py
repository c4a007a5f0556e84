"""The JSON Schema (draft 2020-12) of an event, derived from the declarations.

The payload is a closed union, told apart by `type`: each known type admits its own layouts and
null, and a type with a number in it, which no declaration has, admits null only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pydantic.json_schema import models_json_schema

from kevmond.events import catalogue
from kevmond.events.describe import class_doc, field_docs
from kevmond.events.event import SCHEMA, Decode, Event, Payload
from kevmond.events.own import OWN
from kevmond.events.payloads.link import LinkEvent
from kevmond.events.revive import OtherPayload

if TYPE_CHECKING:
    from pydantic import BaseModel

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

_OPTIONAL: Final = frozenset({"residue"})
"""Fields left out of the JSON where they are null; all others are always there."""


def json_schema() -> dict[str, Any]:
    """Build the schema that every line of JSON of an event satisfies."""
    models: list[type[BaseModel]] = [Event, OtherPayload, *payloads(), *OWN.values()]
    _, top = models_json_schema(
        [(model, "serialization") for model in models], ref_template="#/$defs/{model}"
    )
    definitions: dict[str, Any] = top["$defs"]
    by_name = {model.__name__: model for model in _all(models)}
    for name, definition in definitions.items():
        if name in by_name:
            _finish(definition, by_name[name])
    definitions.pop(Payload.__name__, None)
    event: dict[str, Any] = definitions.pop(Event.__name__)
    event["properties"]["schema"]["const"] = SCHEMA
    event["properties"]["payload"] = {
        "anyOf": [{"type": "object"}, {"type": "null"}],
        "description": event["properties"]["payload"]["description"],
    }
    event["allOf"] = _union()
    return {"$schema": DIALECT, "title": f"Event of {SCHEMA}"} | event | {"$defs": definitions}


def payloads() -> list[type[Payload]]:
    """All payloads a kernel posts, in order of the catalogue, each once."""
    found: dict[type[Payload], None] = {LinkEvent: None}
    for kind in catalogue.kinds():
        for variant in kind.variants:
            found[variant.payload] = None
    return list(found)


def _all(models: list[type[BaseModel]]) -> list[type[BaseModel]]:
    """Models, and those of kevmond's that are pieces of them."""
    from kevmond.events import own  # noqa: PLC0415 - the pieces, which have no list

    return [*models, own.InterfaceState, own.Change]


def _union() -> list[dict[str, Any]]:
    """Tie payloads to types: one rule for all types of the same payloads, one for the rest."""
    types: dict[tuple[str, ...], list[str]] = {}
    for kind in catalogue.kinds():
        names = tuple(variant.payload.__name__ for variant in kind.variants)
        types.setdefault(names, []).append(kind.type)
    for own_type, payload in OWN.items():
        types.setdefault((payload.__name__,), []).append(own_type)
    known = [word for words in types.values() for word in words]
    own_one = {"pattern": r"^kevmond\."}
    malformed = {"const": Decode.MALFORMED.value}
    sound = {"not": malformed}
    return [
        *(
            _rule({"type": {"enum": words}, "decode": sound}, names)
            for names, words in types.items()
        ),
        _rule({"type": {**own_one, "not": {"enum": known}}}, (OtherPayload.__name__,)),
        _rule({"type": {"not": {"anyOf": [{"enum": known}, own_one]}}}, ()),
        # a payload that ends too early may still tell its interface
        _rule({"decode": malformed}, (LinkEvent.__name__,)),
    ]


def _rule(condition: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    admitted: list[dict[str, Any]] = [{"$ref": f"#/$defs/{name}"} for name in names]
    return {
        "if": {"properties": condition},
        "then": {"properties": {"payload": {"anyOf": [*admitted, {"type": "null"}]}}},
    }


def _finish(definition: dict[str, Any], model: type[BaseModel]) -> None:
    """Add what the fields mean and which are always there; leave titles out, which say nothing."""
    definition["description"] = class_doc(model)
    definition.pop("title", None)
    docs = field_docs(model)
    by_alias = {field.alias: name for name, field in model.model_fields.items() if field.alias}
    properties = definition.get("properties", {})
    for name, told in properties.items():
        told.pop("title", None)
        told.pop("default", None)
        meaning = docs.get(by_alias.get(name, name))
        if meaning:
            told["description"] = meaning
    if properties:
        definition["required"] = [name for name in properties if name not in _OPTIONAL]

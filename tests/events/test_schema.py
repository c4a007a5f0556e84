"""The JSON Schema of an event: what is written satisfies it, what is wrong does not."""

import json
import re

import pytest

from kevmond.events import catalogue
from kevmond.events.decoder import Decoder
from kevmond.events.event import Event
from kevmond.events.own import OWN, Loss, Snapshot, own_record
from kevmond.events.own import InterfaceState as State
from kevmond.events.revive import revive
from kevmond.events.schema import json_schema

TYPES = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
}


@pytest.fixture(scope="module")
def schema():
    """Give the schema as `kevmond schema` prints it."""
    return json.loads(json.dumps(json_schema()))


def problems(schema, value, root, path="$"):  # noqa: C901, PLR0912 - a rule a keyword
    """Tell what is wrong with a value, by those rules of JSON Schema that the schema uses."""
    known = {"$ref", "allOf", "anyOf", "if", "then", "not", "type", "const", "enum", "pattern"}
    known |= {"properties", "required", "additionalProperties", "items", "$defs", "$schema"}
    known |= {"title", "description", "readOnly"}
    assert set(schema) <= known, set(schema) - known
    if "$ref" in schema:
        yield from problems(
            root["$defs"][schema["$ref"].removeprefix("#/$defs/")], value, root, path
        )
    for part in schema.get("allOf", []):
        yield from problems(part, value, root, path)
    if "anyOf" in schema and all(any(problems(s, value, root)) for s in schema["anyOf"]):
        yield f"{path} is none of the alternatives"
    if "if" in schema and not any(problems(schema["if"], value, root)):
        yield from problems(schema["then"], value, root, path)
    if "not" in schema and not any(problems(schema["not"], value, root)):
        yield f"{path} is what it must not be"
    if "type" in schema:
        is_bool = isinstance(value, bool) and schema["type"] != "boolean"
        if not isinstance(value, TYPES[schema["type"]]) or is_bool:
            yield f"{path} is no {schema['type']}"
    if "const" in schema and value != schema["const"]:
        yield f"{path} is not {schema['const']}"
    if "enum" in schema and value not in schema["enum"]:
        yield f"{path} is not one of {schema['enum']}"
    if "pattern" in schema and isinstance(value, str) and not re.search(schema["pattern"], value):
        yield f"{path} does not match {schema['pattern']}"
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        for name in schema.get("required", []):
            if name not in value:
                yield f"{path}.{name} is missing"
        for name, item in value.items():
            if name in properties:
                yield from problems(properties[name], item, root, f"{path}.{name}")
            elif schema.get("additionalProperties", True) is False:
                yield f"{path}.{name} is unknown"
    if isinstance(value, list) and "items" in schema:
        for number, item in enumerate(value):
            yield from problems(schema["items"], item, root, f"{path}[{number}]")


def test_every_golden_line_satisfies_the_schema(schema, captures, context):
    """What kevmond writes for each record of XNU's is what the schema says."""
    decoder = Decoder(context)
    for trigger, raw in captures:
        line = decoder.event(raw, seq=1, time="t").json_line()
        assert list(problems(schema, json.loads(line), schema)) == [], trigger


def test_every_layout_and_every_damage_satisfies_the_schema(schema, decode, make):
    """Zeros of every layout, cut and lengthened ones, and garbage, are events by the schema."""
    messages = [b"", b"\x01\x02", make(9, 9, 9, b"x"), make(1, 2, 99), make(1, 1, 1, total=9)]
    for kind in catalogue.kinds():
        place = kind.key[1:]
        messages += [make(*place, bytes(v.payload.SIZE)) for v in kind.variants]
        messages += [make(*place, bytes(30)), make(*place, b"\xff" * 300), make(*place)]
    for raw in messages:
        line = json.loads(decode(raw).json_line())
        assert list(problems(schema, line, schema)) == [], line


def test_kevmonds_own_records_satisfy_the_schema(schema, context):
    """Own records, those of another version and damaged ones are in the union too."""
    loss = own_record(context, Loss(lost=1, total=1, source="tail"), seq=1, wall_ns=0)
    shot = own_record(context, Snapshot(cause="start", state=State(name="en0")), seq=1, wall_ns=0)
    other = loss.body.replace(b"kevmond.loss", b"kevmond.other")
    for line in (
        loss.line,
        shot.line,
        revive(context, 1, 0, "o", other).line,
        revive(context, 1, 0, "o", b"{").line,
    ):
        assert list(problems(schema, json.loads(line), schema)) == []


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"schema": "kevmond/2"}, "schema"),
        ({"severity": "loud"}, "severity"),
        ({"type": "network.inet.new-addr"}, "payload"),
        ({"type": "network.dl.99"}, "payload"),
        ({"payload": {"if_family": "ethernet"}}, "payload"),
        ({"payload": {"if_family": "etherlink", "if_unit": 0, "if_name": "en"}}, "payload"),
        ({"code": "13"}, "code"),
    ],
)
def test_what_is_wrong_does_not_satisfy_the_schema(schema, decode, make, link, change, problem):
    """The union is closed: a payload of another type, a missing or a wrong field are refused."""
    line = json.loads(decode(make(1, 2, 13, link())).json_line())
    assert list(problems(schema, line, schema)) == []
    found = list(problems(schema, line | change, schema))
    assert found
    assert all(problem in each for each in found)


def test_field_of_a_later_version_satisfies_the_schema(schema, decode, make, link):
    """Fields may be added to the envelope: a reader of today takes a line of tomorrow."""
    line = json.loads(decode(make(1, 2, 13, link())).json_line()) | {"surprise": 1}
    assert list(problems(schema, line, schema)) == []
    assert Event.model_validate(line | {"payload": None}).type == "network.dl.link-on"


def test_every_type_is_in_the_union(schema):
    """Each kind of event, and each of kevmond's own records, has its rule."""
    known = {
        word
        for rule in schema["allOf"]
        for word in rule["if"]["properties"].get("type", {}).get("enum", [])
    }
    assert known == {kind.type for kind in catalogue.kinds()} | set(OWN)


def test_every_field_says_what_it_means(schema):
    """No field of the envelope or a payload is without a description."""
    for name, definition in [("Event", schema), *schema["$defs"].items()]:
        assert definition.get("description"), name
        for field, told in definition.get("properties", {}).items():
            assert told.get("description"), f"{name}.{field}"

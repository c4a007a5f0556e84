"""The API's description: sound, and whole."""

import json
import re

import pytest
from openapi_spec_validator import validate

from kevmond.api import openapi, questions
from kevmond.api.routes import routes

DOCUMENT = openapi.document(routes())
SERVED = {(each.method, each.path) for each in routes() if each.path.startswith("/v1/")}


def operations():
    """Every operation of the document."""
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def test_document_is_sound():
    """A validator of OpenAPI 3.1 has nothing to say."""
    assert DOCUMENT["openapi"] == "3.1.0"
    validate(DOCUMENT)


def test_every_route_is_described_and_nothing_else():
    """What is served is described, and what is described is served."""
    assert {(method, path) for method, path, _ in operations()} == SERVED
    known = {key for family in openapi.FAMILIES.values() for key in family.OPERATIONS}
    assert known == SERVED


def test_route_without_an_operation_is_noticed():
    """Nobody adds a route and forgets to describe it."""

    class Route:
        method, path, handler = "GET", "/v1/new", None

    with pytest.raises(KeyError):
        openapi.document([Route])


def test_every_operation_says_what_it_is_for():
    """Summaries are those of the handlers, and identifiers are unique."""
    seen = set()
    for _, path, operation in operations():
        assert operation["summary"], path
        assert operation["operationId"] not in seen
        seen.add(operation["operationId"])
    assert "getEventsByIdExplain" in seen


def test_parts_of_a_path_are_parameters():
    """Each name in braces is described, and no other."""
    for _, path, operation in operations():
        told = {each["name"] for each in operation["parameters"] if each["in"] == "path"}
        assert told == set(re.findall(r"\{(\w+)\}", path))


def test_names_of_shapes_are_unique():
    """No payload of an event has the name of an answer."""
    names = [name for family in openapi.FAMILIES.values() for name in family.SCHEMAS]
    assert len(names) == len(set(names))
    assert not set(names) & set(openapi._event_schemas())
    bodies = [
        it.body.__name__
        for f in openapi.FAMILIES.values()
        for it in f.OPERATIONS.values()
        if it.body
    ]
    assert not set(bodies) & {*names, *openapi._event_schemas()}


def test_every_reference_leads_somewhere_and_every_shape_is_used():
    """There are neither dangling references nor forgotten shapes."""
    text = json.dumps(DOCUMENT)
    targets = set(re.findall(r'"#/components/schemas/(\w+)"', text))
    assert targets == set(DOCUMENT["components"]["schemas"])
    assert '"#/$defs/' not in text


def test_conditions_have_all_their_keys():
    """What a question about events may have is what is described."""
    for path in ("/v1/events", "/v1/events/stream", "/v1/events/counts"):
        told = {each["name"] for each in DOCUMENT["paths"][path]["get"]["parameters"]}
        assert set(questions.CONDITION) <= told


async def test_document_is_served(ask, server):
    """Whoever asks gets it, again and again."""
    assert await ask("GET", "openapi.json") == json.loads(json.dumps(DOCUMENT))
    assert await ask("GET", "openapi.json") == json.loads(json.dumps(DOCUMENT))

"""The API described by OpenAPI 3.1: from the routes that are served, and `operations`.

Built when it is first asked for, in a thread: the union of all events takes a while.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from kevmond import __version__
from kevmond.api.operations import events, interfaces, server, status, webhooks
from kevmond.api.operations.shapes import JSON, ref
from kevmond.events.schema import json_schema

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aiohttp import web

    from kevmond.api.answers import Body
    from kevmond.api.operations.shapes import Operation

VERSION: Final = "3.1.0"
PREFIX: Final = "/v1/"
"""What is below is the API; the rest of what is served are the live page's files."""
FAMILIES: Final = {
    "events": events,
    "interfaces": interfaces,
    "webhooks": webhooks,
    "status": status,
    "server": server,
}
"""Modules with SCHEMAS and OPERATIONS, by the tag of their operations."""

_EVERYWHERE: Final = {
    401: "on loopback: there is no token, or it is wrong",
    403: "another web page asks",
    421: "on loopback: the name in Host is none of ours",
    422: "something in the request is wrong, which `error` names",
}
_ABOUT: Final = """\
A running kevmond, asked over HTTP/1.1: at the Unix socket `kevmond.sock` in its state folder, where
the kernel tells who calls, or on loopback with the token that `kevmond open` hands out.  Times are
RFC 3339 in UTC.  docs/api.md has examples."""


def document(routes: Iterable[web.RouteDef]) -> dict[str, Any]:
    """Return the description of what is served; KeyError if a route has no operation."""
    known = {
        key: (tag, it) for tag, family in FAMILIES.items() for key, it in family.OPERATIONS.items()
    }
    paths: dict[str, dict[str, Any]] = {}
    bodies: dict[str, Any] = {}
    for route in routes:
        if route.path.startswith(PREFIX):
            tag, operation = known[route.method, route.path]
            described = _described(route, tag, operation)
            if operation.body is not None:
                bodies |= _body_schemas(operation.body)
            paths.setdefault(route.path, {})[route.method.lower()] = described
    schemas = {
        name: shape for family in FAMILIES.values() for name, shape in family.SCHEMAS.items()
    }
    return {
        "openapi": VERSION,
        "info": {"title": "kevmond", "version": __version__, "description": _ABOUT},
        "servers": [{"url": "/"}],
        "security": [{}, {"token": []}],
        "tags": [{"name": tag, "description": _doc(family)} for tag, family in FAMILIES.items()],
        "paths": paths,
        "components": {
            "schemas": {**schemas, **bodies, **_event_schemas()},
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "On loopback only."}
            },
        },
    }


def _described(route: web.RouteDef, tag: str, operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "tags": [tag],
        "summary": _doc(route.handler).removesuffix("."),
        "operationId": _operation_id(route),
        "parameters": [each.described() for each in operation.parameters],
    }
    if operation.body is not None:
        schema = ref(operation.body.__name__)
        described["requestBody"] = {"content": {JSON: {"schema": schema}}}
    answers = {
        code: {
            "description": answer.text,
            "content": {kind: {"schema": answer.shape} for kind in answer.kinds},
        }
        for code, answer in operation.answers.items()
    }
    for code, text in {**_EVERYWHERE, **operation.refusals}.items():
        answers.setdefault(code, {"description": text, "content": {JSON: {"schema": ref("Error")}}})
    described["responses"] = {str(code): answers[code] for code in sorted(answers)}
    return described


def _operation_id(route: web.RouteDef) -> str:
    """Return a name such as `getEventsByIdExplain`."""
    words = re.findall(r"\{?[a-z]+\}?", route.path.removeprefix(PREFIX)) or ["root"]
    parts = [f"By{word[1:-1].title()}" if word[0] == "{" else word.title() for word in words]
    return route.method.lower() + "".join(parts)


def _doc(of: Any) -> str:
    """Return the first paragraph of a docstring in one line."""
    return " ".join((of.__doc__ or "").split("\n\n")[0].split())


def _body_schemas(model: type[Body]) -> dict[str, Any]:
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    return {**schema.pop("$defs", {}), model.__name__: schema}


def _event_schemas() -> dict[str, Any]:
    """Return the schema of an event, and of every payload, as components."""
    event = _moved(json_schema())
    event.pop("$schema", None)
    payloads = event.pop("$defs")
    return {"Event": event, **payloads}


def _moved(value: Any) -> Any:
    """Return a schema whose references lead to components."""
    if isinstance(value, dict):
        moved = {key: _moved(each) for key, each in value.items()}
        if isinstance(target := moved.get("$ref"), str):
            moved["$ref"] = target.replace("#/$defs/", "#/components/schemas/")
        return moved
    return [_moved(each) for each in value] if isinstance(value, list) else value

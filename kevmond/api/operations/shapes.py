"""How operations and the JSON that they answer are written down.

Shapes are JSON Schema (2020-12), which is what OpenAPI 3.1 describes JSON by.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kevmond.api.answers import Body

Shape = dict[str, Any]

TEXT: Final[Shape] = {"type": "string"}
WHOLE: Final[Shape] = {"type": "integer"}
NUMBER: Final[Shape] = {"type": "number"}
YES: Final[Shape] = {"type": "boolean"}
TIME: Final[Shape] = {"type": "string", "format": "date-time"}
ANYTHING: Final[Shape] = {"type": "object"}
JSON: Final = "application/json"

_PREFIX: Final = "#/components/schemas/"


def ref(name: str) -> Shape:
    """Return a reference to a shape that has a name."""
    return {"$ref": f"{_PREFIX}{name}"}


def maybe(shape: Shape) -> Shape:
    """Return the shape of something that may be null."""
    kind = shape.get("type")
    if isinstance(kind, str) and "enum" not in shape:
        return {**shape, "type": [kind, "null"]}
    return {"anyOf": [shape, {"type": "null"}]}


def many(shape: Shape) -> Shape:
    """Return the shape of a list."""
    return {"type": "array", "items": shape}


def words(*known: str) -> Shape:
    """Return the shape of one of a few words."""
    return {"type": "string", "enum": list(known)}


def table(shape: Shape) -> Shape:
    """Return the shape of an object whose keys are names of any kind."""
    return {"type": "object", "additionalProperties": shape}


def told(shape: Shape, text: str) -> Shape:
    """Return a shape with what it means."""
    return {**shape, "description": text}


def record(maybe_absent: Mapping[str, Shape] | None = None, /, **fields: Shape) -> Shape:
    """Return the shape of an object with these keys; those that come first may be left out."""
    properties = {name.rstrip("_"): shape for name, shape in fields.items()}
    required = list(properties)
    return {
        "type": "object",
        "properties": {**properties, **(maybe_absent or {})},
        "required": required,
    }


@dataclass(frozen=True, slots=True)
class Parameter:
    """A key of the query, a part of the path, or a header."""

    name: str
    text: str
    shape: Shape = field(default_factory=lambda: TEXT)
    place: str = "query"

    def described(self) -> dict[str, Any]:
        """Return it as OpenAPI has it."""
        described: dict[str, Any] = {
            "name": self.name,
            "in": self.place,
            "description": self.text,
            "schema": self.shape,
        }
        if self.place == "path":
            described["required"] = True
        if self.shape.get("type") == "array":
            described.update(style="form", explode=True)
        return described


@dataclass(frozen=True, slots=True)
class Answer:
    """What comes back: its meaning, and its shape by media type."""

    text: str
    shape: Shape
    kinds: tuple[str, ...] = (JSON,)


@dataclass(frozen=True, slots=True)
class Operation:
    """One method at one path; its handler's docstring says what it is for."""

    answers: Mapping[int, Answer]
    parameters: tuple[Parameter, ...] = ()
    body: type[Body] | None = None
    refusals: Mapping[int, str] = field(default_factory=dict)
    """Statuses of refusals, beside those that every operation has, and when they are given."""


def one(text: str, shape: Shape, status: int = 200) -> dict[int, Answer]:
    """Return the answers of an operation that has one."""
    return {status: Answer(text, shape)}

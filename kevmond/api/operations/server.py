"""The API itself: who answers, its description, and the way to the live page."""

from __future__ import annotations

from typing import Final

from kevmond.api.operations.shapes import (
    ANYTHING,
    TEXT,
    WHOLE,
    Operation,
    Shape,
    one,
    record,
    told,
)

SCHEMAS: Final[dict[str, Shape]] = {
    "Error": record(
        error=told(TEXT, "What is wrong; a line each where there are several things."),
        hint=told(TEXT, "What to do about it; empty where there is nothing to add."),
    ),
}

OPERATIONS: Final = {
    ("GET", "/v1/"): Operation(one("Who answers", record(name=TEXT, version=TEXT, pid=WHOLE))),
    ("GET", "/v1/openapi.json"): Operation(one("This description", ANYTHING)),
    ("POST", "/v1/page"): Operation(
        one("The address, with the token of this run in its fragment", record(url=TEXT)),
        refusals={409: "no port can be listened at"},
    ),
}

"""What is wrong with settings, in lines that name the key and the way out."""

from __future__ import annotations

import difflib
import typing
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from kevmond.secret import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pydantic import ValidationError


def mistakes(
    model: type[BaseModel], error: ValidationError, prefix: tuple[str, ...] = ()
) -> Iterator[str]:
    """Yield one line for every mistake; keys stand below `prefix`.

    A line about all of it together has no key.  What may be a secret is not repeated.
    """
    for problem in error.errors(include_url=False):
        location = problem["loc"]
        key = ".".join([*prefix, *(str(part) for part in location)])
        if problem["type"] == "extra_forbidden":
            known = _known_keys(model, location[:-1])
            near = difflib.get_close_matches(str(location[-1]), known, 1)
            hint = f"did you mean {near[0]}?" if near else f"known here: {', '.join(sorted(known))}"
            yield f"{key}: unknown key; {hint}"
        else:
            message = problem["msg"].removeprefix("Value error, ")
            told = f"{message}{shown(location, problem['input'])}"
            yield f"{key}: {told}" if key else told


def _known_keys(model: type[BaseModel], location: Iterable[int | str]) -> list[str]:
    """Return the keys that may stand at `location`, found by walking the models' annotations."""
    here: Any = model
    for part in location:
        if isinstance(here, type) and issubclass(here, BaseModel):
            field = here.model_fields.get(str(part))
            here = field.annotation if field is not None else None
        else:
            here = next(iter(_models(here)), None)
    models = _models(here)
    return [field.alias or name for found in models for name, field in found.model_fields.items()]


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in typing.get_args(annotation) for model in _models(part)]

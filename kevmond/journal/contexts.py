"""The text of a context: how the database holds what decoding needs beside the bytes."""

from __future__ import annotations

import json
from typing import Any

from kevmond.events.event import Context


def context_to_json(context: Context) -> str:
    """Text of a context; equal contexts have equal texts."""
    return json.dumps(
        {
            "host": context.host,
            "boot_id": context.boot_id,
            "os_release": context.os_release,
            "os_build": context.os_build,
            "vendor_names": {str(code): name for code, name in context.vendor_names.items()},
        },
        sort_keys=True,
        separators=(",", ":"),
    )


def context_from_json(text: str) -> Context:
    """Inverse of `context_to_json`; ValueError if it is none."""
    fields: Any = json.loads(text)
    try:
        names = {int(code): str(name) for code, name in fields.pop("vendor_names").items()}
        return Context(**fields, vendor_names=names)
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"not a context: {text[:80]!r}") from error

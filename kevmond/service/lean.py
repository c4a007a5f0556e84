"""What a long-running daemon does without, so that it stays small."""

from __future__ import annotations

import os
import sys
from types import ModuleType

_LOADER = "pydantic.plugin._loader"


def without_pydantic_plugins() -> None:
    """Keep pydantic from searching every installed package for plug-ins of its own.

    kevmond uses none, and the search brings in importlib.metadata with email, zipfile and csv:
    2.6 MiB of the daemon's memory.  pydantic's own switch for this (PYDANTIC_DISABLE_PLUGINS)
    comes after those imports, so the module that would do the search is answered for here.  To be
    called before pydantic makes its first model; a pydantic built otherwise does not notice.
    """
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    if _LOADER not in sys.modules:
        stand_in = ModuleType(_LOADER, "No plug-ins (see kevmond.service.lean).")
        stand_in.__dict__["get_plugins"] = tuple
        sys.modules[_LOADER] = stand_in

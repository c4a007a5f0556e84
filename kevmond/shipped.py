"""Files that come with kevmond beside its code: in the installed package, or in a checkout."""

from __future__ import annotations

from pathlib import Path

from kevmond.errors import KevmondError


def shipped(name: str) -> Path:
    """Return where a file of the source tree is, such as config/kevmond.toml.

    A wheel has it in kevmond/data; a checkout, or an editable installation of one, where it is.
    """
    package = Path(__file__).parent
    for place in (package / "data", package.parent):
        if (place / name).is_file():
            return place / name
    raise KevmondError(f"{name} is missing from this installation of kevmond; install it again")

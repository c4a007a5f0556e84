"""Chooses the kernel that a word of the configuration or the command line means."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from kevmond.errors import KevmondError

if TYPE_CHECKING:
    from kevmond.kernel.base import Kernel

WORDS = "auto, darwin, simulated, simulated:PATH, replay:FILE"
"""The accepted words, for messages and help."""


def open_kernel(spec: str) -> Kernel:
    """Make the kernel that `spec` names.

    `darwin` is the real one; `simulated` a new one in this process; `simulated:PATH` one that
    `kevmond simulate --listen PATH` serves; `replay:FILE` a recording; `auto` the real one on macOS
    and a simulated one elsewhere.  KevmondError for anything else, and whatever the kernel itself
    raises; only the chosen kernel's module is imported.
    """
    word, colon, rest = spec.partition(":")
    if word == "auto" and not colon:
        word = "darwin" if sys.platform == "darwin" else "simulated"
    if word == "darwin" and not colon:
        from kevmond.kernel.darwin import DarwinKernel  # noqa: PLC0415 - only the chosen one

        return DarwinKernel()
    if word == "simulated" and not colon:
        from kevmond.kernel.simulated.model import SimulatedKernel  # noqa: PLC0415 - as above

        return SimulatedKernel()
    if word == "simulated" and rest:
        from kevmond.kernel.simulated.remote import RemoteKernel  # noqa: PLC0415 - as above

        return RemoteKernel(rest)
    if word == "replay" and rest:
        from kevmond.kernel.replay import ReplayKernel  # noqa: PLC0415 - as above

        return ReplayKernel(rest)
    raise KevmondError(f"there is no kernel {spec!r}; say one of: {WORDS}")

"""Chooses the kernel that a word of the configuration or the command line means."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from kevmond.errors import ConfigError

if TYPE_CHECKING:
    from kevmond.kernel.base import Kernel

WORDS = "auto, darwin, simulated, simulated:PATH, replay:FILE"
"""The accepted words, for messages and help."""
_ALONE: Final = {("auto", ""), ("darwin", ""), ("simulated", "")}
_WITH_PLACE: Final = {"simulated", "replay"}


def check_spec(spec: str) -> None:
    """Raise ConfigError, with the words that are understood, if `spec` names no kernel."""
    word, colon, rest = spec.partition(":")
    if (word, colon) not in _ALONE and not (word in _WITH_PLACE and rest):
        raise ConfigError(f"there is no kernel {spec!r}; say one of: {WORDS}")


def open_kernel(spec: str) -> Kernel:
    """Make the kernel that `spec` names.

    `darwin` is the real one; `simulated` a new one in this process; `simulated:PATH` one that
    `kevmond simulate --listen PATH` serves; `replay:FILE` a recording; `auto` the real one on macOS
    and a simulated one elsewhere.  ConfigError for anything else, and whatever the kernel itself
    raises; only the chosen kernel's module is imported.
    """
    check_spec(spec)
    word, _, rest = spec.partition(":")
    if word == "auto":
        word = "darwin" if sys.platform == "darwin" else "simulated"
    if word == "darwin":
        from kevmond.kernel.darwin import DarwinKernel  # noqa: PLC0415 - only the chosen one

        return DarwinKernel()
    if word == "simulated" and not rest:
        from kevmond.kernel.simulated.model import SimulatedKernel  # noqa: PLC0415 - as above

        return SimulatedKernel()
    if word == "simulated":
        from kevmond.kernel.simulated.remote import RemoteKernel  # noqa: PLC0415 - as above

        return RemoteKernel(rest)
    from kevmond.kernel.replay import ReplayKernel  # noqa: PLC0415 - as above

    return ReplayKernel(rest)

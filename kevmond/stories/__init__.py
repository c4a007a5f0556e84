"""Stories: named scenarios for a simulated kernel, told by posting declared payloads.

    story = stories.load("vpn")
    await stories.play(story, kernel)

A story is also what a file tells: a TOML file of steps (see `kevmond.stories.toml`), or a recording
(see `kevmond.kernel.recording`).
"""

from __future__ import annotations

import difflib
import os
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final

from kevmond.errors import StoryError
from kevmond.stories.model import Step, Story, StoryKernel, in_turn, play

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Step", "Story", "StoryKernel", "in_turn", "load", "names", "play", "summaries"]

_SHELF: Final[Mapping[str, tuple[str, str]]] = {
    "tour": ("tour.tour", "a bit of everything, in another order each time"),
    "boot": ("boot.boot", "the machine starts: controls, interfaces, then the network"),
    "cable": ("wired.cable", "the cable of en0 is pulled and put back"),
    "dhcp": ("wired.dhcp", "a USB Ethernet adapter: no DHCP server, a lease, another lease"),
    "wifi": ("wireless.wifi_story", "the signal fades, en1 roams to another access point"),
    "vpn": ("tunnel.vpn", "a VPN's utun interface comes, works and goes"),
    "privacy": ("addresses.privacy", "IPv6 temporary addresses take turns"),
    "neighbour": ("addresses.neighbour", "the router falls silent; addresses are used twice"),
    "memory": ("system.memory", "memory runs short"),
    "control": ("system.control_story", "a kernel control is registered and goes"),
    "vendor": ("system.vendor", "a third party's kernel extension posts its own events"),
    "policy": ("system.policy", "processes are refused networks and a port"),
    "sleep": ("system.sleep", "the machine sleeps and is woken by a packet"),
    "storm": ("wired.storm", "10,000 link flaps in a few seconds"),
    "garbage": ("garbage.garbage", "malformed and unknown messages"),
}
"""Name to function in `kevmond.stories.tales`, and what it tells."""


def names() -> list[str]:
    """Names of the built-in stories, the one for want of another first."""
    return list(_SHELF)


def summaries() -> dict[str, str]:
    """Return what each built-in story tells, by name."""
    return {name: summary for name, (_, summary) in _SHELF.items()}


def load(name_or_path: str | os.PathLike[str]) -> Story:
    """Return a built-in story by name, or read one from a file (`.toml`, else a recording).

    Raises StoryError or RecordingError, naming the file and the key or line; for an unknown name
    the error tells the nearest known ones.
    """
    name = os.fspath(name_or_path)
    if name in _SHELF:
        place, summary = _SHELF[name]
        module, _, function = place.partition(".")
        tale = getattr(import_module(f"kevmond.stories.tales.{module}"), function)
        return Story(name, summary, tale)
    path = Path(name)
    if not path.exists() and path.parent == Path() and not path.suffix:
        near = difflib.get_close_matches(name, _SHELF, 1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise StoryError(f"no story {name!r}: {hint}there are {', '.join(_SHELF)}, or give a file")
    if path.suffix == ".toml":
        return import_module("kevmond.stories.toml").read(path)  # type: ignore[no-any-return]
    return import_module("kevmond.stories.recorded").read(path)  # type: ignore[no-any-return]

"""A bit of everything: what a simulated machine does when it is told nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kevmond.stories.model import Step
from kevmond.stories.tales import addresses, system, tunnel, wired, wireless
from kevmond.stories.vocabulary import at, dl, quality
from kevmond.stories.world import EN0, EN1

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator

_LONGEST_PAUSE_S: Final = 2.0
_TALES: Final[tuple[Callable[[random.Random], Iterator[Step]], ...]] = (
    wired.cable,
    wired.dhcp,
    wireless.wifi_story,
    tunnel.vpn,
    addresses.privacy,
    addresses.neighbour,
    system.memory,
    system.control_story,
    system.vendor,
    system.policy,
    system.sleep,
)


def tour(chance: random.Random) -> Iterator[Step]:
    """Tell all quiet stories in an order of chance, without long pauses; looped, for ever."""
    yield at(0, dl("link-on", EN0), "the tour begins: en0 is up")
    yield at(0.3, quality(EN1, 100), "en1 has a good signal")
    for tale in chance.sample(_TALES, len(_TALES)):
        wait = 0.5 + chance.random()
        for number, step in enumerate(tale(chance)):
            after = step.after if number else step.after + wait
            yield Step(min(after, _LONGEST_PAUSE_S), step.action, step.note)

"""A machine starts: the order of events is that of XNU's own start."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kevmond.events.payloads.necp import PoliciesChanged
from kevmond.stories.tales import wired, wireless
from kevmond.stories.vocabulary import at, control, dl, inet, posted, protocol, together
from kevmond.stories.world import AWDL0, EN0, EN1, GIF0, LO0, STF0

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

    from kevmond.stories.model import Step


def boot(chance: random.Random) -> Iterator[Step]:
    """Tell how controls and interfaces appear, then the network comes up."""
    yield from together(
        0,
        control("registered", 1),
        control("registered", 2),
        dl("if-capabilities", LO0),
        dl("if-attached", LO0),
        dl("if-attached", GIF0),
        *(control("registered", number) for number in range(3, 11)),
        protocol("proto-attached", LO0, "inet", 1),
        dl("if-flags", LO0),
        dl("if-attached", STF0),
        note="the kernel starts: controls and pseudo interfaces",
    )
    yield from together(
        0.5,
        dl("if-flags", LO0),
        inet("changed-addr", LO0, "127.0.0.1/8", peer="127.0.0.1"),
        protocol("proto-attached", LO0, "inet6", 2),
        dl("if-flags", LO0),
        note="the loopback interface is configured",
    )
    for interface in (EN0, EN1, AWDL0):
        yield from together(
            0.4,
            dl("if-capabilities", interface),
            dl("if-attached", interface),
            dl("lladdr-changed", interface),
            note=f"the driver of {interface.name} is loaded",
        )
    yield from together(
        0.6,
        dl("if-flags", EN0),
        protocol("proto-attached", EN0, "inet", 1),
        dl("if-flags", EN0),
        protocol("proto-attached", EN0, "inet6", 2),
        dl("if-flags", EN0),
        note="protocols are attached to en0",
    )
    yield from wired.come_up(chance, EN0)
    yield from together(
        0.5,
        dl("if-flags", EN1),
        protocol("proto-attached", EN1, "inet", 1),
        dl("if-flags", EN1),
        protocol("proto-attached", EN1, "inet6", 2),
        dl("if-flags", EN1),
        note="protocols are attached to en1",
    )
    yield from wireless.associate(chance)
    yield at(
        0.5,
        posted("network.necp.policies-changed", PoliciesChanged(changed_count=12)),
        "network policies are loaded",
    )

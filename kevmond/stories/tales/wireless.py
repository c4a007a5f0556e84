"""Wi-Fi: association, roaming, link quality, peers.

The Wi-Fi class comes from closed drivers; numbers and names are a third party's, and what real
events carry is not known, so these carry nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kevmond.stories.vocabulary import (
    at,
    dl,
    inet,
    inet6,
    peer_gone,
    peer_near,
    quality,
    together,
    wifi,
)
from kevmond.stories.world import AWDL0, EN1, NEIGHBOUR_MAC, lease

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

    from kevmond.stories.model import Step

_PEER = "fe80::200:5eff:fe00:530c"


def associate(chance: random.Random) -> Iterator[Step]:
    """Tell how Wi-Fi is switched on and joins a network."""
    yield from together(
        0.5,
        wifi("power-changed"),
        wifi("scan-done"),
        note="Wi-Fi is switched on and looks around",
    )
    yield from together(
        0.6,
        wifi("assoc-done"),
        wifi("ssid-changed"),
        wifi("bssid-changed"),
        wifi("rsn-handshake-done"),
        wifi("link-changed"),
        dl("link-on", EN1),
        quality(EN1, 100),
        note="en1 joins a network",
    )
    yield at(0.9, inet6("new-user-addr", EN1, EN1.link_local, "secured"))
    yield at(0.8, inet("new-addr", EN1, lease(chance)), "en1 gets an address by DHCP")


def wifi_story(chance: random.Random) -> Iterator[Step]:
    """Tell how somebody walks through the building, and the signal goes down and up."""
    yield at(0, quality(EN1, 100), "the signal is good")
    metric = 100
    for note in ("farther from the access point", "", "through a wall"):
        metric -= chance.randint(20, 28)
        yield at(1.2 + 0.6 * chance.random(), wifi("rssi-changed"), note)
        yield at(0.05, quality(EN1, metric))
    yield at(0.8, wifi("roam-start"), "en1 looks for a better access point")
    yield at(0.3, wifi("scan-done"))
    if chance.random() < 0.5:  # noqa: PLR2004 - every other time
        yield from together(
            0.4,
            wifi("deauth-received"),
            wifi("link-changed"),
            dl("link-off", EN1),
            quality(EN1, -2),
            note="the old access point drops it before it found another",
        )
        yield from together(0.9, wifi("assoc-done"), wifi("rsn-handshake-done"), dl("link-on", EN1))
    yield from together(
        0.3,
        wifi("roamed"),
        wifi("bssid-changed"),
        wifi("channel-switch"),
        wifi("roam-end"),
        quality(EN1, 100 - chance.randint(0, 20)),
        note="en1 is with another access point of the same network",
    )
    yield at(1.5, wifi("link-quality"))
    yield at(
        0.7,
        peer_near(AWDL0, _PEER, NEIGHBOUR_MAC, -40 - chance.randint(0, 30)),
        "somebody's telephone comes near",
    )
    yield at(0.1, wifi("awdl-peer-presence"))
    yield at(2.0, peer_gone(AWDL0, _PEER, NEIGHBOUR_MAC), "and goes")

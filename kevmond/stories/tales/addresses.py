"""IPv6 addresses that change for privacy, neighbours that fail, addresses used twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kevmond.stories.vocabulary import (
    address_state,
    advertised,
    at,
    collision,
    inet6,
    prefix_expired,
    reachable,
    router_expired,
    together,
)
from kevmond.stories.world import EN0, EN1, NEIGHBOUR_MAC, PREFIX, SECOND_PREFIX, lease, temporary

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

    from kevmond.stories.model import Step

_ROUTER = "fe80::1"


def privacy(chance: random.Random) -> Iterator[Step]:
    """Tell how temporary addresses of en0 take turns (RFC 8981): new, deprecated, expired."""
    old = temporary(chance)
    yield at(
        0,
        inet6("new-user-addr", EN0, old, "autoconf", "temporary", valid=3, preferred=2),
        "en0 uses a temporary address",
    )
    for _ in range(2):
        new = temporary(chance)
        yield at(1.5, advertised(EN0, PREFIX), "the router advertises the prefix again")
        yield at(
            1.2,
            inet6("new-user-addr", EN0, new, "autoconf", "temporary", valid=3, preferred=2),
            "another temporary address is made, the old one is no longer preferred",
        )
        yield at(0.1, address_state("addr-deprecated", EN0, old))
        yield from together(
            2.0,
            inet6("addr-deleted", EN0, old, "deprecated", "temporary", valid=3, preferred=2),
            address_state("addr-expired", EN0, old),
            note="the old address expires",
        )
        old = new


def neighbour(chance: random.Random) -> Iterator[Step]:
    """Tell how the router falls silent and comes back, and another host uses our addresses."""
    own = lease(chance).partition("/")[0]
    yield at(
        0,
        reachable("network.inet.arp-router-failure", EN0),
        "the router on en0 does not answer ARP",
    )
    yield at(0.4, reachable("network.nd6.nd-failure", EN0), "nor neighbour solicitations")
    yield at(2.0, reachable("network.inet.arp-router-alive", EN0), "the router is back")
    yield at(0.2, reachable("network.nd6.nd-alive", EN0))
    yield from together(
        1.8,
        router_expired(EN1, _ROUTER, 1800),
        prefix_expired(EN1, SECOND_PREFIX),
        note="the router on en1 stays away: it and its prefix expire",
    )
    yield at(
        1.5,
        collision(EN0, own, NEIGHBOUR_MAC),
        f"another host uses {own}, the address of en0",
    )
    twin = temporary(chance)
    flags = ("autoconf", "duplicated")
    yield from together(
        1.5,
        inet6("new-user-addr", EN0, twin, *flags, duplicate_mac=NEIGHBOUR_MAC),
        address_state("dad-failure", EN0, twin),
        note="and an IPv6 address that en0 was about to use",
    )

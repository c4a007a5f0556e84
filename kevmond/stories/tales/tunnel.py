"""A VPN: a utun interface that a program makes by connecting to the utun control."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kevmond.events.payloads.necp import PoliciesChanged
from kevmond.events.payloads.netagent import NetworkAgent
from kevmond.stories.vocabulary import at, dl, inet, inet6, posted, protocol, together
from kevmond.stories.world import (
    AGENT_UUID,
    TUNNEL_ADDRESS,
    TUNNEL_ADDRESS6,
    TUNNEL_PEER,
    UTUN4,
)

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

    from kevmond.stories.model import Post, Step


def _agent(word: str) -> Post:
    return posted(f"network.netagent.{word}", NetworkAgent(agent_uuid=AGENT_UUID))


def _policies(count: int) -> Post:
    return posted("network.necp.policies-changed", PoliciesChanged(changed_count=count))


def vpn(chance: random.Random) -> Iterator[Step]:
    """Tell how a VPN connects and disconnects; the order is what XNU posts for each call."""
    count = chance.randint(3, 9)
    yield from together(
        0,
        dl("if-attached", UTUN4),
        dl("if-flags", UTUN4),
        note="a VPN connects: utun4 is made",
    )
    yield from together(
        0.5,
        protocol("proto-attached", UTUN4, "inet", 1),
        dl("if-flags", UTUN4),
        inet("new-addr", UTUN4, f"{TUNNEL_ADDRESS}/32", peer=TUNNEL_PEER),
        dl("if-mtu", UTUN4),
        note="utun4 gets its addresses",
    )
    yield from together(
        0.2,
        protocol("proto-attached", UTUN4, "inet6", 2),
        dl("if-flags", UTUN4),
        # The global address was seen to be added without an event: no duplicates are looked for.
        inet6("new-ll-addr", UTUN4, UTUN4.link_local, "nodad"),
    )
    yield from together(
        0.4,
        _agent("registered"),
        _agent("updated"),
        _agent("updated-interfaces"),
        _policies(count),
        dl("delegate-changed", UTUN4),
        note="the VPN's network agent takes over the routes",
    )
    yield at(3.0 + 2 * chance.random(), _agent("updated"), "the VPN renews its keys")
    yield from together(
        2.5,
        _agent("updated-interfaces"),
        _agent("unregistered"),
        _policies(count),
        note="the VPN disconnects",
    )
    yield from together(
        0.3,
        inet("addr-deleted", UTUN4, f"{TUNNEL_ADDRESS}/32", peer=TUNNEL_PEER),
        protocol("proto-detached", UTUN4, "inet", 1),
        inet6("addr-deleted", UTUN4, UTUN4.link_local),
        inet6("addr-deleted", UTUN4, TUNNEL_ADDRESS6),
        protocol("proto-detached", UTUN4, "inet6", 0),
        dl("if-flags", UTUN4),
        dl("if-detaching", UTUN4),
        dl("if-detached", UTUN4),
        note="utun4 goes away",
    )

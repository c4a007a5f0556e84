"""The words that stories are told in: each makes one message from its payload declaration."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any, Final

from kevmond.events.encoder import message
from kevmond.events.payloads.ctl import Control
from kevmond.events.payloads.dl import LinkQuality, NodeAbsence, NodePresence, ProtocolChange
from kevmond.events.payloads.inet import ArpAlive, ArpCollision, ArpFailure, Ipv4Address
from kevmond.events.payloads.inet6 import Ipv6Address
from kevmond.events.payloads.link import LinkEvent
from kevmond.events.payloads.nd6 import (
    AddressState,
    NeighbourAlive,
    NeighbourFailure,
    PrefixExpired,
    RouterAdvertisement,
    RouterExpired,
)
from kevmond.stories.model import Post, Step
from kevmond.stories.world import later

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from kevmond.events.event import Payload
    from kevmond.stories.world import Interface

_DAY: Final = 86400
_NONE: Final = "0.0.0.0"  # noqa: S104 - no address, nothing is bound to it
_FAILED_OR_ALIVE: Final = {
    "network.inet.arp-router-failure": ArpFailure,
    "network.inet.arp-router-alive": ArpAlive,
    "network.nd6.nd-failure": NeighbourFailure,
    "network.nd6.nd-alive": NeighbourAlive,
}
_CLASSES: Final = ((0x80, 8), (0xC0, 16), (0xE0, 24))
"""First octets below which the classes A, B and C end, and their mask lengths (RFC 791)."""


def posted(event_type: str, payload: Payload | None = None) -> Post:
    """Post an event of a type, such as "network.necp.policies-changed"."""
    return Post(message(event_type, payload))


def at(after: float, what: Post, note: str = "") -> Step:
    """Do `what` that many seconds later."""
    return Step(after, what, note)


def together(after: float, *posts: Post, note: str = "", apart: float = 0.01) -> Iterator[Step]:
    """Do several things `after` seconds later, one upon the other."""
    for number, post in enumerate(posts):
        yield Step(apart if number else after, post, "" if number else note)


def paused(after: float, steps: Iterable[Step]) -> Iterator[Step]:
    """Begin `steps` that many seconds later than they say."""
    for number, step in enumerate(steps):
        yield step if number else Step(step.after + after, step.action, step.note)


def dl(word: str, interface: Interface) -> Post:
    """Data-link event that names its interface and no more: "link-on", "if-flags"."""
    return posted(f"network.dl.{word}", LinkEvent(**interface.link))


def protocol(word: str, interface: Interface, family: str, remaining: int) -> Post:
    """Protocol ("inet", "inet6") that came ("proto-attached") or left ("proto-detached")."""
    payload = ProtocolChange(**interface.link, protocol=family, remaining=remaining)
    return posted(f"network.dl.{word}", payload)


def quality(interface: Interface, metric: int) -> Post:
    """Link quality: 100 is good, 50 poor, 10 as good as lost, -1 unknown, -2 off."""
    return posted(
        "network.dl.link-quality", LinkQuality(**interface.link, link_quality_metric=metric)
    )


def peer_near(interface: Interface, address: str, mac: str, rssi: int) -> Post:
    """Tell of a nearby peer that can be reached."""
    payload = NodePresence(
        **interface.link,
        node_address=address,
        node_scope=interface.index,
        node_link_address=mac,
        node_link_index=interface.index,
        node_link_type=6,
        rssi=rssi,
        link_quality_metric=100,
        node_proximity_metric=30,
    )
    return posted("network.dl.node-presence", payload)


def peer_gone(interface: Interface, address: str, mac: str) -> Post:
    """Tell of a nearby peer that went away."""
    payload = NodeAbsence(
        **interface.link,
        node_address=address,
        node_scope=interface.index,
        node_link_address=mac,
        node_link_index=interface.index,
        node_link_type=6,
    )
    return posted("network.dl.node-absence", payload)


def inet(word: str, interface: Interface, address: str, *, peer: str | None = None) -> Post:
    """IPv4 address with its mask length ("192.168.1.20/24"), or of a tunnel with its `peer`."""
    payload = Ipv4Address(**interface.link, **ipv4_fields(address, peer))
    return posted(f"network.inet.{word}", payload)


def ipv4_fields(address: str, peer: str | None = None) -> dict[str, Any]:
    """Fields of an `Ipv4Address` payload as the kernel derives them; ValueError if it is none."""
    own = ipaddress.IPv4Interface(address)
    first = own.packed[0]
    class_length = next((length for end, length in _CLASSES if first < end), 32)
    class_network = ipaddress.IPv4Network((int(own), class_length), strict=False)
    return {
        "address": str(own.ip),
        "class_network": str(class_network.network_address),
        "class_mask": str(class_network.netmask),
        "subnet": str(own.network.network_address),
        "subnet_mask": str(own.network.netmask),
        "broadcast": _NONE if peer else str(own.network.broadcast_address),
        "destination": peer or str(own.network.broadcast_address),
    }


def inet6(
    word: str,
    interface: Interface,
    address: str,
    *flags: str,
    valid: int | None = None,
    preferred: int | None = None,
    duplicate_mac: str | None = None,
) -> Post:
    """IPv6 address with a prefix of 64 bits; lifetimes in seconds, None is infinite."""
    local = ipaddress.IPv6Address(address).is_link_local
    payload = Ipv6Address(
        **interface.link,
        address=address,
        scope=interface.index if local else None,
        prefix_mask="ffff:ffff:ffff:ffff::",
        prefix_length=64,
        flags=flags,
        expires_at=None if valid is None else later(valid),
        deprecated_at=None if preferred is None else later(preferred),
        valid_lifetime=valid,
        preferred_lifetime=preferred,
        duplicate_mac=duplicate_mac,
    )
    return posted(f"network.inet6.{word}", payload)


def advertised(interface: Interface, prefix: str, *, valid: int = 30 * _DAY) -> Post:
    """Router advertisement of a prefix, with the lifetimes that RFC 4861 proposes."""
    payload = RouterAdvertisement(
        mtu=1500,
        list_length=1,
        valid=("mtu", "prefix"),
        prefix=prefix,
        prefix_options=("onlink", "autonomous"),
        prefix_length=64,
        valid_lifetime=valid,
        preferred_lifetime=min(valid, 7 * _DAY),
        expires_at=later(valid),
        if_index=interface.index,
    )
    return posted("network.nd6.router-advertisement", payload)


def reachable(event_type: str, interface: Interface) -> Post:
    """Router of the interface that stopped to answer, or answers again."""
    return posted(event_type, _FAILED_OR_ALIVE[event_type](**interface.link))


def address_state(word: str, interface: Interface, address: str) -> Post:
    """Turn in the life of an IPv6 address: "addr-deprecated", "addr-expired", "dad-failure"."""
    return posted(f"network.nd6.{word}", AddressState(**interface.link, address=address))


def router_expired(interface: Interface, router: str, lifetime: int) -> Post:
    """IPv6 router whose lifetime ended."""
    payload = RouterExpired(
        **interface.link, router=router, scope=interface.index, lifetime=lifetime
    )
    return posted("network.nd6.router-expired", payload)


def prefix_expired(interface: Interface, prefix: str) -> Post:
    """IPv6 prefix whose lifetime ended."""
    return posted("network.nd6.prefix-expired", PrefixExpired(**interface.link, prefix=prefix))


def collision(interface: Interface, address: str, mac: str) -> Post:
    """Another host that uses our IPv4 address."""
    payload = ArpCollision(**interface.link, address=address, hardware_address=mac)
    return posted("network.inet.arp-collision", payload)


def wifi(word: str) -> Post:
    """Wi-Fi event; what real ones carry is not public, so these carry nothing."""
    return posted(f"wifi.event.{word}")


def control(word: str, control_id: int) -> Post:
    """Kernel control that was "registered" or "deregistered"."""
    return posted(f"system.ctl.{word}", Control(control_id=control_id))

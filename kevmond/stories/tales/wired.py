"""Ethernet: cables, DHCP, storms."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kevmond.stories.model import Step
from kevmond.stories.vocabulary import advertised, at, dl, inet, inet6, protocol, together
from kevmond.stories.world import EN0, EN7, PREFIX, lease, self_assigned, temporary

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

    from kevmond.stories.world import Interface

_HOUR = 3600
_DAY = 24 * _HOUR
_WEEK = 7 * _DAY
_MONTH = 30 * _DAY
_STORM_BURSTS = 20
_STORM_FLAPS = 250


def come_up(
    chance: random.Random, interface: Interface, address: str | None = None
) -> Iterator[Step]:
    """Tell how the link, then IPv6 by router advertisement, then IPv4 by DHCP come up."""
    own = interface.autoconf(PREFIX)
    private = temporary(chance)
    yield at(0.8, dl("link-on", interface), f"the link of {interface.name} comes up")
    yield at(1.1, inet6("new-user-addr", interface, interface.link_local, "secured"))
    yield from together(
        0.4,
        inet6(
            "new-rtadv-addr",
            interface,
            own,
            "autoconf",
            "optimistic",
            valid=_MONTH,
            preferred=_WEEK,
        ),
        advertised(interface, PREFIX),
        note=f"a router advertises {PREFIX}/64 on {interface.name}",
    )
    yield at(
        0.7,
        inet("new-addr", interface, address or lease(chance)),
        f"{interface.name} gets an address by DHCP",
    )
    yield from together(
        0.6,
        inet6(
            "new-user-addr", interface, own, "autoconf", "secured", valid=_MONTH, preferred=_WEEK
        ),
        inet6(
            "new-user-addr",
            interface,
            private,
            "autoconf",
            "temporary",
            valid=86400,
            preferred=3600,
        ),
    )


def go_down(chance: random.Random, interface: Interface, address: str) -> Iterator[Step]:
    """Tell how the link goes, then the addresses."""
    private = temporary(chance)
    yield at(0, dl("link-off", interface))
    yield at(1.0, inet("addr-deleted", interface, address))
    yield from together(
        0.2,
        inet6("addr-deleted", interface, interface.link_local),
        inet6(
            "addr-deleted",
            interface,
            interface.autoconf(PREFIX),
            valid=_MONTH,
            preferred=_WEEK,
        ),
        inet6("addr-deleted", interface, private, "temporary", valid=_DAY, preferred=_HOUR),
    )


def cable(chance: random.Random) -> Iterator[Step]:
    """Tell how the cable of en0 is pulled, and put back after a while."""
    address = lease(chance)
    first, *rest = go_down(chance, EN0, address)
    yield Step(0, first.action, "the cable of en0 is pulled")
    yield from rest
    yield at(2.0 + 2 * chance.random(), dl("if-flags", EN0), "somebody looks for the cable")
    yield from come_up(chance, EN0, address)


def dhcp(chance: random.Random) -> Iterator[Step]:
    """Tell how a USB adapter finds no DHCP server, then one, and is unplugged in the end."""
    own, first, second = self_assigned(chance), lease(chance), lease(chance)
    yield from together(
        0,
        dl("if-capabilities", EN7),
        dl("if-attached", EN7),
        dl("lladdr-changed", EN7),
        note="an Ethernet adapter is plugged into the USB port: en7",
    )
    yield from together(0.6, dl("if-flags", EN7), dl("link-on", EN7))
    yield from together(
        1.2,
        protocol("proto-attached", EN7, "inet", 1),
        dl("if-flags", EN7),
        inet("new-addr", EN7, own),
        note="no DHCP server answers: en7 gives itself an address",
    )
    yield from together(
        2.0,
        inet("addr-deleted", EN7, own),
        inet("new-addr", EN7, first),
        note="a DHCP server answers",
    )
    yield at(
        1.5,
        inet("changed-addr", EN7, first.replace("/24", "/23")),
        "the lease is renewed with another mask",
    )
    yield from together(
        1.5,
        inet("addr-deleted", EN7, first.replace("/24", "/23")),
        inet("new-addr", EN7, second),
        note="the server gives out another address",
    )
    yield at(2.0, dl("link-off", EN7), "the adapter is unplugged")
    yield from together(
        0.1,
        dl("if-detaching", EN7),
        inet("addr-deleted", EN7, second),
        protocol("proto-detached", EN7, "inet", 0),
        dl("if-flags", EN7),
        dl("if-detached", EN7),
    )


def storm(chance: random.Random) -> Iterator[Step]:
    """Tell of a broken cable: thousands of link flaps, in bursts that hurry any reader."""
    off, on = dl("link-off", EN0), dl("link-on", EN0)
    for burst in range(_STORM_BURSTS):
        for flap in range(_STORM_FLAPS):
            wait = 0.02 + 0.1 * chance.random() if burst and not flap else 0.0
            yield Step(wait, off, "" if burst or flap else "a broken connector: en0 flaps")
            yield Step(0, on)

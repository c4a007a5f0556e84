"""Addresses of interfaces as text, told alike by the system and by the kernel's events."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, NamedTuple

from kevmond.events.payloads.inet import Ipv4Address
from kevmond.events.payloads.inet6 import Ipv6Address160
from kevmond.events.payloads.nd6 import AddressState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kevmond.events.event import Payload

_ADDED = frozenset({"new-addr", "changed-addr", "dstaddr-set", "brdaddr-set", "netmask-set"})
_ADDED6 = frozenset({"new-user-addr", "new-ll-addr", "new-rtadv-addr", "changed-addr"})
_ENDED = frozenset({"addr-deleted", "addr-expired", "dad-failure"})
_DUPLICATED = "duplicated"


class Told(NamedTuple):
    """What an event says about one address."""

    address: str
    """The address alone."""
    text: str | None
    """It with its prefix length; None if the interface has it no more."""


def of_system(texts: Iterable[str]) -> tuple[dict[str, str], str | None]:
    """Return IP addresses, each with its text, and the link-layer address, of a snapshot's."""
    found: dict[str, str] = {}
    link: str | None = None
    for text in texts:
        bare, slash, rest = text.partition("/")
        try:
            address = str(ipaddress.ip_address(bare.partition("%")[0]))
        except ValueError:
            link = text
        else:
            found[address] = address + slash + rest
    return found, link


def of_event(code: str | None, payload: Payload | None) -> Told | None:
    """Return what a kernel event tells about an address; None if it is about none."""
    if isinstance(payload, Ipv4Address):
        return _ipv4(code, payload)
    if isinstance(payload, Ipv6Address160):
        return _ipv6(code, payload)
    if isinstance(payload, AddressState) and code in _ENDED:
        return _told(payload.address, None)
    return None


def _ipv4(code: str | None, payload: Ipv4Address) -> Told | None:
    length = int(ipaddress.IPv4Address(payload.subnet_mask)).bit_count()
    if code in _ADDED:
        return _told(payload.address, length)
    return _told(payload.address, None) if code in _ENDED else None


def _ipv6(code: str | None, payload: Ipv6Address160) -> Told | None:
    if payload.address is None:
        return None
    if code in _ADDED6 and _DUPLICATED not in payload.flags:
        return _told(payload.address, payload.prefix_length)
    return _told(payload.address, None) if code in _ADDED6 | _ENDED else None


def _told(text: str, length: int | None) -> Told | None:
    address = ipaddress.ip_address(text.partition("%")[0])
    if address.is_unspecified:
        return None
    bare = str(address)
    return Told(bare, None if length is None else f"{bare}/{length}")

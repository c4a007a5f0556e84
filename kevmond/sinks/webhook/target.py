"""Which addresses may be connected to, and the gate that every connection passes.

A URL names a host, the resolver names its addresses, and the two can be made to disagree from one
moment to the next (DNS rebinding).  So the address is looked at where the socket to it is made, and
at no other place that counts: literal addresses and odd spellings ("127.1") pass there as well.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
from typing import Any, Final

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
"""RFC 6052."""
_LOCAL: Final = (
    ipaddress.IPv6Network("fc00::/7"),  # RFC 4193
    ipaddress.IPv6Network("fec0::/10"),  # RFC 3879
    ipaddress.IPv6Network("64:ff9b:1::/48"),  # RFC 8215: where the IPv4 address is, nobody can tell
)
_PUBLIC: Final = ipaddress.IPv6Network("2000::/3")
"""All that is given out (RFC 4291).  What embeds IPv4 otherwise, and SIIT's, lies outside."""
_SPECIAL: Final = (  # of that, not for hosts (IANA IPv6 Special-Purpose Address Registry)
    ipaddress.IPv6Network("2001::/23"),  # RFC 2928, with Teredo
    ipaddress.IPv6Network("2001:db8::/32"),  # RFC 3849
    ipaddress.IPv6Network("3fff::/20"),  # RFC 9637
)

_ROUTELESS: Final = frozenset(
    number
    for name in (
        "ENETUNREACH",
        "EHOSTUNREACH",
        "ENETDOWN",
        "EHOSTDOWN",
        "EADDRNOTAVAIL",  # macOS, where no interface has an address to send from
        "ENONET",
    )
    if (number := getattr(errno, name, None)) is not None
)


def refusal(host: str) -> str | None:
    """Return what makes an address no public one; None if it is one, or a name."""
    address = _address(host)
    return None if address is None else _kind(address)


def is_address(host: str) -> bool:
    """Whether a host is an address and no name."""
    return _address(host) is not None


def _address(text: str) -> _Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _kind(address: _Address) -> str | None:
    if isinstance(address, ipaddress.IPv6Address):
        inner = _embedded(address)
        if inner is not None:
            return _kind(inner)
    if address.is_unspecified or address.is_loopback:
        return "this machine"
    if address.is_link_local:
        return "a link-local address"
    if address.is_multicast:
        return "a multicast address"
    if isinstance(address, ipaddress.IPv6Address):
        return _range(address)
    return None if address.is_global else "a private address"


def _range(address: ipaddress.IPv6Address) -> str | None:
    if _within(address, _LOCAL):
        return "a private address"
    given_out = address in _PUBLIC and not _within(address, _SPECIAL)
    return None if given_out else "no public address"


def _within(address: ipaddress.IPv6Address, networks: tuple[ipaddress.IPv6Network, ...]) -> bool:
    return any(address in network for network in networks)


def _embedded(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """Return the IPv4 address that a translator or tunnel would pass the packets on to."""
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return None


class AddressRefused(OSError):  # noqa: N818 - an answer to whoever connects
    """The address is not public, and only public ones are allowed."""


class Gate:
    """Makes the socket of each connection, unless its address may not be connected to."""

    def __init__(self, *, allow_private: bool) -> None:
        self._allow_private = allow_private
        self.refused: str | None = None
        """What was refused last; whoever begins a request sets it back."""

    def __call__(self, info: tuple[Any, ...]) -> socket.socket:
        """Return a socket for an address, given as `socket.getaddrinfo` does.

        Raises AddressRefused.
        """
        family, kind, protocol, _, where = info
        if not self._allow_private:
            address = _address(where[0])
            why = "no address" if address is None else _kind(address)
            if why is not None:
                self.refused = f"{where[0]} is {why}"
                raise AddressRefused(self.refused)
        return socket.socket(family, kind, protocol)


def without_route(number: int | None) -> bool:
    """Whether an errno says that there was no way: to the receiver, or, if not online, at all."""
    return number in _ROUTELESS


def online() -> bool:
    """Whether this machine has a route to anywhere; sends nothing.

    Connecting a datagram socket only looks a route up.  The addresses are for documentation
    (RFC 5737, RFC 3849): they have no route but the default one.
    """
    for family, address in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect((address, 9))
        except OSError:
            continue
        return True
    return False

"""The machine and the network that the stories are about: a Mac mini on somebody's desk.

Addresses are from the ranges set aside for documentation and private use (RFC 1918, RFC 3849,
RFC 3927, RFC 4193, RFC 5737, RFC 7042).
"""

from __future__ import annotations

import ipaddress
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import random


@dataclass(frozen=True, slots=True)
class Interface:
    """A network interface."""

    driver: str
    unit: int
    family: str
    """Word of its IFNET_FAMILY number."""
    index: int
    """Interface index, which scopes its link-local addresses."""
    mac: str = ""

    @property
    def name(self) -> str:
        """BSD name."""
        return f"{self.driver}{self.unit}"

    @property
    def link(self) -> dict[str, Any]:
        """Fields that payloads about the interface begin with (struct net_event_data)."""
        return {"if_family": self.family, "if_unit": self.unit, "if_name": self.driver}

    @property
    def link_local(self) -> str:
        """Its IPv6 link-local address, made of the link-layer address (RFC 4291, appendix A)."""
        return str(ipaddress.IPv6Address((0xFE80 << 112) | self._interface_id))

    def autoconf(self, prefix: str) -> str:
        """Address that the interface makes of a prefix of 64 bits."""
        network = ipaddress.IPv6Network(f"{prefix}/64")
        return str(network[self._interface_id])

    @property
    def _interface_id(self) -> int:
        octets = bytearray.fromhex(self.mac.replace(":", ""))
        octets[0] ^= 2
        return int.from_bytes(octets[:3] + b"\xff\xfe" + octets[3:], "big")


LO0: Final = Interface("lo", 0, "loopback", 1)
GIF0: Final = Interface("gif", 0, "gif", 2)
STF0: Final = Interface("stf", 0, "stf", 3)
EN0: Final = Interface("en", 0, "ethernet", 4, "00:00:5e:00:53:a0")
"""Built-in Ethernet."""
EN1: Final = Interface("en", 1, "ethernet", 5, "00:00:5e:00:53:a1")
"""Wi-Fi."""
AWDL0: Final = Interface("awdl", 0, "ethernet", 6, "00:00:5e:00:53:aa")
"""Apple's peer-to-peer Wi-Fi."""
EN7: Final = Interface("en", 7, "ethernet", 12, "00:00:5e:00:53:a7")
"""An adapter on the USB port."""
UTUN4: Final = Interface("utun", 4, "utun", 14, "00:00:5e:00:53:b4")
"""A VPN's tunnel; the link-layer address only gives it a link-local one."""

ROUTER: Final = "192.168.1.1"
PREFIX: Final = "2001:db8:77::"
SECOND_PREFIX: Final = "2001:db8:78::"
TUNNEL_ADDRESS: Final = "10.8.0.6"
TUNNEL_PEER: Final = "10.8.0.5"
TUNNEL_ADDRESS6: Final = "fd00:77::6"
NEIGHBOUR_MAC: Final = "00:00:5e:00:53:0c"
AGENT_UUID: Final = "7c2f9a8e-51d0-4b7e-9d5e-3f1a2b3c4d5e"
VENDOR: Final = "com.example.sensors"


def lease(chance: random.Random) -> str:
    """Address as a DHCP server gives it out."""
    return f"192.168.1.{chance.randint(20, 199)}/24"


def self_assigned(chance: random.Random) -> str:
    """Link-local IPv4 address, as a machine takes one when no DHCP server answers."""
    return f"169.254.{chance.randint(1, 254)}.{chance.randint(0, 255)}/16"


def temporary(chance: random.Random, prefix: str = PREFIX) -> str:
    """IPv6 address with a random interface id (RFC 8981)."""
    return str(ipaddress.IPv6Network(f"{prefix}/64")[chance.getrandbits(64)])


def uuid(chance: random.Random) -> str:
    """UUID of anything."""
    text = f"{chance.getrandbits(128):032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def later(seconds: int) -> str:
    """RFC 3339 text of the time in so many seconds."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds))

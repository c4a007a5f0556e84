"""What an IP packet is, in a line: addresses, protocol, ports, length (RFC 791, RFC 8200)."""

from __future__ import annotations

import ipaddress
import struct
from typing import Any, Final

_PROTOCOLS: Final = {
    1: "icmp",
    2: "igmp",
    4: "ipip",
    6: "tcp",
    17: "udp",
    41: "ipv6",
    47: "gre",
    50: "esp",
    51: "ah",
    58: "icmp6",
    59: "none",
    89: "ospf",
    103: "pim",
    112: "vrrp",
    132: "sctp",
}
_EXTENSIONS: Final = frozenset({0, 43, 60})
"""IPv6 headers that tell the next one and their own length: hop-by-hop, routing, destination."""
_FRAGMENT: Final = 44
_WITH_PORTS: Final = frozenset({6, 17, 132})
_TCP_FLAGS: Final = "FSRPAUEC"
_ICMP: Final = {0: "echo reply", 3: "unreachable", 8: "echo request", 11: "time exceeded"}
_ICMP6: Final = {
    1: "unreachable",
    2: "packet too big",
    3: "time exceeded",
    128: "echo request",
    129: "echo reply",
    133: "router solicitation",
    134: "router advertisement",
    135: "neighbor solicitation",
    136: "neighbor advertisement",
    143: "multicast report",
}


def packet_facts(packet: bytes) -> dict[str, Any]:
    """Tell family, source, destination, protocol and length, and what the protocol has beside.

    Only what is there: a packet that is cut off tells less.
    """
    version = packet[0] >> 4 if packet else 0
    facts: dict[str, Any] = {"family": f"ipv{version}", "length": len(packet)}
    header = _ipv4(packet, facts) if version == 4 else _ipv6(packet, facts)  # noqa: PLR2004 - IPv4
    if header is None:
        return facts
    number, rest = header
    facts["protocol"] = _PROTOCOLS.get(number, str(number))
    if rest is not None:
        _upper(number, rest, facts)
    return facts


def packet_line(facts: dict[str, Any]) -> str:
    """Show those facts on a line, as packet sniffers do."""
    if "source" not in facts:
        return f"{facts['family']}  cut off, {facts['length']} bytes"
    ends = [_end(facts["source"], facts.get("source_port"))]
    ends.append(_end(facts["destination"], facts.get("destination_port")))
    line = f"{facts['family']}  {' > '.join(ends)}  {facts.get('protocol', 'cut off')}"
    for key in ("message", "flags", "fragment"):
        if key in facts:
            line += f" {facts[key]}"
    return f"{line}, {facts['length']} bytes"


def _end(address: str, port: int | None) -> str:
    if port is None:
        return address
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _ipv4(packet: bytes, facts: dict[str, Any]) -> tuple[int, bytes | None] | None:
    if len(packet) < 20:  # noqa: PLR2004 - the shortest header
        return None
    fragment, protocol = struct.unpack_from("!HxB", packet, 6)
    facts["source"] = str(ipaddress.IPv4Address(packet[12:16]))
    facts["destination"] = str(ipaddress.IPv4Address(packet[16:20]))
    if fragment & 0x1FFF:  # not the first one: the upper header is elsewhere
        facts["fragment"] = f"fragment at {(fragment & 0x1FFF) * 8}"
        return protocol, None
    return protocol, packet[(packet[0] & 0xF) * 4 :]


def _ipv6(packet: bytes, facts: dict[str, Any]) -> tuple[int, bytes | None] | None:
    if len(packet) < 40:  # noqa: PLR2004 - the header
        return None
    facts["source"] = str(ipaddress.IPv6Address(packet[8:24]))
    facts["destination"] = str(ipaddress.IPv6Address(packet[24:40]))
    number, at = packet[6], 40
    while number in _EXTENSIONS and at + 8 <= len(packet):
        number, at = packet[at], at + 8 * (packet[at + 1] + 1)
    if number == _FRAGMENT and at + 8 <= len(packet):
        offset = int.from_bytes(packet[at + 2 : at + 4], "big") & 0xFFF8
        number, at = packet[at], at + 8
        if offset:
            facts["fragment"] = f"fragment at {offset}"
            return number, None
    return number, packet[at:]


def _upper(number: int, rest: bytes, facts: dict[str, Any]) -> None:
    """Add what the protocol's own header tells."""
    if number in _WITH_PORTS and len(rest) >= 4:  # noqa: PLR2004 - two ports
        facts["source_port"], facts["destination_port"] = struct.unpack_from("!HH", rest)
    protocol = facts["protocol"]
    if protocol == "tcp" and len(rest) > 13:  # noqa: PLR2004 - as far as the flags
        set_ = [name for bit, name in enumerate(_TCP_FLAGS) if rest[13] >> bit & 1]
        facts["flags"] = "".join(set_) or "."
    elif protocol in {"icmp", "icmp6"} and rest:
        known = _ICMP if protocol == "icmp" else _ICMP6
        facts["message"] = known.get(rest[0], f"type {rest[0]}")


def ping(count: int) -> bytes:
    """Make the echo request number `count` from a documentation address: IPv4, then IPv6, in turn.

    For a tunnel with nobody on the near side (RFC 792, RFC 4443; addresses of RFC 5737, RFC 3849).
    """
    number, is_ipv6 = divmod(count, 2)
    text = b"kevmond"
    if is_ipv6:
        source, target = (ipaddress.IPv6Address(f"2001:db8::{n}").packed for n in (1, 2))
        body = struct.pack("!BBHHH", 128, 0, 0, 0, number & 0xFFFF) + text
        pseudo = source + target + struct.pack("!I3xB", len(body), 58)
        body = body[:2] + _checksum(pseudo + body) + body[4:]
        return struct.pack("!IHBB", 6 << 28, len(body), 58, 64) + source + target + body
    source, target = (ipaddress.IPv4Address(f"192.0.2.{n}").packed for n in (1, 2))
    body = struct.pack("!BBHHH", 8, 0, 0, 0, number & 0xFFFF) + text
    body = body[:2] + _checksum(body) + body[4:]
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), number & 0xFFFF, 0, 64, 1, 0)
    head += source + target
    return head[:10] + _checksum(head) + head[12:] + body


def _checksum(data: bytes) -> bytes:
    """Return the Internet checksum (RFC 1071)."""
    total: int = sum(struct.unpack(f"!{(len(data) + 1) // 2}H", data + bytes(len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return (~total & 0xFFFF).to_bytes(2, "big")

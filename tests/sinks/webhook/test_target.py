"""Which addresses a webhook may connect to."""

import errno
import socket

import pytest

from kevmond.sinks.webhook import target
from kevmond.sinks.webhook.target import AddressRefused, Gate, refusal, without_route


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("127.0.0.1", "this machine"),
        ("127.255.0.9", "this machine"),
        ("0.0.0.0", "this machine"),
        ("::1", "this machine"),
        ("::", "this machine"),
        ("10.0.0.1", "a private address"),
        ("172.31.255.255", "a private address"),
        ("192.168.1.1", "a private address"),
        ("100.64.0.1", "a private address"),
        ("198.18.0.1", "a private address"),
        ("240.0.0.1", "a private address"),
        ("255.255.255.255", "a private address"),
        ("169.254.169.254", "a link-local address"),
        ("fe80::1", "a link-local address"),
        ("fe80::1%en0", "a link-local address"),
        ("fd12:3456::1", "a private address"),
        ("fec0::1", "a private address"),
        ("224.0.0.251", "a multicast address"),
        ("ff02::fb", "a multicast address"),
        ("::ffff:127.0.0.1", "this machine"),
        ("::ffff:10.0.0.1", "a private address"),
        ("64:ff9b::a00:1", "a private address"),
        ("64:ff9b:1::a00:1", "a private address"),
        ("64:ff9b:1:a00:0:100:808:808", "a private address"),
        ("2002:7f00:1::1", "this machine"),
        ("::127.0.0.1", "no public address"),
        ("::8.8.8.8", "no public address"),
        ("::ffff:0:7f00:1", "no public address"),
        ("::ffff:0:808:808", "no public address"),
        ("2001:0:7f00:1::", "no public address"),
        ("2001:db8::1", "no public address"),
        ("3fff::1", "no public address"),
        ("5f00::1", "no public address"),
        ("4000::1", "no public address"),
        ("100::1", "no public address"),
    ],
)
def test_address_that_is_not_public(address, kind):
    """Every way to name this machine or its neighbours is seen through."""
    assert refusal(address) == kind


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "2606:4700::1111", "64:ff9b::808:808", "::ffff:8.8.8.8", "example.org"]
)
def test_public_address_or_name(address):
    """Public addresses pass, and names, whose addresses are looked at later."""
    assert refusal(address) is None


def info(address):
    """Return an address as getaddrinfo does."""
    return (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 443))


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "localhost", "127.1"])
def test_gate_makes_no_socket_for_a_refused_address(address):
    """What is private, or no address at all, gets no socket."""
    gate = Gate(allow_private=False)
    with pytest.raises(AddressRefused, match=f"^{address} is "):
        gate(info(address))
    assert gate.refused.startswith(address)


@pytest.mark.parametrize(("address", "allow"), [("127.0.0.1", True), ("8.8.8.8", False)])
def test_gate_makes_a_socket_for_others(address, allow):
    """Public addresses, and all where they are allowed, get one."""
    gate = Gate(allow_private=allow)
    gate(info(address)).close()
    assert gate.refused is None


def test_errors_that_mean_no_route():
    """No network, no route and no address of our own mean that there was no way."""
    routeless = [errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL]
    assert all(without_route(number) for number in routeless)
    assert not any(map(without_route, [errno.ECONNREFUSED, errno.ETIMEDOUT, 0, None]))


class Socket:
    """A datagram socket of a machine that has a route, or none."""

    routes = frozenset()

    def __init__(self, family, kind):
        self.family = family

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        pass

    def connect(self, address):
        if self.family not in self.routes:
            raise OSError(errno.ENETUNREACH, "no route")


@pytest.mark.parametrize(
    ("routes", "online"),
    [((), False), ((socket.AF_INET,), True), ((socket.AF_INET6,), True)],
)
def test_online_is_a_route_of_either_family(monkeypatch, routes, online):
    """A route by IPv4 or by IPv6 is a network."""
    monkeypatch.setattr(Socket, "routes", frozenset(routes))
    monkeypatch.setattr(target.socket, "socket", Socket)
    assert target.online() is online

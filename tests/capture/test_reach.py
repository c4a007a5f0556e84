"""Which events let a sink that waits for a network try again."""

import pytest

from kevmond.capture.reach import opens_ways
from kevmond.events import catalogue
from kevmond.kernel import abi


def message(vendor, kev_class, subclass, code):
    """Make a message without a payload."""
    return abi.HEADER.pack(24, vendor, kev_class, subclass, 1, code)


def kind(name):
    """Make the message of a type."""
    (found,) = (one for one in catalogue.kinds() if one.type == name)
    return message(1, found.kev_class, found.subclass, found.code)


@pytest.mark.parametrize(
    "name",
    [
        "network.inet.new-addr",
        "network.inet.changed-addr",
        "network.dl.link-on",
        "network.inet6.new-user-addr",
        "network.inet6.new-rtadv-addr",
    ],
)
def test_a_link_or_an_address_that_came(name):
    """A link that is up and an address that is new open a way, among whatever else was read."""
    assert opens_ways([kind("network.dl.link-off"), kind(name)])


@pytest.mark.parametrize(
    "raw",
    [
        kind("network.dl.link-off"),
        kind("network.inet.addr-deleted"),
        message(1001, 1, 2, 13),
        b"\x01",
        b"",
    ],
)
def test_what_opens_no_way(raw):
    """Links that go, other vendors' numbers and fragments are nothing to try again for."""
    assert not opens_ways([raw])

"""State of the interfaces: what the system says, and what differs from one time to the next."""

import ipaddress
import socket
from types import SimpleNamespace

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kevmond.capture import snapshot
from kevmond.events.own import Change, InterfaceState


def state(name="en0", **fields):
    """Make the state of an interface."""
    return InterfaceState(name=name, **fields)


STATES = st.dictionaries(
    st.sampled_from(["en0", "en1", "utun3"]),
    st.builds(
        InterfaceState,
        name=st.just("?"),
        index=st.none() | st.integers(1, 3),
        up=st.none() | st.booleans(),
        mtu=st.none() | st.sampled_from([1380, 1500]),
        addresses=st.sampled_from([(), ("10.0.0.1/8",), ("10.0.0.1/8", "::1/128")]),
    ),
).map(
    lambda found: {
        name: one.model_copy(update={"name": name}) for name, one in sorted(found.items())
    }
)


def test_same_state_has_no_differences():
    """Two equal snapshots have nothing to tell."""
    assert snapshot.differences({"en0": state(mtu=1500)}, {"en0": state(mtu=1500)}) == []


def test_changed_field_is_told_before_and_after():
    """A difference names interface, field and both values."""
    changes = snapshot.differences({"en0": state(mtu=1500)}, {"en0": state(mtu=9000)})
    assert changes == [Change(interface="en0", field="mtu", before=1500, after=9000)]


def test_changed_addresses_are_one_difference():
    """Addresses are told as they were and as they are."""
    (change,) = snapshot.differences(
        {"en0": state(addresses=("10.0.0.1/8",))}, {"en0": state(addresses=("10.0.0.2/8",))}
    )
    assert (change.field, change.before, change.after) == (
        "addresses",
        ("10.0.0.1/8",),
        ("10.0.0.2/8",),
    )


def test_interface_that_came_is_told_with_its_state():
    """A new interface is one difference, and its state follows field by field."""
    changes = snapshot.differences({}, {"utun3": state("utun3", up=True)})
    assert changes == [
        Change(interface="utun3", field="interface", after="utun3"),
        Change(interface="utun3", field="up", after=True),
    ]


def test_interface_that_went_is_told():
    """An interface that is gone is one difference."""
    changes = snapshot.differences({"utun3": state("utun3")}, {})
    assert changes == [Change(interface="utun3", field="interface", before="utun3")]


def test_interface_put_in_anothers_place_is_seen_by_its_index():
    """A name used again means another interface, and the index tells."""
    (change,) = snapshot.differences({"en5": state("en5", index=7)}, {"en5": state("en5", index=9)})
    assert (change.field, change.before, change.after) == ("index", 7, 9)


@given(STATES, STATES)
def test_differences_lead_from_one_snapshot_to_the_other(before, after):
    """Applied to the earlier snapshot, the differences give the later one: none is left out."""
    fields = {name: one.model_dump() for name, one in before.items()}
    for change in snapshot.differences(before, after):
        if change.field != "interface":
            assert fields[change.interface][change.field] == change.before
            fields[change.interface][change.field] = change.after
        elif change.after is None:
            del fields[change.interface]
        else:
            fields[change.interface] = state(change.interface).model_dump()
    assert fields == {name: one.model_dump() for name, one in after.items()}


@pytest.fixture
def loopback():
    """Name of this machine's loopback interface."""
    return next(name for _, name in socket.if_nameindex() if name.startswith("lo"))


def test_this_machines_loopback_is_in_the_snapshot(loopback):
    """The real system is asked: its loopback is up, has an index, and has 127.0.0.1/8."""
    found = snapshot.take()[loopback]
    assert "127.0.0.1/8" in found.addresses
    assert (found.name, found.up, found.index) == (loopback, True, socket.if_nametoindex(loopback))
    assert found.mtu > 0


def test_every_prefix_length_of_this_machine_is_one(loopback):
    """Whatever addresses this machine has: each that has a length is a network's address."""
    texts = [text for one in snapshot.take().values() for text in one.addresses if "/" in text]
    assert texts
    for text in texts:
        ipaddress.ip_interface(text)


def test_two_looks_at_a_quiet_loopback_agree(loopback):
    """Addresses come in an order of their own, so that only a change is a difference."""
    first, second = (snapshot.take()[loopback] for _ in range(2))
    assert first == second


def address(family, text, netmask=None):
    """Make an address as psutil tells it."""
    return SimpleNamespace(family=family, address=text, netmask=netmask)


def told(**fields):
    """Make an interface's state as psutil tells it."""
    usual = {"isup": True, "duplex": psutil.NIC_DUPLEX_UNKNOWN, "speed": 0, "mtu": 1500}
    return SimpleNamespace(**usual | {"flags": ""} | fields)


@pytest.fixture
def system(monkeypatch):
    """Let the system answer what the test says."""

    def answer(addresses=None, states=None, indices=()):
        monkeypatch.setattr(psutil, "net_if_addrs", lambda: addresses or {})
        monkeypatch.setattr(psutil, "net_if_stats", lambda: states or {})
        monkeypatch.setattr(socket, "if_nameindex", lambda: list(indices))
        return snapshot.take()

    return answer


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (address(socket.AF_INET, "10.0.0.1"), "10.0.0.1"),
        (address(socket.AF_INET, "10.0.0.1", "255.255.255.255"), "10.0.0.1/32"),
        (address(socket.AF_INET, "10.0.0.1", "0.0.0.0"), "10.0.0.1/0"),
        (address(socket.AF_INET6, "::1", "ffff:" * 7 + "ffff"), "::1/128"),
        (address(socket.AF_INET6, "fe80::1%en9", "ffff:ffff:ffff:ffff::"), "fe80::1%en9/64"),
        (address(socket.AF_INET6, "fe80::1%en9", "ffff:ffff:ffff:ffff::%en9"), "fe80::1%en9/64"),
        (address(psutil.AF_LINK, "00:53:00:00:00:01", "ff:ff"), "00:53:00:00:00:01"),
        (address(socket.AF_INET, "10.0.0.1", "nonsense"), "10.0.0.1/nonsense"),
        (address(99, "somewhere", "255.0.0.0"), "somewhere/255.0.0.0"),
    ],
    ids=[
        "no mask",
        "host",
        "everything",
        "IPv6 host",
        "scope",
        "scope in the mask",
        "hardware address",
        "mask that cannot be read",
        "unknown family",
    ],
)
def test_address_is_told_with_its_prefix_length(system, found, text):
    """A mask becomes a length; what cannot is shown as it is and hides nothing else."""
    other = address(socket.AF_INET, "192.0.2.7", "255.255.255.0")
    taken = system({"en9": [found, other]})
    assert taken["en9"].addresses == tuple(sorted([text, "192.0.2.7/24"]))


def test_interface_without_a_state_has_its_addresses_only(system):
    """One that vanished between two questions is shown as far as it is known."""
    assert system({"en9": [address(socket.AF_INET, "10.0.0.1")]}) == {
        "en9": state("en9", addresses=("10.0.0.1",))
    }


def test_interface_without_addresses_is_shown(system):
    """A state alone makes an interface."""
    taken = system(states={"utun3": told(mtu=1380)}, indices=[(12, "utun3")])
    assert taken == {"utun3": state("utun3", index=12, up=True, duplex="unknown", mtu=1380)}


@pytest.mark.parametrize(
    ("fields", "up", "running"),
    [
        ({"flags": "up,broadcast,running"}, True, True),
        ({"flags": "up,broadcast", "isup": False}, True, False),
        ({"flags": "broadcast", "isup": True}, False, False),
        ({"isup": False}, False, None),
    ],
    ids=["running", "marked up, no carrier", "down", "a system without flags"],
)
def test_up_and_running_are_two_things(system, fields, up, running):
    """An interface may be marked up while its driver carries nothing; flags tell both."""
    taken = system(states={"en0": told(**fields)})["en0"]
    assert (taken.up, taken.running) == (up, running)


@pytest.mark.parametrize(
    ("duplex", "word"),
    [
        (psutil.NIC_DUPLEX_FULL, "full"),
        (psutil.NIC_DUPLEX_HALF, "half"),
        (psutil.NIC_DUPLEX_UNKNOWN, "unknown"),
        (99, "unknown"),
    ],
)
def test_duplex_is_a_word(system, duplex, word):
    """Numbers of the library stay inside."""
    assert system(states={"en0": told(duplex=duplex)})["en0"].duplex == word


def test_speed_that_is_not_known_is_null(system):
    """0 megabits is what a system says that does not know."""
    taken = system(states={"en0": told(), "en1": told(speed=1000)})
    assert (taken["en0"].speed, taken["en1"].speed) == (None, 1000)


def test_interfaces_come_in_the_systems_order(system):
    """By index as the system counts, and by name where it gives none."""
    states = {name: told() for name in ("utun0", "en0", "lo0", "gone1", "gone0")}
    taken = system(states=states, indices=[(1, "lo0"), (4, "en0"), (11, "utun0")])
    assert list(taken) == ["gone0", "gone1", "lo0", "en0", "utun0"]

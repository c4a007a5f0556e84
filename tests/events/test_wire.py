"""Wire types: one field to a value and back."""

import pytest

from kevmond.events import names
from kevmond.events.wire import (
    I32,
    U8,
    U16,
    U16_BE,
    U32,
    U64,
    Enum,
    Flags,
    NullAt,
)
from kevmond.events.wire_link import MAC, CountedAddress, SockaddrDl
from kevmond.events.wire_net import IN4, IN4_HOST, UUID, In4or6, In6, SockaddrIn6
from kevmond.events.wire_text import TIMEVAL32, Bytes, CountedBytes, Epoch, Pascal, Text

LINK_LOCAL = bytes.fromhex("fe800004000000001122 33fffe445501")


@pytest.mark.parametrize(
    ("wire", "item", "value"),
    [
        (U16_BE, b"\x01\xbb", 443),
        (IN4, bytes([192, 168, 1, 5]), "192.168.1.5"),
        (IN4_HOST, bytes([0, 255, 255, 255]), "255.255.255.0"),
        (MAC, bytes.fromhex("02aabbccdd01"), "02:aa:bb:cc:dd:01"),
        (MAC, bytes(6), None),
        (UUID, bytes(range(16)), "00010203-0405-0607-0809-0a0b0c0d0e0f"),
        (UUID, bytes(16), None),
        (Bytes(3), b"\x01\x02\x03", "010203"),
        (Bytes(3), bytes(3), None),
        (NullAt(U64, 0), 0, None),
        (NullAt(U64, 0), 5, 5),
        (NullAt(I32, names.RSSI_UNKNOWN), -2147483648, None),
        (NullAt(I32, names.RSSI_UNKNOWN), -61, -61),
        (Epoch(U32), 0, None),
        (Epoch(U32), 0xFFFFFFFF, "2106-02-07T06:28:15Z"),
        (Epoch(U64), 253402300799, "9999-12-31T23:59:59Z"),
        (TIMEVAL32, bytes(8), None),
        (
            TIMEVAL32,
            bytes.fromhex("00286b65") + (999999).to_bytes(4, "little"),
            "2023-12-02T12:50:08.999999Z",
        ),
        (Enum(U32, names.IFNET_FAMILY), 2, "ethernet"),
        (Enum(U32, names.IFNET_FAMILY), 77, "unknown-77"),
        (Enum(I32, names.LOW_POWER_EVENT), -5, "unknown--5"),
        (Enum(U32, names.PROTOCOL_FAMILY), 1986814318, "vlan"),
        (Flags(U32, names.IN6_IFF), 0, ()),
        (Flags(U32, names.IN6_IFF), 0xC0, ("autoconf", "temporary")),
        (Flags(U32, names.IN6_IFF), 0x80004001, ("anycast", "0x4000", "0x80000000")),
        (Flags(U8, names.RA_PREFIX_BITS), 3, ("onlink", "autonomous")),
        (Flags(U16, names.NPICF), 0x1012, ("syn", "ack", "nowake")),
    ],
)
def test_a_value_and_its_item_are_each_others_inverse(wire, item, value):
    """An item gives its value, the value gives the item, and the wire type says so."""
    assert wire.decode(item, {}) == value
    assert wire.encode(value, {}) == item
    assert wire.whole(item)


@pytest.mark.parametrize(
    ("wire", "value"),
    [
        (IN4, "1.2.3"),
        (IN4, "fe80::1"),
        (MAC, "02:aa"),
        (UUID, "abc"),
        (Bytes(2), "010203"),
        (Text(4), "abcde"),
        (Pascal(4), "abcd"),
        (Epoch(U32), "2026-01-01T00:00:00"),
        (Epoch(U32), "yesterday"),
        (Enum(U32, names.IFNET_FAMILY), "etherlink"),
        (Enum(U32, names.IFNET_FAMILY), "unknown-x"),
        (Flags(U32, names.IN6_IFF), ("autoconfigured",)),
        (CountedAddress(2), "01:02:03"),
    ],
)
def test_a_value_that_cannot_be_written_is_a_value_error(wire, value):
    """Nothing is cut or guessed: the one who writes it is told."""
    with pytest.raises(ValueError):  # noqa: PT011 - each wire type has its own words
        wire.encode(value, {})


def test_a_link_local_address_shows_the_scope_that_the_kernel_embedded():
    """The interface index in bytes 2 and 3 is taken out of the address and put back."""
    wire = In6(scope="scope")
    out = {}
    assert wire.decode(LINK_LOCAL, out) == "fe80::1122:33ff:fe44:5501"
    assert out == {"scope": 4}
    assert wire.encode("fe80::1122:33ff:fe44:5501", out) == LINK_LOCAL


def test_multicast_of_link_scope_has_an_embedded_scope_too():
    """ff02:: addresses hold the interface index where link-local ones do."""
    out = {}
    assert In6(scope="s").decode(bytes.fromhex("ff020007") + bytes(11) + b"\x01", out) == "ff02::1"
    assert out == {"s": 7}


def test_a_global_address_keeps_its_second_group():
    """Only link-local addresses have an interface index inside."""
    out = {}
    packed = bytes.fromhex("20010db8") + bytes(11) + b"\x01"
    assert In6(scope="s").decode(packed, out) == "2001:db8::1"
    assert out == {"s": None}


def test_a_scope_for_a_global_address_is_refused():
    """A scope would overwrite a part of an address that is not link-local."""
    with pytest.raises(ValueError, match="not link-local"):
        In6(scope="s").encode("2001:db8::1", {"s": 4})


def sockaddr6(address, *, port=0, flowinfo=0, scope_id=0, length=28, family=30):
    """Bytes of struct sockaddr_in6."""
    head = bytes((length, family)) + port.to_bytes(2, "big") + flowinfo.to_bytes(4, "big")
    return head + address + scope_id.to_bytes(4, "little")


def test_a_socket_address_without_a_family_is_null():
    """The kernel leaves an address it does not have all zero."""
    wire = SockaddrIn6(scope="s", port="p")
    out = {}
    assert wire.decode(bytes(28), out) is None
    assert out == {"s": None, "p": None}
    assert wire.encode(None, out) == bytes(28)


def test_a_socket_address_tells_its_scope_wherever_it_stands():
    """A scope embedded in the address and one in sin6_scope_id are shown alike."""
    wire = SockaddrIn6(scope="s")
    plain = LINK_LOCAL[:2] + b"\0\0" + LINK_LOCAL[4:]
    for packed in (sockaddr6(LINK_LOCAL), sockaddr6(plain, scope_id=4)):
        out = {}
        assert wire.decode(packed, out) == "fe80::1122:33ff:fe44:5501"
        assert out == {"s": 4}
    assert wire.encode("fe80::1122:33ff:fe44:5501", {"s": 4}) == sockaddr6(LINK_LOCAL)


def test_an_ipv4_socket_address_in_the_room_of_an_ipv6_one():
    """The family byte decides, and the port is in network order."""
    wire = SockaddrIn6(scope="s", port="p")
    packed = bytes.fromhex("100201bbc0a80105") + bytes(20)
    out = {}
    assert wire.decode(packed, out) == "192.168.1.5"
    assert out == {"s": None, "p": 443}
    assert wire.encode("192.168.1.5", out).ljust(28, b"\0") == packed


@pytest.mark.parametrize(
    "odd",
    [
        sockaddr6(LINK_LOCAL, flowinfo=1),
        sockaddr6(LINK_LOCAL, scope_id=9),
        sockaddr6(LINK_LOCAL, length=0),
        sockaddr6(LINK_LOCAL, port=53),
        sockaddr6(LINK_LOCAL, family=77),
    ],
)
def test_an_odd_member_of_a_socket_address_is_not_taken_for_whole(odd):
    """What the text cannot express, the codec is told to look at."""
    assert not SockaddrIn6(scope="s").whole(odd)


def test_a_link_layer_address_with_a_name_in_front():
    """The address begins behind the name; both share twelve bytes."""
    wire = SockaddrDl(index="i", link_type="t")
    packed = bytes((20, 18, 4, 0, 6, 3, 6, 0)) + b"en0" + bytes.fromhex("020304050607") + bytes(3)
    out = {}
    assert wire.decode(packed, out) == "02:03:04:05:06:07"
    assert out == {"i": 4, "t": 6}


def test_link_layer_lengths_that_do_not_fit_are_not_believed():
    """Name and address lengths beyond the room give no address, and no error."""
    wire = SockaddrDl(index="i", link_type="t")
    out = {}
    assert wire.decode(bytes((20, 18, 4, 0, 6, 10, 6, 0)) + bytes(12), out) is None


def test_an_address_of_either_family_needs_a_flag():
    """Without a flag that tells the family the bytes are not called an address."""
    wire = In4or6(flags="flags", scope="s")
    packed = bytes([10, 8, 0, 1]) + bytes(12)
    assert wire.decode(packed, {"flags": ("ipv4", "tcp")}) == "10.8.0.1"
    assert wire.decode(packed, {"flags": ("ipv6",)}) == "a08:1::"
    assert wire.decode(packed, {"flags": ()}) is None


def test_text_ends_at_the_first_nul_or_with_its_room():
    """A name without a NUL is as long as its room, never longer."""
    assert Text(16).decode(b"en".ljust(16, b"\0"), {}) == "en"
    assert Text(16).decode(b"abcdefghijklmnop", {}) == "abcdefghijklmnop"
    assert not Text(16).whole(b"en\0junk".ljust(16, b"\0"))


def test_text_that_is_no_utf8_is_shown_escaped():
    """A name cut inside a character still reads, and goes into JSON."""
    assert Text(4).decode(b"ab\xc3\0", {}) == "ab\\xc3"
    assert Text(4).decode("é".encode() + b"\0\0", {}) == "é"


def test_a_length_byte_bounds_the_text_behind_it():
    """A length beyond the room means the room."""
    assert Pascal(33).decode((b"\x03" + b"LabX").ljust(33, b"\0"), {}) == "Lab"
    assert len(Pascal(33).decode(b"\xff" + b"x" * 32, {})) == 32


def test_a_count_bounds_the_bytes_it_counts():
    """A count beyond the room means the room."""
    wire = CountedBytes(4, count="n")
    assert wire.decode(b"\x01\x02\x03\x04", {"n": 2}) == "0102"
    assert wire.decode(b"\x01\x02\x03\x04", {"n": 900}) == "01020304"


def test_seconds_beyond_the_year_9999_are_no_time():
    """A time that RFC 3339 cannot write is null, and not taken for whole."""
    assert Epoch(U64).decode(1 << 60, {}) is None
    assert not Epoch(U64).whole(1 << 60)
    assert TIMEVAL32.decode(b"\x01\0\0\0\xff\xff\xff\xff", {}) is None


@pytest.mark.parametrize(
    ("value", "word"),
    [
        (-2, "off"),
        (-1, "unknown"),
        (0, "abort"),
        (20, "minimally-viable"),
        (35, "poor"),
        (51, "good"),
        (100, "good"),
        (101, "unknown-101"),
        (-9, "unknown--9"),
    ],
)
def test_a_link_quality_belongs_to_the_first_step_not_below_it(value, word):
    """The metric's thresholds are upper bounds."""
    assert names.LQM.word(value) == word


def test_flags_are_read_in_any_order():
    """People need not know the order of bits."""
    assert names.IN6_IFF.value(["temporary", "autoconf"]) == 0xC0

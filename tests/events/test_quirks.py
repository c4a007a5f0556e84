"""The traps of XNU's events: where a decoder written from the headers alone goes wrong."""

import pytest

from kevmond.events import catalogue
from kevmond.events.encoder import encode
from kevmond.events.event import Decode

UUID = bytes(range(16))
UUID_TEXT = "00010203-0405-0607-0809-0a0b0c0d0e0f"


def u16(value):
    """Bytes of a u16."""
    return value.to_bytes(2, "little")


def u32(value):
    """Bytes of a u32 or an i32."""
    return (value & 0xFFFFFFFF).to_bytes(4, "little")


def u64(value):
    """Bytes of a u64."""
    return value.to_bytes(8, "little")


def sockaddr6(address, *, scope_id=0):
    """Bytes of struct sockaddr_in6 with an address given as hex."""
    return bytes((28, 30)) + bytes(6) + bytes.fromhex(address) + u32(scope_id)


def round_trips(event, raw):
    """Tell whether the event's fields give the bytes again."""
    return encode(event) == raw


# --- the message


def test_the_smallest_message_is_24_bytes(decode, make):
    """sizeof(kern_event_msg) is 28 for a program, yet a message of 24 bytes is whole."""
    assert decode(make(5, 1, 3)).decode is Decode.FULL


def test_the_longest_messages_of_arm64_are_decoded(decode, make):
    """An unattributed wake of 264 bytes is longer than 256, and an x86_64 kernel posts none."""
    data = UUID + bytes(224)
    raw = make(1, 14, 2, data)
    assert len(raw) == 264
    assert decode(raw, "24.0.0").decode is Decode.FULL


def test_the_header_is_little_endian(decode, make, link):
    """The header is in host order, which is little endian on every Mac kevmond runs on."""
    event = decode(bytes.fromhex("30000000010000000100000002000000000100000d000000") + link())
    assert event.kernel_id == 256


@pytest.mark.parametrize(
    ("codes", "data"),
    [
        ((1, 1, 7), bytes(28) + b"\x06" + bytes(9)),
        ((1, 13, 1), b"x" * 36 + b"\0"),
        ((1, 10, 0), b"\x04" + b"ipfw: 100 Deny".ljust(100, b"\0")),
    ],
)
def test_a_size_need_not_be_a_multiple_of_four(decode, make, codes, data):
    """An ARP collision has 62 bytes, an IPsec wake 61, a line of ipfw's log 125."""
    raw = make(*codes, data)
    assert len(raw) % 4
    event = decode(raw)
    assert event.decode is Decode.FULL
    assert round_trips(event, raw)


def test_code_zero_is_a_code(decode, make):
    """IPFWLOGEVENT is number 0."""
    event = decode(make(1, 10, 0, b"\x04" + b"line".ljust(100, b"\0")))
    assert event.type == "network.log.ipfw-log"
    assert (event.code, event.payload.priority, event.payload.text) == (0, 4, "line")


def test_class_zero_and_subclass_zero_of_a_third_party(decode, make):
    """Third parties post class 0 and subclass 0; both are shown, not taken for absent."""
    event = decode(make(0, 0, 1, u32(3), vendor=1002))
    assert event.type == "vendor-1002.0.0.1"
    assert (event.class_, event.subclass) == (0, 0)


@pytest.mark.parametrize("size", [0, 1, 23, 25, 40, 200])
def test_a_kext_may_post_a_known_code_of_an_odd_size(decode, make, size):
    """The kernel does not check what a kext gives ifnet_event: any size gives an event."""
    event = decode(make(1, 2, 12, bytes(range(200))[:size]))
    assert event.type == "network.dl.link-off"
    assert event.decode is (Decode.EXTRA if size > 24 else Decode.MALFORMED)


# --- names


def test_the_bsd_name_is_name_and_unit_joined(decode, make, link):
    """A name of 16 characters and a unit of ten digits do not fit a 16-byte buffer."""
    event = decode(make(1, 2, 13, link(b"abcdefghijklmnop", 4294967295)))
    assert event.interface == "abcdefghijklmnop4294967295"


def test_a_driver_name_may_have_no_nul(decode, make, link):
    """IONetworkingFamily fills all 16 bytes of a long name: reading ends with them."""
    raw = make(1, 1, 1, link(b"sixteen-letters!") + b"\x7f\0\0\x01" + bytes(24))
    event = decode(raw)
    assert event.payload.if_name == "sixteen-letters!"
    assert round_trips(event, raw)


def test_an_event_may_name_no_interface(decode, make):
    """An empty name (AppleTalk stopped, NAT64 request) is no interface called "0"."""
    assert decode(make(1, 5, 2, bytes(60))).interface is None
    assert decode(make(1, 6, 7, bytes(168))).interface is None


def test_a_router_advertisement_tells_only_an_index(decode, captures):
    """The interface of a router advertisement is told by number, not by name."""
    raw = next(raw for _, raw in captures if raw[12:16] == u32(7) and raw[20:24] == u32(1))
    event = decode(raw)
    assert event.interface is None
    assert event.payload.if_index == 4


def test_a_process_name_may_be_cut_and_is_not_trusted(decode, make):
    """Control characters of a process name are escaped in the JSON and come back."""
    name = b"\x1b[31mevil\nname"
    data = u32(5) + name.ljust(33, b"\0") + bytes(3) + u32(1) + bytes(28)
    raw = make(3, 4, 1, data)
    event = decode(raw)
    assert b"\x1b" not in event.json_line()
    assert b"\\u001b[31mevil\\nname" in event.json_line()
    assert round_trips(event, raw)


# --- layouts that changed


def test_a_router_advertisement_shrank(decode, make):
    """From 176 bytes with the router's address in front to 104 without, told by the length."""
    new = u32(1500) + u32(0) + u32(1) + u32(3) + bytes(80) + bytes(8)
    old = bytes.fromhex("020304050607").ljust(64, b"\0") + u32(6)
    old += u32(1500) + u32(0) + u32(1) + u32(3) + bytes(4) + bytes(80) + bytes(8)
    for release in ("", "14.0.0", "24.0.0"):
        event = decode(make(1, 7, 1, new), release)
        assert type(event.payload).__name__ == "RouterAdvertisement"
        assert (event.payload.mtu, event.payload.valid) == (1500, ("mtu", "prefix"))
        event = decode(make(1, 7, 1, old), release)
        assert event.payload.router_link_address == "02:03:04:05:06:07"
        assert (event.payload.mtu, event.payload.valid) == (1500, ("mtu", "prefix"))
        assert round_trips(event, make(1, 7, 1, old))


DENIED_NEW = u64(9) + u64(0x1_0000_0001) + UUID + u32(3) + bytes(4)
DENIED_OLD = u64(9) + u32(77) + UUID + bytes(4) + u32(5) + bytes(4)


@pytest.mark.parametrize(
    ("release", "data", "told"),
    [
        ("18.7.0", DENIED_OLD, ("InterfaceDenied40", 77, "cellular")),
        ("16.0.0", DENIED_OLD, ("InterfaceDenied40", 77, "cellular")),
        ("19.0.0", DENIED_NEW, ("InterfaceDenied", 0x1_0000_0001, "wifi-infra")),
        ("24.4.0", DENIED_NEW, ("InterfaceDenied", 0x1_0000_0001, "wifi-infra")),
        ("", DENIED_NEW, ("InterfaceDenied", 0x1_0000_0001, "wifi-infra")),
    ],
)
def test_an_interface_denial_changed_inside_at_the_same_size(decode, make, release, data, told):
    """40 bytes mean one thing up to macOS 10.14 and another from 10.15: the release decides."""
    raw = make(1, 3, 1, data)
    event = decode(raw, release)
    payload = event.payload
    assert (type(payload).__name__, payload.effective_pid, payload.functional_type) == told
    assert payload.effective_uuid == UUID_TEXT
    assert event.decode is Decode.FULL
    assert round_trips(event, raw)


def test_an_interface_denial_had_no_kind_at_first(decode, make):
    """OS X 10.9 to 10.11 posted 32 bytes: only cellular could be refused."""
    raw = make(1, 3, 1, u64(9) + u32(77) + UUID + bytes(4))
    event = decode(raw, "14.5.0")
    assert type(event.payload).__name__ == "InterfaceDenied32"
    assert (event.payload.effective_pid, event.payload.effective_uuid) == (77, UUID_TEXT)
    assert round_trips(event, raw)


def test_an_ipv6_address_event_grew_at_its_end(decode, make, link):
    """160 bytes before OS X 10.10, 168 since, both whole; what lies between is the shorter."""
    for size, decoded in ((160, Decode.FULL), (168, Decode.FULL), (164, Decode.EXTRA)):
        event = decode(make(1, 6, 5, link() + bytes(size - 24)))
        assert event.decode is decoded
        assert hasattr(event.payload, "duplicate_mac") is (size == 168)


@pytest.mark.parametrize(
    ("code", "sizes"), [(1, (156, 168, 208)), (2, (188, 200, 240))], ids=["traced", "untraced"]
)
def test_wake_events_grew_at_their_ends(decode, make, code, sizes):
    """MacOS 12, 13 and 14 post three lengths: each is whole, and they share their beginning."""
    for size in sizes:
        raw = make(1, 14, code, UUID + bytes(range(1, size - 15)))
        for release in ("", "21.0.0", "24.0.0"):
            event = decode(raw, release)
            assert event.decode is Decode.FULL
            assert size == event.payload.SIZE
            assert event.payload.wake_uuid == UUID_TEXT
            assert round_trips(event, raw)


def test_a_closed_socket_was_declared_too_long_to_be_posted(decode, make):
    """The 256-byte form of before macOS 10.15 is read too, should a recording hold it."""
    data = bytes.fromhex("100201bbc0a80105").ljust(128, b"\0") + bytes(128)
    event = decode(make(1, 4, 1, data), "18.0.0")
    assert (event.payload.local_address, event.payload.local_port) == ("192.168.1.5", 443)
    assert event.payload.peer_address is None


def test_the_oldest_memory_level_is_the_event_code(decode, make):
    """Mac OS X 10.5 posted no payload: the code itself was the percentage in use."""
    for code in (1, 4, 57, 100):
        raw = make(3, 3, code)
        event = decode(raw, "9.8.0")
        assert event.type == "system.memorystatus.level"
        assert event.payload.used == event.code == code
        assert event.decode is Decode.FULL
        assert round_trips(event, raw)
    assert decode(make(3, 3, 57), "20.6.0").decode is Decode.UNKNOWN
    assert decode(make(3, 3, 1), "20.6.0").decode is Decode.MALFORMED
    assert decode(make(3, 3, 57), "").decode is Decode.UNKNOWN


def test_memory_level_of_10_6_has_page_counts(decode, make):
    """xnu-1456 to xnu-1699 posted a level and five counts of pages."""
    event = decode(make(3, 3, 1, b"".join(map(u32, (40, 1, 2, 3, 4, 5)))), "11.4.2")
    assert (event.payload.level, event.payload.wired_pages) == (40, 5)


def test_a_link_issue_of_a_32_bit_kernel_has_no_padding(decode, make, link):
    """A u64 is aligned to 8 bytes on LP64 and to 4 on i386: the length tells."""
    lp64 = link() + bytes(20) + bytes(4) + u64(1700000000) + b"\x01" + bytes(11) + bytes(4)
    i386 = link() + bytes(20) + u64(1700000000) + b"\x01" + bytes(11)
    for data in (lp64, i386):
        raw = make(1, 2, 24, data)
        event = decode(raw)
        assert event.payload.reported_at == "2023-11-14T22:13:20Z"
        assert event.payload.info == "01" + "00" * 11
        assert round_trips(event, raw)


def test_the_primary_election_kept_its_number_under_another_name():
    """KEV_DL_MASTER_ELECTED is the old name of number 23."""
    kind = catalogue.by_type("network.dl.primary-elected")
    assert (kind.code, kind.alias) == (23, "KEV_DL_MASTER_ELECTED")


# --- payloads


def test_an_ipv4_address_event_mixes_byte_orders(decode, captures):
    """Four of seven addresses are in host order, and the class's mask is not the one in use."""
    raw = next(raw for trigger, raw in captures if trigger.startswith("SIOCSIFNETMASK"))
    payload = decode(raw).payload
    assert payload.address == "192.168.1.5"
    assert payload.class_network == "192.168.1.0"
    assert payload.class_mask == "255.255.255.0"
    assert payload.subnet == "192.168.1.0"
    assert payload.subnet_mask == "255.255.0.0"
    assert payload.broadcast == "192.168.1.255"
    assert payload.destination == "192.168.1.255"


def test_the_port_in_use_is_in_host_order_and_others_are_not(decode, captures, make):
    """The port of a bind conflict is in host order, that of a wake in network order."""
    raw = next(raw for trigger, raw in captures if "UDP port 5555" in trigger)
    event = decode(raw)
    assert event.payload.port == 5555
    assert event.payload.model_dump() == {"port": 5555, "pid": 1}
    data = UUID + bytes(10) + b"\x15\xb3" + bytes(128)
    assert decode(make(1, 14, 1, data)).payload.local_port == 5555


def test_an_arp_collisions_address_begins_at_an_odd_offset(decode, captures):
    """The other host's address begins at 29, behind its length, and filler ends the payload."""
    raw = next(raw for _, raw in captures if len(raw) == 62)
    event = decode(raw)
    assert event.payload.hardware_address == "02:aa:bb:cc:dd:01"
    assert event.payload.address == "192.168.1.5"
    assert event.payload.residue is None
    assert event.decode is Decode.FULL
    assert round_trips(event, raw)


def test_filler_of_an_old_kernels_collision_is_not_printed_as_an_address(decode, make, link):
    """xnu-1228 left stack bytes behind the address: kept as residue, not shown as the address."""
    data = link() + bytes([10, 0, 0, 1]) + b"\x06" + bytes.fromhex("02aabbccdd01") + b"\xde\xad\xbe"
    raw = make(1, 1, 7, data)
    event = decode(raw, "9.8.0")
    assert event.payload.hardware_address == "02:aa:bb:cc:dd:01"
    assert event.payload.residue == {"35": "deadbe"}
    assert event.decode is Decode.FULL
    assert round_trips(event, raw)


@pytest.mark.parametrize("length", [7, 20, 255])
def test_a_collisions_length_byte_is_not_believed_beyond_the_data(decode, make, link, length):
    """A link-layer length that says more than is there is malformed."""
    data = link() + bytes(4) + bytes([length]) + bytes(9)
    event = decode(make(1, 1, 7, data))
    assert event.decode is Decode.MALFORMED
    assert f"{32 + length} bytes" in event.reason


def test_an_absent_peer_may_have_no_link_layer_address(decode, make, link):
    """The kernel leaves the link-layer address of a peer empty: length 0, family 0."""
    raw = make(1, 2, 22, link() + sockaddr6("fe80" + "00" * 13 + "55") + bytes(20))
    event = decode(raw)
    assert event.payload.node_address == "fe80::55"
    assert event.payload.node_link_address is None
    assert event.payload.node_link_index is None
    assert round_trips(event, raw)


def test_lengths_inside_a_link_layer_address_are_checked(decode, make, link):
    """Name and address lengths that exceed the 12 bytes they share give no address."""
    for lengths in ((12, 6), (0, 255), (255, 255)):
        odd = bytes((20, 18, 4, 0, 6, *lengths, 0)) + bytes(12)
        raw = make(1, 2, 22, link() + bytes(28) + odd)
        event = decode(raw)
        assert event.payload.node_link_address is None
        assert event.payload.node_link_index == 4
        assert round_trips(event, raw)


def test_a_link_local_address_has_its_interface_index_inside(decode, captures):
    """Bytes 2 and 3 of a link-local address are cleaned, and shown as the scope."""
    raw = next(raw for _, raw in captures if b"\xfe\x80\0\x04" in raw and raw[20:24] == u32(1))
    event = decode(raw)
    assert event.payload.address == "fe80::11:22ff:fe33:4455"
    assert event.payload.scope == 4
    assert event.payload.residue is None
    assert round_trips(event, raw)


def test_a_scope_may_stand_in_the_socket_address_instead(decode, make, link):
    """With the sysctl in6_embedded_scope off the index is in sin6_scope_id only."""
    address = sockaddr6("fe80" + "00" * 13 + "01", scope_id=9)
    raw = make(1, 6, 4, link() + address + bytes(168 - 24 - 28))
    event = decode(raw)
    assert (event.payload.address, event.payload.scope) == ("fe80::1", 9)
    assert round_trips(event, raw)


def test_addresses_of_other_events_are_cleaned_too(decode, make, link):
    """Router expiry and wakes carry bare addresses with the index inside."""
    packed = bytes.fromhex("fe80000b" + "00" * 11 + "01")
    event = decode(make(1, 7, 9, link() + packed + u32(1800)))
    assert (event.payload.router, event.payload.scope) == ("fe80::1", 11)
    data = bytearray(156)
    data[28:30] = u16(2)
    data[108:124] = packed
    event = decode(make(1, 14, 1, bytes(data)))
    assert (event.payload.local_address, event.payload.local_scope) == ("fe80::1", 11)


def test_a_closed_ipv4_socket_leaves_the_rest_of_its_room_unused(decode, make):
    """Two rooms of 28 bytes hold IPv4 or IPv6, by their own family bytes."""
    local = bytes.fromhex("100201bbc0a80105") + bytes(20)
    peer = bytes((28, 30)) + b"\x00\x35" + bytes(4) + bytes.fromhex("20010db8" + "00" * 11 + "01")
    raw = make(1, 4, 1, local + peer + bytes(4))
    event = decode(raw)
    assert event.payload.model_dump() == {
        "local_address": "192.168.1.5",
        "local_port": 443,
        "local_scope": None,
        "peer_address": "2001:db8::1",
        "peer_port": 53,
        "peer_scope": None,
    }
    assert round_trips(event, raw)


def test_expiry_zero_is_never_and_lifetime_all_ones_is_infinite(decode, make, link):
    """Expiry is wall-clock seconds cut to 32 bits, a lifetime seconds; both have special values."""
    body = link() + bytes(112) + u32(64) + u32(0x40)
    event = decode(make(1, 6, 5, body + u32(0) * 2 + u32(0xFFFFFFFF) * 2 + bytes(8)))
    assert event.payload.expires_at is None
    assert event.payload.deprecated_at is None
    assert event.payload.valid_lifetime is None
    assert event.payload.preferred_lifetime is None
    times = u32(1795420070) + u32(1795418270) + u32(3600) + u32(1800)
    event = decode(make(1, 6, 5, body + times + bytes(8)))
    assert event.payload.expires_at == "2026-11-23T07:47:50Z"
    assert event.payload.valid_lifetime == 3600


def test_a_failed_duplicate_detection_is_told_by_a_flag(decode, make, link):
    """The event of a new address comes on failure too, with the other host's address."""
    data = link() + bytes(112) + u32(64) + u32(0x4) + bytes(16)
    event = decode(make(1, 6, 1, data + bytes.fromhex("02aabbccdd01") + bytes(2)))
    assert event.payload.flags == ("duplicated",)
    assert event.payload.duplicate_mac == "02:aa:bb:cc:dd:01"
    assert decode(make(1, 6, 1, data + bytes(8))).payload.duplicate_mac is None


def test_an_mtu_means_something_only_with_its_flag(decode, captures):
    """A router advertisement says which of its parts are valid."""
    raw = next(
        raw
        for trigger, raw in captures
        if "Router Advertisement injected" in trigger and len(raw) == 128
    )
    payload = decode(raw).payload
    assert payload.valid == ("prefix",)
    assert (payload.mtu, payload.list_index, payload.list_length) == (0, 0, 1)
    assert payload.prefix == "2001:db8:77::"
    assert payload.prefix_options == ("onlink", "autonomous")


def test_one_structure_means_three_things(decode, make, link):
    """A neighbour discovery event holds an address, a router with its lifetime, or a prefix."""
    data = link() + bytes.fromhex("20010db8" + "00" * 12) + u32(1800)
    assert decode(make(1, 7, 8, data)).payload.address == "2001:db8::"
    expired = decode(make(1, 7, 9, data)).payload
    assert (expired.router, expired.lifetime) == ("2001:db8::", 1800)
    assert decode(make(1, 7, 10, data)).payload.prefix == "2001:db8::"


def test_a_unique_pid_of_zero_is_none(decode, make):
    """Some posters leave the unique process id 0: it is not shown as an id."""
    event = decode(make(1, 3, 3, u64(0) + u64(412) + bytes(16) + u32(1) + bytes(4)))
    assert event.payload.effective_unique_pid is None
    assert event.payload.effective_pid == 412
    assert event.payload.effective_uuid is None
    assert event.payload.network_type == "local"


@pytest.mark.parametrize("length", [0, 60, 102, 103, 65535])
def test_a_wake_packets_length_is_bounded_by_its_room(decode, make, length):
    """The misspelt length member counts valid bytes of 102; more is not believed."""
    data = bytearray(UUID + bytes(224))
    data[30:32] = u16(length)
    data[32:134] = bytes(range(102))
    raw = make(1, 14, 2, bytes(data))
    event = decode(raw)
    assert event.payload.captured_length == length
    assert event.payload.packet == bytes(range(102))[:length].hex()
    assert round_trips(event, raw)


def test_uuids_need_not_be_aligned(decode, make):
    """The UUID of an APN fallback lies at 4, that of a CLAT46 event at 8, behind a signed pid."""
    assert decode(make(1, 11, 1, u32(-1) + UUID)).payload.model_dump() == {
        "effective_pid": -1,
        "effective_uuid": UUID_TEXT,
    }
    clat = decode(make(1, 11, 2, u32(1) + u32(0) + bytes(16))).payload
    assert clat.clat46_event == "v6-addr-conffail"
    assert clat.effective_pid is None
    assert clat.effective_uuid is None


def test_the_unit_of_a_control_is_not_shown(decode, captures):
    """The kernel posts unit 0 for every control: only the id says anything."""
    event = decode(captures[0][1])
    assert (event.payload.control_id, event.payload.control_unit) == (1, None)


def test_a_snapshots_size_has_eight_bytes(decode, make):
    """size_t is 8 bytes on LP64."""
    assert decode(make(3, 3, 2, u64(1 << 33))).payload.snapshot_size == 1 << 33


def test_uninitialised_bytes_behind_a_wake_uuid_are_kept(decode, make):
    """The IPsec poster does not clear its stack: bytes behind the NUL are no part of the text."""
    text = b"6F9B4D1E-0C52-4F0E-9A53-3D1F4F8F2C11"
    raw = make(1, 13, 1, text + b"\x99")
    event = decode(raw)
    assert event.payload.wake_uuid == text.decode() + "\\x99"
    assert round_trips(event, raw)
    raw = make(1, 13, 1, b"short\0" + b"\x99" * 31)
    event = decode(raw)
    assert event.payload.wake_uuid == "short"
    assert round_trips(event, raw)


def test_reserved_bytes_are_not_promised_to_be_zero(decode, make):
    """Reserved members and padding that are not zero are shown as residue."""
    raw = make(1, 1, 8, u16(80) + b"\xaa\xbb" + u32(1) + u64(5))
    event = decode(raw)
    assert event.payload.residue == {"2": "aabb", "8": "05"}
    assert event.decode is Decode.FULL
    assert round_trips(event, raw)


def test_an_unknown_signal_strength_is_null(decode, make, link):
    """A driver that does not know the signal strength gives the smallest integer."""
    peer = link() + sockaddr6("fe80" + "00" * 14) + bytes(20)
    event = decode(make(1, 2, 21, peer + u32(-2147483648) + u32(-1) + u32(30) + bytes(48)))
    assert event.payload.rssi is None
    assert event.payload.link_quality == "unknown"
    assert event.payload.node_proximity == "near"
    event = decode(make(1, 2, 21, peer + u32(-61) + u32(50) + u32(70) + b"\x01" * 48))
    assert event.payload.model_dump()["rssi"] == -61
    assert event.payload.model_dump()["link_quality"] == "poor"
    assert event.payload.node_service_info == "01" * 48


def test_appletalk_events_hold_a_node_or_a_zone(decode, make, link):
    """One room of 34 bytes is a node's address, or a zone's name behind its length."""
    node = decode(make(1, 5, 1, link(b"en") + u16(65280) + b"\x07" + bytes(33))).payload
    assert (node.network, node.node) == (65280, 7)
    raw = make(1, 5, 3, link(b"en") + b"\x05Attic" + bytes(30))
    event = decode(raw)
    assert event.payload.zone == "Attic"
    assert round_trips(event, raw)


def test_vlan_and_bond_are_protocols_by_four_letters(decode, make, link):
    """Protocol families of VLAN and bond are four-character codes."""
    for number, word in ((0x766C616E, "vlan"), (0x626F6E64, "bond"), (30, "inet6")):
        assert decode(make(1, 2, 14, link() + u32(number) + u32(1))).payload.protocol == word

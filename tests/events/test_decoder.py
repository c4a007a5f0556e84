"""The decoder: any bytes become an event."""

import json

import pytest

from kevmond.events.decoder import MALFORMED_TYPE, Decoder, darwin_major
from kevmond.events.event import Context, Decode, Kind, Severity, kernel_event_id


def test_a_link_event_is_decoded_in_full(decode, make, link):
    """Header words, interface name and payload come out of the bytes."""
    raw = make(1, 2, 13, link(b"en", 4))
    event = decode(raw)
    assert event.type == "network.dl.link-on"
    assert (event.vendor_name, event.class_name, event.subclass_name, event.code_name) == (
        "apple",
        "network",
        "dl",
        "link-on",
    )
    assert (event.vendor, event.class_, event.subclass, event.code) == (1, 1, 2, 13)
    assert event.interface == "en4"
    assert event.payload.model_dump() == {"if_family": "ethernet", "if_unit": 4, "if_name": "en"}
    assert event.decode is Decode.FULL
    assert event.raw == raw.hex()
    assert event.kernel_id == 7
    assert event.id == kernel_event_id(event.boot_id, 7, raw)
    assert (event.reason, event.extra, event.synthetic) == (None, None, False)


def test_the_same_message_with_another_id_is_another_event(decode, make, link):
    """What is remembered of a message never leaks the id or time of an earlier one."""
    decoder = Decoder(Context(host="h", boot_id="b"))
    first = decoder.event(make(1, 2, 13, link(), kernel_id=1), seq=1, time="t1")
    second = decoder.event(make(1, 2, 13, link(), kernel_id=2), seq=2, time="t2")
    assert (first.kernel_id, first.seq, first.time) == (1, 1, "t1")
    assert (second.kernel_id, second.seq, second.time) == (2, 2, "t2")
    assert first.id != second.id
    assert first.raw != second.raw
    assert first.payload is second.payload


def test_what_is_remembered_is_bounded(make, link):
    """A flood of different messages does not grow the memory for ever."""
    decoder = Decoder(Context(host="h", boot_id="b"))
    for unit in range(2000):
        assert decoder.event(make(1, 2, 13, link(b"en", unit)), seq=1, time="t").interface == (
            f"en{unit}"
        )
    assert len(decoder._known) <= 512
    for code in range(2000):
        decoder.event(make(1, 2, 1000 + code), seq=1, time="t")
    assert len(decoder._envelopes) <= 512


def test_a_record_keeps_the_bytes_and_encodes_its_json_once(make, link):
    """The journal stores the bytes as read; all sinks share one line of JSON."""
    raw = make(1, 2, 13, link())
    record = Decoder(Context(host="h", boot_id="b")).record(raw, seq=9, wall_ns=5)
    assert (record.seq, record.wall_ns, record.kind, record.body) == (9, 5, Kind.KERNEL, raw)
    assert record.line is record.line
    assert json.loads(record.line)["type"] == "network.dl.link-on"
    assert b"\n" not in record.line


@pytest.mark.parametrize("size", [0, 1, 4, 16, 19, 20, 23])
def test_less_than_a_header_is_malformed(decode, make, size):
    """Fewer bytes than a header have no type; they are kept, and the reason given."""
    raw = make(1, 2, 13)[:size]
    event = decode(raw)
    assert event.decode is Decode.MALFORMED
    assert event.type == MALFORMED_TYPE
    assert event.raw == raw.hex()
    assert f"{size} bytes" in event.reason
    assert event.severity is Severity.WARNING
    assert event.kernel_id == (7 if size >= 20 else None)
    assert event.vendor is None


@pytest.mark.parametrize("total", [0, 1, 23, 47, 49, 0xFFFFFFFF])
def test_a_total_size_that_lies_is_malformed(decode, make, link, total):
    """A total_size below a header, below or above the bytes read contradicts the message."""
    event = decode(make(1, 2, 13, link(), total=total))
    assert event.decode is Decode.MALFORMED
    assert event.type == "network.dl.link-on"
    assert str(total) in event.reason
    assert event.severity is Severity.WARNING


def test_a_longer_payload_keeps_its_tail(decode, make, link):
    """Bytes behind the declared payload are shown as hex, and the rest is decoded."""
    event = decode(make(1, 2, 13, link(b"en", 1) + b"\x01\x02\x03"))
    assert event.decode is Decode.EXTRA
    assert event.extra == "010203"
    assert event.interface == "en1"


def test_a_shorter_payload_still_tells_its_interface(decode, make, link):
    """An address event cut behind its interface names the interface, and why it stopped."""
    event = decode(make(1, 1, 1, link(b"en", 0) + b"\xc0\xa8"))
    assert event.decode is Decode.MALFORMED
    assert event.interface == "en0"
    assert event.extra == "c0a8"
    assert event.reason == "KEV_INET_NEW_ADDR has a payload of 52 bytes, 26 are there"


def test_a_payload_shorter_than_an_interface_is_kept_raw(decode, make):
    """Nothing is guessed from half an interface."""
    event = decode(make(1, 2, 13, b"\x02\0\0\0"))
    assert event.decode is Decode.MALFORMED
    assert event.payload is None
    assert event.interface is None


def test_an_unknown_code_keeps_its_data(decode, make):
    """A code that no source names is unknown, not malformed; its data is shown."""
    event = decode(make(1, 2, 99, b"\xab\xcd"))
    assert event.type == "network.dl.99"
    assert event.decode is Decode.UNKNOWN
    assert event.extra == "abcd"
    assert (event.class_name, event.subclass_name, event.code_name) == ("network", "dl", None)
    assert event.severity is Severity.INFO


def test_an_unknown_class_is_told_by_number(decode, make):
    """A class of a newer system is neither an error nor lost."""
    event = decode(make(9, 1, 5))
    assert (event.type, event.decode, event.class_name) == ("class-9.1.5", Decode.UNKNOWN, None)


def test_a_third_partys_event_has_its_vendors_name(decode, make):
    """The name that the code was asked for with is shown; the type keeps the number."""
    raw = make(1, 2, 13, b"\x01", vendor=1001)
    event = decode(raw, vendor_names={1001: "org.mklinux.nke"})
    assert event.type == "vendor-1001.1.2.13"
    assert event.vendor_name == "org.mklinux.nke"
    assert (event.class_name, event.decode, event.extra) == (None, Decode.UNKNOWN, "01")
    assert decode(raw).vendor_name is None


def test_a_payload_that_is_not_public_is_unknown(decode, make):
    """A Wi-Fi event has a name, and its bytes are shown as they are."""
    event = decode(make(6, 1, 2, b"\x01\x02"))
    assert event.type == "wifi.event.ssid-changed"
    assert event.decode is Decode.UNKNOWN
    assert event.reason == "the payload's layout is not public"
    assert event.extra == "0102"


def test_an_event_without_a_payload_is_full(decode, make):
    """Ipfw events were 24 bytes long: every byte is accounted for."""
    assert decode(make(5, 1, 1)).decode is Decode.FULL
    assert decode(make(6, 1, 2)).decode is Decode.FULL
    event = decode(make(5, 1, 1, b"\x07"))
    assert (event.decode, event.extra) == (Decode.EXTRA, "07")


def test_two_short_messages_do_not_share_what_is_remembered(make):
    """Messages cut inside the id are not confused with each other."""
    decoder = Decoder(Context(host="h", boot_id="b"))
    whole = make(1, 2, 13)
    events = [decoder.event(whole[:size], seq=1, time="t") for size in (16, 17, 18, 19, 20)]
    assert [len(event.raw) // 2 for event in events] == [16, 17, 18, 19, 20]
    assert all(f"{16 + n} bytes" in event.reason for n, event in enumerate(events))


@pytest.mark.parametrize(
    ("release", "major"), [("20.6.0", 20), ("24", 24), ("", None), ("xnu", None), ("²", None)]
)
def test_the_darwin_release_is_read_with_care(release, major):
    """A release that is not one is an unknown release."""
    assert darwin_major(release) == major


def test_short_messages_are_not_taken_for_each_other(make):
    """Messages of 16 to 20 bytes that begin alike are each told, and written, as they are."""
    decoder = Decoder(Context(host="h", boot_id="b"))
    whole = make(1, 2, 13, b"", kernel_id=5)
    for size in (20, 17, 20, 16, 24, 19):
        raw = whole[:size]
        event = decoder.event(raw, seq=1, time="t")
        assert decoder.line(raw, event) == event.json_line()
        assert event.raw == raw.hex()
        assert event.kernel_id == (5 if size >= 20 else None)
        if size < 24:
            assert event.reason.startswith(f"{size} bytes are less than a header")

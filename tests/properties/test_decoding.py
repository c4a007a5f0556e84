"""Properties of decoding and encoding, for examples that hypothesis finds and shrinks."""

import json
import socket
import string
from ipaddress import IPv4Address
from uuid import UUID

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kevmond.events import catalogue
from kevmond.events.codec import codec
from kevmond.events.decoder import Decoder
from kevmond.events.encoder import encode, message
from kevmond.events.event import Context, Decode
from kevmond.events.revive import revive
from kevmond.events.wire import EVENT_CODE, Enum, Flags, Int, NetworkInt, NullAt, Part
from kevmond.events.wire_link import Counted, CountedAddress, Mac, SockaddrDl
from kevmond.events.wire_net import In4, In4Host, In4or6, In6, SockaddrIn6, Uuid
from kevmond.events.wire_text import Bytes, CountedBytes, Epoch, Pascal, Text, Timeval32

CONTEXT = Context(host="h", boot_id="b", os_release="24.4.0")
KINDS = list(catalogue.kinds())
LIMITS = {"B": (0, 255), "H": (0, 65535), "I": (0, 2**32 - 1), "Q": (0, 2**64 - 1)}
LIMITS["i"] = (-(2**31), 2**31 - 1)


def macs(low, high):
    """Link-layer addresses of so many bytes."""
    return st.binary(min_size=low, max_size=high).map(lambda data: data.hex(":") or None)


def texts(size):
    """Text whose UTF-8 fits a room and does not end early."""
    letters = st.text(string.printable + "é…", max_size=size)
    return letters.filter(lambda text: "\0" not in text and len(text.encode()) <= size)


def six():
    """IPv6 addresses without an interface index inside, in the text of inet_ntop."""
    groups = st.lists(st.sampled_from([0, 0, 1, 0xFF, 0x2001, 0xFFFF]), min_size=7, max_size=7)
    first = st.sampled_from([0, 0x2001, 0xFD00, 0xFE80, 0xFF02])

    def text(first, rest):
        scoped = first in {0xFE80, 0xFF02}
        numbers = [first, *([0] if scoped else rest[:1]), *rest[1:]]
        packed = b"".join(number.to_bytes(2, "big") for number in numbers)
        return socket.inet_ntop(socket.AF_INET6, packed)

    return st.builds(text, first, groups)


def value_of(wire):  # noqa: C901, PLR0911, PLR0912 - a line each
    """Give a strategy of values that a wire type can write, in the form that decoding gives."""
    match wire:
        case Enum():
            known = st.sampled_from(sorted(wire.words.macros)).map(wire.words.word)
            return st.one_of(known, st.integers(1000, 2**31 - 1).map(wire.words.word))
        case Flags():
            return st.integers(*LIMITS[wire.code]).map(wire.bits.words)
        case NullAt():
            return st.none() | st.integers(*LIMITS[wire.code]).filter(lambda n: n != wire.null)
        case Epoch():
            return st.none() | st.integers(1, 2**32 - 1).map(lambda n: wire.decode(n, {}))
        case Timeval32():
            seconds = st.integers(0, 2**32 - 1).map(lambda n: n.to_bytes(4, "little"))
            micros = st.integers(0, 999_999).map(lambda n: n.to_bytes(4, "little"))
            return st.builds(lambda a, b: wire.decode(a + b, {}), seconds, micros)
        case Int():
            return st.integers(*LIMITS[wire.code])
        case NetworkInt():
            return st.integers(0, 65535)
        case Text():
            room = wire.size - 1 if isinstance(wire, Pascal) else wire.size
            return texts(room)
        case CountedBytes():
            return st.just("")
        case Bytes():
            return st.binary(min_size=wire.size, max_size=wire.size).map(
                lambda data: data.hex() if any(data) else None
            )
        case Mac():
            return macs(6, 6).filter(lambda text: text != "00:00:00:00:00:00") | st.none()
        case Uuid():
            return st.none() | st.integers(1, 2**128 - 1).map(lambda n: str(UUID(int=n)))
        case In4() | In4Host():
            return st.integers(0, 2**32 - 1).map(lambda n: str(IPv4Address(n)))
        case In6():
            return six()
        case SockaddrIn6():
            return st.none() | six()
        case SockaddrDl():
            return macs(0, 12)
        case Counted():
            return macs(0, 10)
        case CountedAddress():
            return macs(0, wire.room)
        case In4or6():
            return st.none()
    raise AssertionError(wire)


def fill(draw, slots, values):
    """Add what depends on other fields: parts, counts, addresses told apart by flags."""
    for slot in slots:
        if isinstance(slot.wire, CountedBytes):
            packet = draw(st.binary(max_size=slot.wire.size))
            values |= {slot.name: packet.hex(), slot.wire.count: len(packet)}
        elif isinstance(slot.wire, In4or6):
            four, flags = st.ip_addresses(v=4).map(str), values[slot.wire.flags]
            if "ipv4" in flags or "ipv6" in flags:
                values[slot.name] = draw(four if "ipv4" in flags else six())
        elif isinstance(slot.wire, SockaddrDl):
            given_one = values[slot.name] is not None
            values[slot.wire.index] = draw(st.integers(0, 65535)) if given_one else None
            values[slot.wire.link_type] = draw(st.integers(0, 255)) if given_one else None
        elif isinstance(slot.wire, SockaddrIn6) and slot.wire.port and values[slot.name]:
            values[slot.wire.port] = draw(st.integers(0, 65535))


@st.composite
def posted(draw):
    """Draw a kind of event, and a payload of one of its layouts made field by field."""
    kind = draw(st.sampled_from(KINDS))
    if not kind.variants:
        return kind, None
    model = draw(st.sampled_from(kind.variants)).payload
    values = {slot.name: draw(value_of(slot.wire)) for slot in codec(model).slots}
    for name, field in model.model_fields.items():
        for mark in field.metadata:
            if isinstance(mark, Part) and mark.of == EVENT_CODE:
                values[name] = kind.code
    fill(draw, codec(model).slots, values)
    return kind, model(**values)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(posted())
def test_a_payload_made_of_fields_is_read_back_as_it_was_made(made):
    """message() and decoding are each other's inverse, for every layout and value."""
    kind, payload = made
    raw = message(kind, payload)
    darwin = next((v.first for v in kind.variants if v.payload is type(payload)), None)
    release = "24.4.0" if darwin is None else f"{darwin}.0.0"
    decoder = Decoder(Context(host="h", boot_id="b", os_release=release))
    event = decoder.event(raw, seq=1, time="t")
    assert event.decode is Decode.FULL
    assert event.type == kind.type
    assert event.payload == payload
    assert encode(event) == raw


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_become_an_event(raw):
    """No bytes raise; the event keeps them, and its JSON is one line of UTF-8."""
    event = Decoder(CONTEXT).event(raw, seq=1, time="t")
    told = json.loads(event.json_line().decode("utf-8"))
    assert bytes.fromhex(told["raw"]) == raw
    if event.decode is not Decode.MALFORMED:
        assert encode(event) == raw


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(KINDS), st.binary(max_size=300), st.sampled_from(["", "9.8.0", "24.0.0"]))
def test_any_data_under_a_known_code_becomes_an_event(kind, data, release):
    """A known code may carry anything; what decodes encodes to the same bytes."""
    raw = (24 + len(data)).to_bytes(4, "little") + b"".join(
        number.to_bytes(4, "little") for number in (1, kind.kev_class, kind.subclass, 5, kind.code)
    )
    raw += data
    event = Decoder(Context(host="h", boot_id="b", os_release=release)).event(raw, seq=1, time="t")
    assert event.class_name == kind.class_name
    if event.decode is not Decode.MALFORMED:
        assert encode(event) == raw


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(["k", "o", "x"]), st.binary(max_size=200) | st.text().map(str.encode))
def test_any_row_of_a_journal_becomes_a_record(kind, body):
    """Reading back never raises, whatever the disk did to a row."""
    record = revive(CONTEXT, 1, 0, kind, body)
    assert record.body == body
    assert record.line

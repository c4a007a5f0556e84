import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kevmond.control import sample
from kevmond.errors import KevmondError
from kevmond.kernel import abi

U32 = st.integers(0, 2**32 - 1)
U64 = st.integers(0, 2**64 - 1)

ECHO = bytes.fromhex(
    "4b464f4f 0100 0200 0700000000000000 0300000000000000 02000000 05000000 68656c6c6f"
)
"""An echo of "hello", byte by byte as foo.h lays it out."""


def test_message_bytes():
    """A message is its header as declared in foo.h and its payload, both ways."""
    message = sample.Message(
        sample.MessageType.ECHO, sequence=7, payload=b"hello", reply_to=3, dropped=2
    )
    assert message.pack() == ECHO
    assert sample.Message.unpack(ECHO) == message
    assert ECHO[:4] == b"KFOO"


@given(
    kind=st.integers(0, 2**16 - 1),
    sequence=U64,
    reply_to=U64,
    dropped=U32,
    payload=st.binary(max_size=300),
)
def test_messages_survive_a_round_trip(kind, sequence, reply_to, dropped, payload):
    """Every message that can be said is read back as it was, types of a later version included."""
    message = sample.Message(kind, sequence, payload, reply_to, dropped)
    assert sample.Message.unpack(message.pack()) == message


@given(st.binary(max_size=80) | st.binary(max_size=40).map(lambda tail: ECHO[:8] + tail))
def test_bytes_of_any_kind(data):
    """Whatever arrives is a message or a ProtocolError, and what was read is written the same."""
    try:
        message = sample.Message.unpack(data)
    except sample.ProtocolError:
        return
    assert message.pack() == data
    sample.fields(message)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "0 bytes, less than a header of 32"),
        (ECHO[:31], "31 bytes, less than a header of 32"),
        (b"\0" + ECHO[1:], "begins with 0x4f4f4600, not 0x4f4f464b"),
        (ECHO[:4] + b"\2\0" + ECHO[6:], "protocol version 2, only 1 is known"),
        (ECHO[:-1], "4 bytes of payload, its header says 5"),
        (ECHO + b"!", "6 bytes of payload, its header says 5"),
    ],
)
def test_what_is_wrong_with_a_message_is_named(data, text):
    """A message that cannot be read says what is wrong with it."""
    with pytest.raises(sample.ProtocolError, match=text) as caught:
        sample.Message.unpack(data)
    assert isinstance(caught.value, KevmondError)


def test_longest_message():
    """A payload of 16352 bytes makes the longest message; one byte more is refused before send."""
    longest = sample.Message(sample.MessageType.ECHO, 1, bytes(sample.PAYLOAD_MAX))
    assert len(longest.pack()) == 16384
    with pytest.raises(sample.ProtocolError, match=r"echo: 16353 bytes .* at most 16352"):
        sample.Message(sample.MessageType.ECHO, 1, bytes(sample.PAYLOAD_MAX + 1)).pack()


@pytest.mark.parametrize(
    "payload",
    [
        sample.Hello(1, 0x010203, 4, 16384, 2, 16, 1001, 1),
        sample.Result(55, 7),
        sample.Notice(3, 4, 5, 6, 7),
        sample.Goodbye(1),
    ],
)
def test_payloads_survive_a_round_trip(payload):
    """Each payload is read back as it was, also with fields of a later version behind it."""
    assert type(payload).unpack(payload.pack()) == payload
    assert type(payload).unpack(payload.pack() + b"later") == payload


@pytest.mark.parametrize(
    ("layout", "size"),
    [
        (sample.Hello, 32),
        (sample.Result, 8),
        (sample.Notice, 20),
        (sample.Goodbye, 4),
        (sample.Version, 16),
        (sample.Statistics, 96),
    ],
)
def test_short_payloads(layout, size):
    """A payload of one byte too few is refused, with both sizes named."""
    layout.unpack(bytes(size))
    name = layout.__name__.lower()
    with pytest.raises(sample.ProtocolError, match=f"{name}: {size - 1} bytes, at least {size}"):
        layout.unpack(bytes(size - 1))


def test_options_read():
    """The answers to the two options with a layout are read field by field."""
    version = sample.Version.unpack(struct.pack("<HHIII", 1, 0, 0x010000, 16384, 32))
    assert version == sample.Version(1, 0x010000, 16384, 32)
    assert sample.version_text(version.version) == "1.0.0"
    assert sample.version_text(0x12345678) == "4660.86.120"
    statistics = sample.Statistics.unpack(struct.pack("<2I11Q", 96, 2, *range(11)))
    assert (statistics.size, statistics.clients) == (96, 2)
    assert (statistics.connects, statistics.dropped, statistics.errors) == (0, 7, 10)


def test_requests():
    """Payloads of requests are as foo.h lays them out; a mask holds known bits only."""
    assert sample.emit_event(1, 2, 3, b"data") == struct.pack("<3I", 1, 2, 3) + b"data"
    assert sample.subscribe(sample.Subscription.CLIENTS | sample.Subscription.EVENTS) == b"\5\0\0\0"
    assert sample.subscribe(sample.Subscription(0)) == bytes(4)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((0, 1, 1), "class 0"),
        ((1, 2**32, 1), "32-bit"),
        ((1, 1, -1), "32-bit"),
        ((1, 1, 1, bytes(201)), "201 bytes of data, at most 200"),
    ],
)
def test_events_that_cannot_be_emitted(arguments, text):
    """What the kext would refuse is refused before it is sent."""
    with pytest.raises(sample.ProtocolError, match=text):
        sample.emit_event(*arguments)


def message(kind, payload=b""):
    """Make a message whose number does not matter."""
    return sample.Message(kind, 1, payload)


@pytest.mark.parametrize(
    ("said", "fields"),
    [
        (
            message(1, sample.Hello(1, 0x010203, 4, 16384, 2, 16, 1001, 1).pack()),
            {
                "protocol": 1,
                "version": "1.2.3",
                "unit": 4,
                "max_message": 16384,
                "clients": 2,
                "max_clients": 16,
                "vendor_code": 1001,
                "event_class": 1,
            },
        ),
        (message(6, sample.Result(0, 5).pack()), {"result": "ok", "detail": 5}),
        (message(6, sample.Result(55).pack()), {"result": "ENOBUFS", "detail": 0}),
        (message(6, sample.Result(9999).pack()), {"result": "errno 9999", "detail": 0}),
        (message(5, sample.Goodbye(1).pack()), {"reason": "unloading"}),
        (message(5, sample.Goodbye(9).pack()), {"reason": "reason 9"}),
        (
            message(7, sample.Notice(1, 2, 3, 501, 4).pack()),
            {"notice": "client-connected", "unit": 2, "pid": 3, "uid": 501, "clients": 4},
        ),
        (
            message(7, sample.Notice(3, 2, 3, 1, 42).pack()),
            {"notice": "command", "unit": 2, "pid": 3, "command": 1, "argument": 42},
        ),
        (
            message(7, sample.Notice(4, 2, 3, 6, 7).pack()),
            {"notice": "event-emitted", "unit": 2, "pid": 3, "event_class": 6, "event_code": 7},
        ),
        (
            message(7, sample.Notice(99, 2, 3, 6, 7).pack()),
            {"notice": "notice 99", "unit": 2, "pid": 3, "value": 6, "argument": 7},
        ),
        (message(2, b"anything"), None),
        (message(99, b"later"), None),
        (message(1, b"short"), None),
    ],
)
def test_fields(said, fields):
    """What is known of a message is told by name; what is not gives None and never an error."""
    assert sample.fields(said) == fields


def test_words():
    """Types have a word for people, those of a later version a number."""
    assert [kind.word for kind in sample.MessageType] == [
        "hello",
        "echo",
        "emit-event",
        "subscribe",
        "goodbye",
        "result",
        "notice",
    ]
    assert message(3).word == "emit-event"
    assert message(42).word == "type 42"
    assert sample.Message.unpack(message(3).pack()).type is sample.MessageType.EMIT_EVENT
    assert sample.Result(abi.DARWIN_ERRNO["ENOTSUP"]).symbol == "ENOTSUP"
    assert sample.Result(0).symbol is None

"""Messages of the sample kernel extension's protocol, and what they carry; nothing that does I/O.

A message is one datagram: a header of 32 bytes, then a payload that depends on its type
(kext/include/foo.h).  Its numbers are those of `sample_abi`, all of which are here too.
"""

from __future__ import annotations

import struct
from dataclasses import astuple, dataclass
from typing import ClassVar, Final, Self

from kevmond.control.sample_abi import (
    CLIENTS_MAX,
    CONTROL_NAME,
    DEBUG_MAX,
    EMIT_EVENT,
    EVENT_CLASS,
    EVENT_DATA,
    EVENT_DATA_MAX,
    EVENT_SUBCLASS,
    HEADER,
    MAGIC,
    MESSAGE_MAX,
    PAYLOAD_MAX,
    PROTOCOL,
    QUEUE_SIZE,
    SUBSCRIBE,
    VENDOR,
    EventCode,
    GoodbyeReason,
    MessageType,
    NoticeKind,
    Option,
    Subscription,
    Worded,
    speaks_sample,
)
from kevmond.errors import KevmondError
from kevmond.kernel.abi import errno_symbol

__all__ = [
    "CLIENTS_MAX",
    "CONTROL_NAME",
    "DEBUG_MAX",
    "EMIT_EVENT",
    "EVENT_CLASS",
    "EVENT_DATA",
    "EVENT_DATA_MAX",
    "EVENT_SUBCLASS",
    "HEADER",
    "MAGIC",
    "MESSAGE_MAX",
    "NOTICE_NAMES",
    "PAYLOAD_MAX",
    "PROTOCOL",
    "QUEUE_SIZE",
    "SUBSCRIBE",
    "VENDOR",
    "EventCode",
    "Goodbye",
    "GoodbyeReason",
    "Hello",
    "Message",
    "MessageType",
    "Notice",
    "NoticeKind",
    "Option",
    "ProtocolError",
    "Result",
    "Statistics",
    "Subscription",
    "Version",
    "Worded",
    "emit_event",
    "fields",
    "speaks_sample",
    "subscribe",
    "version_text",
]

_U32: Final = 0xFFFFFFFF


class ProtocolError(KevmondError):
    """Bytes are not what the sample's protocol wants."""


class _Layout:
    """Base of what has a fixed layout; more bytes than it knows are of a later version."""

    LAYOUT: ClassVar[struct.Struct]

    @classmethod
    def unpack(cls, data: bytes) -> Self:
        """Read it from the beginning of `data`; ProtocolError if that is too short."""
        if len(data) < cls.LAYOUT.size:
            raise ProtocolError(
                f"{cls.__name__.lower()}: {len(data)} bytes, at least {cls.LAYOUT.size} expected"
            )
        return cls(*cls.LAYOUT.unpack_from(data))


@dataclass(frozen=True, slots=True)
class Hello(_Layout):
    """Payload of HELLO (foo_hello)."""

    LAYOUT: ClassVar[struct.Struct] = struct.Struct("<H2x7I")

    protocol: int
    version: int
    """Of the kext: `version_text` makes it readable."""
    unit: int
    max_message: int
    clients: int
    max_clients: int
    vendor_code: int
    event_class: int

    def pack(self) -> bytes:
        """Make its bytes."""
        return self.LAYOUT.pack(*astuple(self))


@dataclass(frozen=True, slots=True)
class Result(_Layout):
    """Payload of RESULT (foo_result)."""

    LAYOUT: ClassVar[struct.Struct] = struct.Struct("<2I")

    error: int
    """Darwin's errno; 0: done."""
    detail: int = 0
    """Of subscribe the mask, of emit-event the vendor code, else 0."""

    @property
    def symbol(self) -> str | None:
        """Darwin's name of the error; None: done."""
        return errno_symbol(self.error) if self.error else None

    def pack(self) -> bytes:
        """Make its bytes."""
        return self.LAYOUT.pack(self.error, self.detail)


@dataclass(frozen=True, slots=True)
class Notice(_Layout):
    """Payload of NOTICE (foo_notice); what `value` and `argument` are is `NOTICE_NAMES`."""

    LAYOUT: ClassVar[struct.Struct] = struct.Struct("<5I")

    notice: int
    """NoticeKind, or a later version's."""
    unit: int
    pid: int
    value: int
    argument: int

    def pack(self) -> bytes:
        """Make its bytes."""
        return self.LAYOUT.pack(*astuple(self))


NOTICE_NAMES: Final[dict[int, tuple[str, str]]] = {
    NoticeKind.CLIENT_CONNECTED: ("uid", "clients"),
    NoticeKind.CLIENT_DISCONNECTED: ("uid", "clients"),
    NoticeKind.COMMAND: ("command", "argument"),
    NoticeKind.EVENT_EMITTED: ("event_class", "event_code"),
}


@dataclass(frozen=True, slots=True)
class Goodbye(_Layout):
    """Payload of the kext's GOODBYE (foo_goodbye)."""

    LAYOUT: ClassVar[struct.Struct] = struct.Struct("<I")

    reason: int

    @property
    def word(self) -> str:
        """The reason for people."""
        return _word(GoodbyeReason, self.reason, "reason")

    def pack(self) -> bytes:
        """Make its bytes."""
        return self.LAYOUT.pack(self.reason)


@dataclass(frozen=True, slots=True)
class Version(_Layout):
    """What option VERSION gives (foo_version)."""

    LAYOUT: ClassVar[struct.Struct] = struct.Struct("<H2x3I")

    protocol: int
    version: int
    max_message: int
    header_size: int


@dataclass(frozen=True, slots=True)
class Statistics(_Layout):
    """What option STATISTICS gives (foo_statistics); bytes are with headers."""

    LAYOUT: ClassVar[struct.Struct] = struct.Struct("<2I11Q")

    size: int
    """Bytes of the kext's own structure: a later one has more fields at its end."""
    clients: int
    connects: int
    disconnects: int
    refused: int
    messages_in: int
    bytes_in: int
    messages_out: int
    bytes_out: int
    dropped: int
    events_posted: int
    commands: int
    errors: int


def emit_event(kev_class: int, subclass: int, code: int, data: bytes = b"") -> bytes:
    """Payload of EMIT_EVENT; ProtocolError for what the kext would refuse."""
    if kev_class == 0:
        raise ProtocolError("emit-event: class 0 stands for any class; use 1 or more")
    if any(number < 0 or number > _U32 for number in (kev_class, subclass, code)):
        raise ProtocolError("emit-event: class, subclass and code are 32-bit numbers")
    if len(data) > EVENT_DATA_MAX:
        raise ProtocolError(
            f"emit-event: {len(data)} bytes of data, at most {EVENT_DATA_MAX} possible"
        )
    return EMIT_EVENT.pack(kev_class, subclass, code) + data


def subscribe(mask: Subscription) -> bytes:
    """Payload of SUBSCRIBE."""
    return SUBSCRIBE.pack(mask & Subscription.ALL)


def version_text(number: int) -> str:
    """Version of the kext as text, "1.2.3"."""
    return f"{number >> 16}.{number >> 8 & 0xFF}.{number & 0xFF}"


@dataclass(frozen=True, slots=True)
class Message:
    """A message, one way or the other (foo_message)."""

    type: int
    """MessageType, or a number of a later version."""
    sequence: int
    """The sender's count on this connection, from 1."""
    payload: bytes = b""
    reply_to: int = 0
    """Sequence of the client's message that this answers; 0: it answers none."""
    dropped: int = 0
    """From the kext: messages to us that it has lost so far on this connection."""

    @property
    def word(self) -> str:
        """Its type for people."""
        return _word(MessageType, self.type, "type")

    def pack(self) -> bytes:
        """Make its bytes; ProtocolError if they are too many."""
        length = len(self.payload)
        if length > PAYLOAD_MAX:
            raise ProtocolError(
                f"{self.word}: {length} bytes of payload, at most {PAYLOAD_MAX} possible"
            )
        header = HEADER.pack(
            MAGIC, PROTOCOL, self.type, self.sequence, self.reply_to, self.dropped, length
        )
        return header + self.payload

    @classmethod
    def unpack(cls, data: bytes) -> Message:
        """Read one; ProtocolError tells what is wrong with it."""
        if len(data) < HEADER.size:
            raise ProtocolError(
                f"message: {len(data)} bytes, less than a header of {HEADER.size}: "
                "is this the sample's control?"
            )
        magic, version, kind, sequence, reply_to, dropped, length = HEADER.unpack_from(data)
        if magic != MAGIC:
            raise ProtocolError(
                f"message: begins with {magic:#010x}, not {MAGIC:#010x}: is this the sample's "
                "control?"
            )
        if version != PROTOCOL:
            raise ProtocolError(
                f"message: protocol version {version}, only {PROTOCOL} is known: "
                "kext and kevmond are of different ages"
            )
        if length != len(data) - HEADER.size:
            raise ProtocolError(
                f"message: {len(data) - HEADER.size} bytes of payload, its header says {length}"
            )
        return cls(_TYPES.get(kind, kind), sequence, data[HEADER.size :], reply_to, dropped)


_TYPES: Final[dict[int, MessageType]] = {int(kind): kind for kind in MessageType}


def _word(kinds: type[Worded], number: int, what: str) -> str:
    """Word for a number that may be of a later version."""
    try:
        return kinds(number).word
    except ValueError:
        return f"{what} {number}"


def _hello_fields(payload: bytes) -> dict[str, int | str]:
    hello = Hello.unpack(payload)
    return {
        "protocol": hello.protocol,
        "version": version_text(hello.version),
        "unit": hello.unit,
        "max_message": hello.max_message,
        "clients": hello.clients,
        "max_clients": hello.max_clients,
        "vendor_code": hello.vendor_code,
        "event_class": hello.event_class,
    }


def _goodbye_fields(payload: bytes) -> dict[str, int | str]:
    return {"reason": Goodbye.unpack(payload).word}


def _result_fields(payload: bytes) -> dict[str, int | str]:
    result = Result.unpack(payload)
    return {"result": result.symbol or "ok", "detail": result.detail}


def _notice_fields(payload: bytes) -> dict[str, int | str]:
    notice = Notice.unpack(payload)
    value, argument = NOTICE_NAMES.get(notice.notice, ("value", "argument"))
    return {
        "notice": _word(NoticeKind, notice.notice, "notice"),
        "unit": notice.unit,
        "pid": notice.pid,
        value: notice.value,
        argument: notice.argument,
    }


_FIELDS: Final = {
    MessageType.HELLO: _hello_fields,
    MessageType.GOODBYE: _goodbye_fields,
    MessageType.RESULT: _result_fields,
    MessageType.NOTICE: _notice_fields,
}


def fields(message: Message) -> dict[str, int | str] | None:
    """Name what a message from the kext carries; None where that is not known.  Never raises."""
    kind = _TYPES.get(message.type)
    read = _FIELDS.get(kind) if kind is not None else None
    if read is None:
        return None
    try:
        return read(message.payload)
    except ProtocolError:
        return None

"""From the bytes of a kern_event_msg (sys/kern_event.h) to an event.  Never raises.

Whatever the bytes are, an event comes of them that keeps them whole in `raw` and says how far the
decoder came.  All but the id of one interface's events tend to be the same, so what a message's
other bytes mean is worked out once and remembered, within a bound.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pydantic import TypeAdapter

from kevmond.events import catalogue
from kevmond.events.codec import codec
from kevmond.events.event import (
    Decode,
    Event,
    Kind,
    Record,
    Severity,
    kernel_event_id,
)
from kevmond.events.kinds import APPLE, NOT_PUBLIC, EventKind, Variant
from kevmond.events.payloads.link import LinkEvent
from kevmond.kernel.abi import HEADER, KEV_MSG_HEADER_SIZE

if TYPE_CHECKING:
    from collections.abc import Callable

    from kevmond.events.event import Context
    from kevmond.events.wire import WirePayload

_REMEMBERED: Final = 512
"""Distinct messages (ids apart) remembered; each takes a little over 1 KiB."""

_REMEMBERED_SIZE: Final = 512
"""No kernel posts a longer message, so a longer one is not worth remembering."""

_ID_START: Final = 16
_ID_END: Final = 20

_MEMORYSTATUS: Final = (3, 3)
_LEVEL_IN_CODE: Final = 9
"""Darwin release whose memorystatus events have no payload: their code is the level."""

_LEVEL: Final = 1

_FAILED: Final = "the decoder failed"

MALFORMED_TYPE: Final = "malformed"
"""Type of an event whose message is too short to have one."""


_validate: Final[Callable[[dict[str, Any]], Event]] = TypeAdapter(Event).validator.validate_python
"""The validating constructor of an event, without the detours of `Event(...)`."""

_NO_FORM: Final = b""


class Decoder:
    """Makes events of the messages of one context (one boot of one host); threads may share it."""

    def __init__(self, context: Context) -> None:
        self.context = context
        """What its messages belong to."""
        self._darwin = darwin_major(context.os_release)
        self._known: dict[bytes, dict[str, Any]] = {}
        self._envelopes: dict[bytes, tuple[dict[str, Any], EventKind | None]] = {}
        self._lines: dict[bytes, bytes] = {}

    def event(self, raw: bytes, *, seq: int, time: str) -> Event:
        """Decode one message as read; takes any bytes and never raises."""
        key = _key(raw)
        known = self._known.get(key)
        if known is None:
            known = self._learn(key, raw)
        fields = known.copy()
        kernel_id = int.from_bytes(raw[_ID_START:_ID_END], "little")
        fields["id"] = kernel_event_id(self.context.boot_id, kernel_id, raw)
        fields["seq"] = seq
        fields["time"] = time
        fields["raw"] = raw.hex()
        if len(raw) >= _ID_END:
            fields["kernel_id"] = kernel_id
        return _validate(fields)

    def line(self, raw: bytes, event: Event) -> bytes:
        """Return `event.json_line()`, where possible from the line of an earlier like event.

        Of what repeats, only the id, the position and the time differ, so the rest of the line is
        remembered as well: a burst of like events costs a third of the encoding.
        """
        key = _key(raw)
        form = self._lines.get(key)
        if form is None:
            line = event.json_line()
            if key in self._known:
                _remember(self._lines, key, line_form(line, event) or _NO_FORM)
            return line
        if form is _NO_FORM:
            return event.json_line()
        return form % _varying(event)

    def record(self, raw: bytes, *, seq: int, wall_ns: int) -> Record:
        """Make a record of one message; it is decoded when somebody looks at its event."""
        return Record(seq, wall_ns, Kind.KERNEL, raw, decoder=self)

    def _learn(self, key: bytes, raw: bytes) -> dict[str, Any]:
        try:
            found = self._prepare(raw)
        except Exception as error:  # noqa: BLE001 - the promise never to raise is kept here
            found = self._unnamed()
            _malformed(found, f"{_FAILED}: {type(error).__name__}: {error}")
        if _ID_END <= len(raw) <= _REMEMBERED_SIZE:
            _remember(self._known, key, found)
        return found

    def _prepare(self, raw: bytes) -> dict[str, Any]:
        """Work out all fields of the event that the message's id does not touch."""
        size = len(raw)
        if size < KEV_MSG_HEADER_SIZE:
            return _malformed(
                self._unnamed(),
                f"{size} bytes are less than a header, which is {KEV_MSG_HEADER_SIZE}",
            )
        total, vendor, kev_class, subclass, _, code = HEADER.unpack_from(raw)
        fields, kind = self._envelope(raw[4:16] + raw[20:24], (vendor, kev_class, subclass, code))
        if total != size:
            lie = "less than a header" if total < KEV_MSG_HEADER_SIZE else f"{size} were read"
            return _malformed(fields, f"total_size says {total} bytes, {lie}")
        data = raw[KEV_MSG_HEADER_SIZE:]
        if self._darwin == _LEVEL_IN_CODE and not data and (kev_class, subclass) == _MEMORYSTATUS:
            kind = _level_in_code(fields)
        if kind is None:
            return _unknown(fields, data, "no such code is known")
        if not kind.variants:
            return _without_payload(fields, data, kind)
        return self._with_payload(fields, data, kind)

    def _unnamed(self) -> dict[str, Any]:
        return {
            "host": self.context.host,
            "boot_id": self.context.boot_id,
            "type": MALFORMED_TYPE,
            "severity": Severity.INFO,
        }

    def _envelope(
        self, key: bytes, codes: tuple[int, int, int, int]
    ) -> tuple[dict[str, Any], EventKind | None]:
        """Fields that the four codes alone decide, and the kind if it is known."""
        known = self._envelopes.get(key)
        if known is None:
            known = (self._unnamed() | self._named(codes), catalogue.lookup(*codes))
            _remember(self._envelopes, key, known)
        return known[0].copy(), known[1]

    def _named(self, codes: tuple[int, int, int, int]) -> dict[str, Any]:
        vendor, kev_class, subclass, code = codes
        fields: dict[str, Any] = {
            "vendor": vendor,
            "class": kev_class,
            "subclass": subclass,
            "code": code,
            "type": catalogue.type_of(vendor, kev_class, subclass, code),
        }
        if vendor != APPLE:
            fields["vendor_name"] = self.context.vendor_names.get(vendor)
            return fields
        fields["vendor_name"] = catalogue.VENDOR_NAME
        named = catalogue.CLASSES.get(kev_class)
        if named is not None:
            fields["class_name"] = named.word
        entry = catalogue.SUBCLASSES.get((kev_class, subclass))
        if entry is not None:
            fields["subclass_name"] = entry.word
        kind = catalogue.lookup(vendor, kev_class, subclass, code)
        if kind is not None:
            fields["code_name"] = kind.code_name
            fields["severity"] = kind.severity
        return fields

    def _with_payload(self, fields: dict[str, Any], data: bytes, kind: EventKind) -> dict[str, Any]:
        variant = self._variant(kind, len(data))
        if variant is None:
            return _short(fields, data, kind)
        layout = codec(variant.payload)
        length = layout.length(data)
        if length > len(data):
            return _malformed(
                fields, f"the payload's own length says {length} bytes, {len(data)} are there"
            )
        _say(fields, layout.decode(data, fields["code"]))
        if length < len(data):
            fields["decode"] = Decode.EXTRA
            fields["extra"] = data[length:].hex()
        return fields

    def _variant(self, kind: EventKind, size: int) -> Variant | None:
        """Choose the layout of a payload of `size` bytes; None if it is too short for any.

        An exact size decides.  Where layouts share a size the release does, and the newest if
        the release is not known.  A size that is no layout's is the longest that fits, and more.
        """
        exact = [variant for variant in kind.variants if size == variant.payload.SIZE]
        if self._darwin is not None:
            for variant in exact:
                if variant.posted_by(self._darwin):
                    return variant
        for variant in exact:
            if not variant.certain:
                return variant
        fitting = [
            variant
            for variant in kind.variants
            if size > variant.payload.SIZE and not variant.certain
        ]
        return max(fitting, key=lambda variant: variant.payload.SIZE) if fitting else None


def _key(raw: bytes) -> bytes:
    """Return what like messages have in common: all but the id.

    One too short to have an id is like no other; the mark keeps it from looking like a longer one.
    """
    return raw[:_ID_START] + raw[_ID_END:] if len(raw) >= _ID_END else b"short" + raw


def _varying(event: Event) -> tuple[bytes, int, bytes, int | None, bytes]:
    """Return what differs between the lines of like events, in the order of the line."""
    return (
        event.id.encode(),
        event.seq,
        event.time.encode(),
        event.kernel_id,
        (event.raw or "").encode(),
    )


def line_form(line: bytes, event: Event) -> bytes | None:
    """Return a %-form that gives `line` for this event and that of any like one for that one.

    None if the line is not built as expected, or is not given back exactly.
    """
    head = b'{"schema":"%b","id":"%%b","seq":%%d,"time":"%%b",' % event.schema_.encode()
    varying = _varying(event)
    begin = head % varying[:3]
    middle = b',"kernel_id":%d,' % (event.kernel_id or 0)
    end = b',"raw":"%b"}' % varying[4]
    if not (line.startswith(begin) and line.endswith(end)):
        return None
    before, found, after = line[len(begin) : -len(end)].partition(middle)
    form = b'%b%b,"kernel_id":%%d,%b,"raw":"%%b"}' % (
        head,
        before.replace(b"%", b"%%"),
        after.replace(b"%", b"%%"),
    )
    return form if found and form % varying == line else None


def darwin_major(os_release: str) -> int | None:
    """Darwin major release of "20.6.0", or None if it cannot be told."""
    major = os_release.partition(".")[0]
    return int(major) if major.isascii() and major.isdigit() else None


def _remember(known: dict[bytes, Any], key: bytes, found: object) -> None:
    """Keep what was worked out; when there is too much, begin anew.

    Threads may share a decoder: emptying is one step, finding out the oldest would be two.
    """
    if len(known) >= _REMEMBERED:
        known.clear()
    known[key] = found


def _level_in_code(fields: dict[str, Any]) -> EventKind | None:
    kind = catalogue.lookup(APPLE, *_MEMORYSTATUS, _LEVEL)
    if kind is not None:
        fields |= {"type": kind.type, "code_name": kind.code_name, "severity": kind.severity}
    return kind


def _say(fields: dict[str, Any], payload: WirePayload) -> None:
    fields["payload"] = payload
    interface = payload.interface_name()
    if interface is not None:
        fields["interface"] = interface


def _malformed(fields: dict[str, Any], reason: str) -> dict[str, Any]:
    fields["decode"] = Decode.MALFORMED
    fields["reason"] = reason
    fields["severity"] = Severity.WARNING
    return fields


def _unknown(fields: dict[str, Any], data: bytes, reason: str) -> dict[str, Any]:
    fields["decode"] = Decode.UNKNOWN
    fields["reason"] = reason
    fields["extra"] = data.hex() or None
    return fields


def _without_payload(fields: dict[str, Any], data: bytes, kind: EventKind) -> dict[str, Any]:
    if not data:
        return fields
    if kind.private:
        return _unknown(fields, data, NOT_PUBLIC)
    fields["decode"] = Decode.EXTRA
    fields["extra"] = data.hex()
    return fields


def _short(fields: dict[str, Any], data: bytes, kind: EventKind) -> dict[str, Any]:
    """Make the most of a payload that ends too early: the interface it begins with, if it does."""
    shortest = min(variant.payload.SIZE for variant in kind.variants if not variant.certain)
    begins = kind.payload
    if begins is not None and issubclass(begins, LinkEvent) and len(data) >= LinkEvent.SIZE:
        _say(fields, codec(LinkEvent).decode(data))
        fields["extra"] = data[LinkEvent.SIZE :].hex() or None
    return _malformed(
        fields, f"{kind.macro} has a payload of {shortest} bytes, {len(data)} are there"
    )

"""From an event back to the bytes of its kern_event_msg, and messages made from declarations.

`encode(decoder.event(raw))` is `raw` for every message that is well-formed: its `total_size` is its
length, and its payload is no shorter than its declaration.  The bytes come from the event's fields,
`raw` is not looked at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kevmond.events import catalogue
from kevmond.events.codec import codec
from kevmond.events.event import Decode
from kevmond.events.wire import WirePayload
from kevmond.kernel.abi import HEADER, KEV_MSG_HEADER_SIZE

if TYPE_CHECKING:
    from kevmond.events.event import Event, Payload
    from kevmond.events.kinds import EventKind


def payload_bytes(payload: Payload | None) -> bytes:
    """Bytes of a payload (none of None); ValueError names the field that cannot be written."""
    if payload is None:
        return b""
    if not isinstance(payload, WirePayload):
        raise TypeError(f"{type(payload).__name__} is no kernel's payload: it has no wire types")
    return codec(type(payload)).encode(payload)


def encode(event: Event) -> bytes:
    """Bytes of an event that a kernel posted, from its fields.

    ValueError for kevmond's own records, and for malformed ones: only `raw` has their bytes.
    """
    if event.decode is Decode.MALFORMED:
        raise ValueError(f"event {event.id} is malformed: only its raw bytes tell what it was")
    if (
        event.vendor is None
        or event.class_ is None
        or event.subclass is None
        or event.code is None
        or event.kernel_id is None
    ):
        raise ValueError(f"event {event.id} ({event.type}) is none that a kernel posted")
    data = payload_bytes(event.payload)
    if event.extra is not None:
        data += bytes.fromhex(event.extra)
    return _message(
        event.vendor, event.class_, event.subclass, event.code, data, kernel_id=event.kernel_id
    )


def message(kind: str | EventKind, payload: Payload | None = None, *, kernel_id: int = 0) -> bytes:
    """Make a message of a known kind: an `EventKind`, or its type such as `network.dl.link-on`.

    ValueError if there is no such type, or the payload is not one of that kind's.
    """
    if isinstance(kind, str):
        found = catalogue.by_type(kind)
        if found is None:
            raise ValueError(f"no event has the type {kind!r}; `kevmond events` lists them")
        kind = found
    layouts = [variant.payload for variant in kind.variants]
    if payload is None:
        if layouts:
            raise ValueError(f"{kind.type} needs a payload: {layouts[0].__name__}")
    elif type(payload) not in layouts:
        raise ValueError(f"{kind.type} has no payload {type(payload).__name__}")
    return _message(
        kind.vendor,
        kind.kev_class,
        kind.subclass,
        kind.code,
        payload_bytes(payload),
        kernel_id=kernel_id,
    )


def _message(
    vendor: int, kev_class: int, subclass: int, code: int, data: bytes, *, kernel_id: int
) -> bytes:
    total = KEV_MSG_HEADER_SIZE + len(data)
    return HEADER.pack(total, vendor, kev_class, subclass, kernel_id, code) + data

"""From a journal's row back to the record that was appended.  Never raises.

The kernel's messages are decoded anew in the context they were read in; kevmond's own records hold
their whole self.  A row that cannot be understood becomes a malformed event that keeps its bytes.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any, Final

from pydantic import ConfigDict
from pydantic_core import from_json

from kevmond.events.decoder import Decoder
from kevmond.events.event import Decode, Event, Kind, Payload, Record, Severity, timestamp
from kevmond.events.own import OWN, envelope

if TYPE_CHECKING:
    from kevmond.events.event import Context

UNREADABLE: Final = "kevmond.unreadable"
"""Type of a stored record that cannot be understood."""

_DECODERS: Final = 8


class OtherPayload(Payload):
    """Payload of a record that another version of kevmond wrote: its fields as they are."""

    model_config = ConfigDict(frozen=True, extra="allow", defer_build=True)


def revive(context: Context, seq: int, wall_ns: int, kind: str, body: bytes) -> Record:
    """Make the record anew that was stored as `kind` and `body`; takes anything."""
    if kind == Kind.KERNEL:
        return decoder_for(context).record(body, seq=seq, wall_ns=wall_ns)
    try:
        if kind != Kind.OWN:
            raise ValueError(f"a record of kind {kind!r}")
        event = _own(context, seq, wall_ns, body)
    except Exception as error:  # noqa: BLE001 - a journal's bytes may be anything
        event = _unreadable(context, seq, wall_ns, body, f"not to be understood: {error}")
    return Record(seq, wall_ns, Kind.OWN, body, event=event)


class _Decoders:
    """Decoders by context.  Threads may share it: each change is one step."""

    def __init__(self) -> None:
        self._by_key: dict[tuple[object, ...], Decoder] = {}
        self._recent: tuple[Context, Decoder] | None = None

    def __len__(self) -> int:
        return len(self._by_key)

    def of(self, context: Context) -> Decoder:
        """Give the decoder of a context; it is asked for again and again, so the last is quick."""
        recent = self._recent
        if recent is not None and recent[0] is context:
            return recent[1]
        key = (
            context.host,
            context.boot_id,
            context.os_release,
            tuple(sorted(context.vendor_names.items())),
        )
        found = self._by_key.get(key)
        if found is None:
            if len(self._by_key) >= _DECODERS:
                self._by_key.clear()
            found = self._by_key[key] = Decoder(context)
        self._recent = (context, found)
        return found


_decoders: Final = _Decoders()


def decoder_for(context: Context) -> Decoder:
    """Give the decoder of a context; equal contexts share one, and what it remembers."""
    return _decoders.of(context)


def _own(context: Context, seq: int, wall_ns: int, body: bytes) -> Event:
    stored: Any = from_json(body)
    model = OWN.get(stored["type"])
    if model is None:
        payload: Payload = OtherPayload.model_validate(stored["payload"])
    else:
        payload = model.model_validate(stored["payload"])
    return envelope(context, stored, payload, seq=seq, wall_ns=wall_ns)


def _unreadable(context: Context, seq: int, wall_ns: int, body: bytes, reason: str) -> Event:
    return Event(
        id=f"{context.boot_id}-own-unreadable-{seq}-{zlib.crc32(body):08x}",
        seq=seq,
        time=timestamp(wall_ns),
        host=context.host,
        boot_id=context.boot_id,
        type=UNREADABLE,
        severity=Severity.WARNING,
        decode=Decode.MALFORMED,
        reason=reason,
        synthetic=True,
        raw=body.hex(),
    )

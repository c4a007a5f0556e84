"""From a payload's declaration to its codec: offsets, decoding, encoding.

Everything is derived from the `Annotated` metadata of the model's fields, once, at first use.
`Codec.decode` proves itself: what a value may not express in full is encoded again, and each byte
that came out different is kept in the payload's `residue`.  So encoding gives back every byte read.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final, TypeVar

from kevmond.events.wire import EVENT_CODE, Align, At, C, Part, Wire, WirePayload
from kevmond.events.wire_link import Counted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pydantic.fields import FieldInfo

    _Decode = Callable[[Any, dict[str, Any]], Any]

_Mark = TypeVar("_Mark")

_RUN_GAP: Final = 1
"""Differing bytes this far apart or nearer stand in one run."""


class DeclarationError(TypeError):
    """A payload is declared wrongly: a mistake in the program, found when its codec is made."""


@dataclass(frozen=True, slots=True)
class Slot:
    """One field of the structure."""

    name: str
    c_name: str
    offset: int
    wire: Wire


class Codec:
    """Decoder and encoder of one payload declaration."""

    __slots__ = (
        "_decoders",
        "_gaps",
        "_in_code",
        "_inexact",
        "_model",
        "_struct",
        "_tail",
        "size",
        "slots",
    )

    def __init__(self, model: type[WirePayload]) -> None:
        self._model = model
        self.slots = _slots(model)
        """The fields, in order of their offsets."""
        self.size = model.SIZE
        """Bytes of the payload; with a counted tail, of the shortest one."""
        self._in_code = next(
            (name for name, part in _parts(model).items() if part.of == EVENT_CODE), None
        )
        last = self.slots[-1] if self.slots else None
        self._tail = last if last is not None and isinstance(last.wire, Counted) else None
        fixed = self.slots if self._tail is None else self.slots[:-1]
        end = self.size if self._tail is None else self._tail.offset
        self._struct = struct.Struct(_format(model, fixed, end))
        self._decoders: tuple[tuple[str, _Decode | None], ...] = tuple(
            (slot.name, None if slot.wire.plain else slot.wire.decode) for slot in fixed
        )
        self._inexact = tuple(
            (place, slot) for place, slot in enumerate(fixed) if not slot.wire.exact
        )
        self._gaps = _gaps(fixed, end)

    @property
    def varies(self) -> bool:
        """True if the payload tells its own length."""
        return self._tail is not None

    def length(self, data: bytes) -> int:
        """Bytes that a payload beginning as `data` has; `data` holds at least `size` bytes."""
        if self._tail is None:
            return self.size
        return self.size + data[self._tail.offset]

    def decode(self, data: bytes, code: int = 0) -> WirePayload:
        """Turn the first `length(data)` bytes of `data` into the payload; takes any bytes.

        `code` is the header's event code, which one old event uses as its payload.
        """
        items = self._struct.unpack_from(data)
        out: dict[str, Any] = {}
        for (name, decode), item in zip(self._decoders, items, strict=True):
            out[name] = item if decode is None else decode(item, out)
        used = self.size
        if self._tail is not None:
            used = self.length(data)
            out[self._tail.name] = self._tail.wire.decode(data[self._tail.offset : used], out)
        if self._in_code is not None:
            out[self._in_code] = code
        if self._tail is not None or not self._whole(items, data):
            residue = self._residue(items, out, data[:used])
            if residue is not None:
                out["residue"] = residue
        return self._model.model_validate(out)

    def _whole(self, items: tuple[Any, ...], data: bytes) -> bool:
        """Tell at little cost whether the fields certainly express every byte."""
        for place, slot in self._inexact:
            if not slot.wire.whole(items[place]):
                return False
        return not any(any(data[start:end]) for start, end in self._gaps)

    def _residue(
        self, items: tuple[Any, ...], out: dict[str, Any], read: bytes
    ) -> dict[str, str] | None:
        expressed = list(items)
        for place, slot in self._inexact:
            expressed[place] = _encoded(slot, out)
        canonical = self._struct.pack(*expressed)
        if self._tail is not None:
            canonical += self._tail.wire.encode(out[self._tail.name], out)
        return None if canonical == read else _difference(canonical, read)

    def encode(self, payload: WirePayload) -> bytes:
        """Bytes of a payload; ValueError names the field that cannot be written."""
        fields = payload.__dict__
        residue = payload.residue
        items = []
        for slot in self.slots:
            try:
                items.append(slot.wire.encode(fields[slot.name], fields))
            except (ValueError, OverflowError) as error:
                if residue is None:
                    raise ValueError(f"{self._model.__name__}.{slot.name}: {error}") from error
                items.append(slot.wire.zero)
        tail = b"" if self._tail is None else items.pop()
        try:
            packed = self._struct.pack(*items) + tail
        except struct.error as error:
            raise ValueError(f"{self._model.__name__}: {error}") from error
        return packed if residue is None else _overlay(packed, residue)


@cache
def codec(model: type[WirePayload]) -> Codec:
    """Codec of a payload class, made once."""
    return Codec(model)


def _encoded(slot: Slot, fields: Mapping[str, Any]) -> Any:
    """Item of a value that was decoded from bytes, or zero where it cannot be written."""
    try:
        return slot.wire.encode(fields[slot.name], fields)
    except (ValueError, OverflowError):
        return slot.wire.zero


def _mark(field: FieldInfo, kind: type[_Mark]) -> _Mark | None:
    return next((item for item in field.metadata if isinstance(item, kind)), None)


def _parts(model: type[WirePayload]) -> dict[str, Part]:
    return {
        name: item
        for name, field in model.model_fields.items()
        for item in field.metadata
        if isinstance(item, Part)
    }


def _slots(model: type[WirePayload]) -> tuple[Slot, ...]:
    slots: list[Slot] = []
    parts = {name for name, part in _parts(model).items() if part.of != EVENT_CODE}
    filled: set[str] = set()
    offset = 0
    for name, field in model.model_fields.items():
        wire = _mark(field, Wire)
        if wire is None:
            if name != "residue" and name not in _parts(model):
                raise DeclarationError(f"{model.__name__}.{name} has no wire type")
            continue
        align = _mark(field, Align) or wire.align
        at = _mark(field, At)
        place = -(-offset // align) * align if at is None else at
        if place < offset:
            raise DeclarationError(f"{model.__name__}.{name} lies on the field before it")
        slots.append(Slot(name, _mark(field, C) or name, place, wire))
        filled.update(wire.parts())
        offset = place + wire.size
    if filled != parts:
        raise DeclarationError(f"{model.__name__}: parts {sorted(filled ^ parts)} do not match")
    if offset > model.SIZE:
        raise DeclarationError(f"{model.__name__}: fields end at {offset}, SIZE is {model.SIZE}")
    return tuple(slots)


def _format(model: type[WirePayload], slots: tuple[Slot, ...], end: int) -> str:
    pieces = ["<"]
    offset = 0
    for slot in slots:
        pieces.append("x" * (slot.offset - offset))
        pieces.append(slot.wire.code)
        offset = slot.offset + slot.wire.size
    pieces.append("x" * (end - offset))
    found = "".join(pieces)
    if struct.calcsize(found) != end:
        raise DeclarationError(f"{model.__name__}: {found} is not {end} bytes")
    return found


def _gaps(slots: tuple[Slot, ...], end: int) -> tuple[tuple[int, int], ...]:
    """Where no field lies: padding, and members that mean nothing."""
    edges = [0]
    for slot in slots:
        edges += [slot.offset, slot.offset + slot.wire.size]
    edges.append(end)
    pairs = zip(edges[::2], edges[1::2], strict=True)
    return tuple((start, stop) for start, stop in pairs if start < stop)


def _difference(canonical: bytes, read: bytes) -> dict[str, str]:
    """Tell runs of bytes of `read` that differ from `canonical`: hex by decimal offset."""
    places = [place for place, (a, b) in enumerate(zip(canonical, read, strict=True)) if a != b]
    runs: dict[str, str] = {}
    start = before = places[0]
    for place in places[1:]:
        if place - before > _RUN_GAP:
            runs[str(start)] = read[start : before + 1].hex()
            start = place
        before = place
    runs[str(start)] = read[start : before + 1].hex()
    return runs


def _overlay(packed: bytes, residue: Mapping[str, str]) -> bytes:
    whole = bytearray(packed)
    for place, text in residue.items():
        start = int(place)
        piece = bytes.fromhex(text)
        if start < 0 or start + len(piece) > len(whole):
            raise ValueError(f"residue at {place} is outside the payload")
        whole[start : start + len(piece)] = piece
    return bytes(whole)

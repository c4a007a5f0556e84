"""A story written in TOML; docs/simulate.md tells the format.

    [[step]]
    after = 0.5
    note = "the cable is pulled"
    type = "network.dl.link-off"
    interface = "en0"

A step is an event of a known `type` with its payload's fields, a third party's event (`vendor`),
bytes as they are (`hex`), or a built-in story (`story`).  Everything is checked when it is read.
"""

from __future__ import annotations

import difflib
import re
import struct
import tomllib
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from kevmond import stories
from kevmond.errors import StoryError
from kevmond.events import catalogue
from kevmond.events.codec import codec
from kevmond.events.encoder import message
from kevmond.events.payloads.inet import Ipv4Address
from kevmond.events.payloads.link import LinkEvent
from kevmond.kernel import abi
from kevmond.stories.model import Action, Inject, Post, Step, Story, VendorPost
from kevmond.stories.vocabulary import ipv4_fields, paused

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from kevmond.events.kinds import EventKind
    from kevmond.events.wire import WirePayload

_TOP: Final = ("name", "summary", "step")
_TIMING: Final = ("after", "note", "repeat", "every")
_VENDOR: Final = ("vendor", "class", "subclass", "code", "data", "text")
_KINDS: Final = ("type", "vendor", "hex", "story")
_U32_MAX: Final = 0xFFFFFFFF
_BSD_NAME: Final = re.compile(r"(.*?)(\d+)")
_FAMILIES: Final = {
    "lo": "loopback",
    "gif": "gif",
    "stf": "stf",
    "vlan": "vlan",
    "bond": "bond",
    "ppp": "ppp",
    "fw": "firewire",
    "utun": "utun",
    "ipsec": "ipsec",
    "pdp_ip": "cellular",
}
"""Family by driver name; any other is Ethernet's, as en, bridge, awdl, feth and many more are."""


class _Wrong(Exception):  # noqa: N818 - becomes a StoryError as soon as its place is known
    """A key of a step is wrong: the key, and why."""

    def __init__(self, key: str, why: str) -> None:
        super().__init__(f"{key}: {why}")


def read(path: Path) -> Story:
    """Read a story; raises StoryError, naming the file, the step and the key."""
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise StoryError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:  # not TOML, or not UTF-8
        raise StoryError(f"{path}: {error}") from error
    try:
        _known(table, _TOP)
        given = _of_type(table, "step", list, [])
        name = _of_type(table, "name", str, path.stem)
        summary = _of_type(table, "summary", str, f"the steps of {path.name}")
        if not given:
            raise _Wrong("step", "there is none; each begins with [[step]]")
    except _Wrong as error:
        raise StoryError(f"{path}: {error}") from error
    parts = [_part(path, number, entry) for number, entry in enumerate(given, 1)]

    def steps(chance: random.Random) -> Iterator[Step]:
        for part in parts:
            if isinstance(part, Story):
                yield from part.steps(chance)
            else:
                yield from part

    return Story(name, summary, steps)


def _part(path: Path, number: int, entry: Any) -> Story | tuple[Step, ...]:
    shown = f"{path}: step {number}"
    if not isinstance(entry, dict):
        raise StoryError(f"{shown}: write it as a table, [[step]]")
    for kind in _KINDS:
        if kind in entry:
            shown += f" ({kind} {entry[kind]!r})"[:80]
            break
    try:
        return _steps(entry)
    except _Wrong as error:
        raise StoryError(f"{shown}: {error}") from error


def _steps(entry: dict[str, Any]) -> Story | tuple[Step, ...]:
    kinds = [kind for kind in _KINDS if kind in entry]
    if len(kinds) != 1:
        raise _Wrong(
            " and ".join(kinds) or "type", f"a step has exactly one of {', '.join(_KINDS)}"
        )
    after = _number(entry, "after")
    if kinds == ["story"]:
        return _story(entry, after)
    every = _number(entry, "every")
    repeat = _of_type(entry, "repeat", int, 1)
    if repeat < 1:
        raise _Wrong("repeat", "must be 1 or more")
    make = {"type": _typed, "vendor": _vendor, "hex": _raw}[kinds[0]]
    action = make(entry)
    first = Step(after, action, _of_type(entry, "note", str, ""))
    return (first, *(Step(every, action) for _ in range(repeat - 1)))


def _story(entry: dict[str, Any], after: float) -> Story:
    _known(entry, ("story", "after"))
    name = _of_type(entry, "story", str)
    if name not in stories.names():
        raise _Wrong("story", f"no built-in story {name!r}{_near(name, stories.names())}")
    told = stories.load(name)
    return Story(name, told.summary, lambda chance: paused(after, told.steps(chance)))


def _raw(entry: dict[str, Any]) -> Action:
    _known(entry, ("hex", *_TIMING))
    raw = _hex(entry, "hex")
    if not raw:
        raise _Wrong("hex", "a message cannot be empty")
    return Inject(raw)


def _vendor(entry: dict[str, Any]) -> Action:
    _known(entry, (*_VENDOR, *_TIMING))
    if "data" in entry and "text" in entry:
        raise _Wrong("text", "give data (hex) or text, not both")
    data = _of_type(entry, "text", str, "").encode() or _hex(entry, "data")
    name = _of_type(entry, "vendor", str)
    return VendorPost(
        name, _u32(entry, "class"), _u32(entry, "subclass"), _u32(entry, "code"), data
    )


def _typed(entry: dict[str, Any]) -> Action:
    event_type = _of_type(entry, "type", str)
    kind = catalogue.by_type(event_type)
    if kind is None:
        known = [each.type for each in catalogue.kinds()]
        raise _Wrong("type", f"no event is called that{_near(event_type, known)}")
    fields = {
        key: value
        for key, value in entry.items()
        if key not in (*_TIMING, "type", "interface", "extra")
    }
    raw = message(kind, _payload(kind, fields, entry))
    extra = _hex(entry, "extra")
    if extra:
        header = abi.HEADER.unpack_from(raw)
        raw = abi.HEADER.pack(len(raw) + len(extra), *header[1:]) + raw[abi.HEADER.size :] + extra
    return Post(raw)


def _payload(kind: EventKind, fields: dict[str, Any], entry: dict[str, Any]) -> Any:
    if kind.payload is None:
        _known(fields, ("extra", *_TIMING))
        return None
    model = kind.payload
    _known(fields, (*model.model_fields, "interface", "extra", *_TIMING))
    if "interface" in entry:
        if not issubclass(model, LinkEvent):
            raise _Wrong("interface", f"{kind.type} names no interface that way; see its fields")
        fields = _link(_of_type(entry, "interface", str)) | fields
    if issubclass(model, Ipv4Address) and isinstance(fields.get("address"), str):
        try:
            derived = ipv4_fields(fields["address"], fields.get("destination"))
        except ValueError as error:
            raise _Wrong("address", str(error)) from error
        fields = derived | fields | {"address": derived["address"]}
    try:
        payload = model.model_validate(fields)
        message(kind, payload)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "payload"
        raise _Wrong(key, f"{first['msg']}; see `kevmond events --verbose {kind.type}`") from error
    except ValueError as error:
        raise _wrong_field(payload, error) from error
    return payload


def _wrong_field(payload: WirePayload, error: ValueError) -> _Wrong:
    """Tell which field cannot be written in bytes."""
    for slot in codec(type(payload)).slots:
        try:
            struct.pack(
                slot.wire.code or "0s", slot.wire.encode(getattr(payload, slot.name), vars(payload))
            )
        except (ValueError, OverflowError, struct.error) as reason:
            return _Wrong(slot.name, str(reason))
    return _Wrong("payload", str(error))


def _link(name: str) -> dict[str, Any]:
    match = _BSD_NAME.fullmatch(name)
    if match is None:
        raise _Wrong("interface", f"{name!r} is no BSD name such as en0")
    driver, unit = match[1], int(match[2])
    return {"if_family": _FAMILIES.get(driver, "ethernet"), "if_unit": unit, "if_name": driver}


def _known(table: dict[str, Any], keys: Iterable[str]) -> None:
    keys = list(keys)
    for key in table:
        if key not in keys:
            raise _Wrong(key, f"unknown key{_near(key, keys)}")


def _near(word: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, list(known), 1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _of_type(table: dict[str, Any], key: str, kind: type, default: Any = None) -> Any:
    value = table.get(key, default)
    if not isinstance(value, kind) or isinstance(value, bool):
        words = {str: "text", int: "a whole number", list: "a list of tables"}
        raise _Wrong(key, f"must be {words[kind]}, not {value!r}")
    return value


def _number(table: dict[str, Any], key: str) -> float:
    value = table.get(key, 0)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e9:  # noqa: PLR2004 - 30 years
        raise _Wrong(key, f"must be a number of seconds, not {value!r}")
    return float(value)


def _u32(table: dict[str, Any], key: str) -> int:
    value: int = _of_type(table, key, int, 0)
    if not 0 <= value <= _U32_MAX:
        raise _Wrong(key, f"{value} is not a number of 32 bits")
    return value


def _hex(table: dict[str, Any], key: str) -> bytes:
    text = _of_type(table, key, str, "")
    try:
        return bytes.fromhex(text)
    except ValueError as error:
        raise _Wrong(key, f"not hex: {text[:40]!r}") from error

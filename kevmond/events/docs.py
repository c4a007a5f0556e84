"""The page docs/events.md, written from the declarations: `kevmond events --markdown`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from kevmond.events import catalogue, names
from kevmond.events.codec import codec
from kevmond.events.decoder import Decoder
from kevmond.events.describe import class_doc, field_docs, module_doc
from kevmond.events.event import Context, Decode, Event, Severity
from kevmond.events.own import OWN, Change, InterfaceState
from kevmond.events.payloads.link import LinkEvent
from kevmond.events.wire import Enum, Flags

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pydantic import BaseModel

    from kevmond.events.kinds import EventKind, Variant
    from kevmond.events.wire import WirePayload

_EXAMPLE: Final = bytes.fromhex(
    "30000000010000000100000002000000240000000d000000"
    "020000000000000066657468000000000000000000000000"
)
"""A link of a pair of fake Ethernet interfaces coming up, as xnu-7195's code posted it."""

_BIG_SUR: Final = 20
"""Darwin of macOS 11, the first not called 10."""

_INTRODUCTION: Final = """\
<!-- Written by `make docs` from the declarations in kevmond/events: edit those. -->
# Events

What the macOS kernel tells, and how kevmond writes it down. Each event is one line of JSON; this
one was posted by XNU's own code when a link came up (`kevmond decode --hex ...` shows any other):

```json
{example}
```

- [The envelope](#the-envelope): what every event has
- [How payloads are read](#how-payloads-are-read): numbers without names, addresses, what is kept
{contents}
- [kevmond's own records](#kevmonds-own-records)
- [Words](#words): enumerations and flags, with their C names

`kevmond events` lists and searches the same catalogue, `kevmond schema` prints the JSON Schema.
"""

_READING: Final = """\
## How payloads are read

A payload is declared once, with the place of each field in memory; decoding, encoding, the JSON
Schema and this page come from that declaration.

- **Nothing is lost.** `raw` always has the whole message. Encoding the fields of a decoded event
  gives back exactly the bytes that were read, for every *well-formed* message: one whose
  `total_size` is its length and whose payload is no shorter than its declaration. Bytes that no
  field tells (padding that is not zero, text behind a NUL, an odd length byte of a socket address)
  stand in the payload's `residue`, as hex by offset; bytes behind the declared payload, or of a
  layout that nobody knows, stand in the event's `extra`. Both are rare.
- **Numbers without a name** stay what they are: `unknown-77` for the value 77 of an enumeration,
  `0x4000` for a flag. In `type` the number stands in the word's place: `network.dl.99`,
  `class-9.1.5`, and `vendor-1001.1.2.3` for a third party, whose codes last until the next boot.
- **Addresses** are text. The kernel keeps the interface index inside link-local IPv6 addresses;
  it is taken out and shown as the scope beside them. An address the kernel left empty is null.
- **Names** come from drivers and processes and are not to be trusted: they end at a NUL or at
  their room's end, bytes that are not UTF-8 are shown as `\\xff`, and JSON escapes control
  characters.
- **Times** are RFC 3339 in UTC, lifetimes seconds.
- **Layouts changed** between releases. The length tells which one it is; where two share a length,
  the Darwin release does, and the newest is taken if that is not known.
- **What is not sound** is an event too. A message that contradicts itself or ends too early is
  `malformed`, with the reason; one too short for a header has the type `malformed` as well, and a
  row of the journal that cannot be read back is `kevmond.unreadable`.
- Offsets are from the start of the payload, 24 bytes into the message. All integers are in host
  order (little endian) unless it says network order.
"""


def markdown() -> str:
    """Build the page."""
    shown: set[type[WirePayload]] = set()
    parts = [
        _INTRODUCTION.format(example=_example(), contents="\n".join(_contents())),
        *_envelope(),
        _READING,
    ]
    for named in catalogue.CLASSES.values():
        parts.append(f"## Class {named.word} ({named.number}, `{named.macro}`)\n")
        if named.note:
            parts.append(f"{named.note}\n")
        for entry in catalogue.SUBCLASSES.values():
            if entry.kev_class == named.number:
                parts += _subclass(entry, shown)
    parts += [*_own(), *_words()]
    return "\n".join(parts)


def _example() -> str:
    context = Context(host="mac.local", boot_id="6f9b4d1e-0c52-4f0e-9a53-3d1f4f8f2c11")
    event = Decoder(context).event(_EXAMPLE, seq=1408, time="2026-11-24T08:09:10.123456Z")
    return json.dumps(json.loads(event.json_line()), indent=2)


def _contents() -> Iterator[str]:
    for entry in catalogue.SUBCLASSES.values():
        word = f"{catalogue.CLASSES[entry.kev_class].word}.{entry.word}"
        about = module_doc(f"kevmond.events.payloads.{entry.module}")
        yield f"- [{word}](#{_anchor(word)}): {_lower(about.partition(' (')[0])}"


def _lower(text: str) -> str:
    first = text.split(" ", 1)[0]
    return text if first[1:] != first[1:].lower() else text[:1].lower() + text[1:]


def _anchor(heading: str) -> str:
    return "".join(
        char for char in heading.lower().replace(" ", "-") if char.isalnum() or char == "-"
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines
    )


def _envelope() -> Iterator[str]:
    docs = field_docs(Event)
    yield "## The envelope\n"
    yield "Every field is always there; a field that does not apply is null.\n"
    rows = [(f"`{field.alias or name}`", docs[name]) for name, field in Event.model_fields.items()]
    yield _table(("field", "meaning"), rows)
    yield "\nSeverities, least first: " + ", ".join(f"`{word}`" for word in Severity) + ".\n"
    told = field_docs(Decode)
    rows = [(f"`{word.value}`", told[word.name]) for word in Decode]
    yield _table(("`decode`", "meaning"), rows)
    yield ""


def _subclass(entry: catalogue.SubclassName, shown: set[type[WirePayload]]) -> Iterator[str]:
    word = f"{catalogue.CLASSES[entry.kev_class].word}.{entry.word}"
    kinds = [kind for kind in catalogue.kinds() if kind.key[1:3] == (entry.kev_class, entry.number)]
    yield f"### {word}\n"
    yield f"{module_doc(f'kevmond.events.payloads.{entry.module}')}."
    yield f"Subclass {entry.number}, `{entry.macro}`.\n"
    if entry.note:
        yield f"{entry.note}\n"
    yield _table(
        ("code", "type", "severity", "what it says", "payload", "since"),
        [_code(kind) for kind in kinds],
    )
    yield ""
    for kind in kinds:
        for variant in kind.variants:
            if variant.payload not in shown:
                shown.add(variant.payload)
                yield from _payload(variant)


def _code(kind: EventKind) -> tuple[str, ...]:
    macros = f"`{kind.macro}`" + (f" or `{kind.alias}`" if kind.alias else "")
    says = kind.description
    if kind.status != "posted":
        says += f" *({kind.last or kind.status})*"
    if kind.private:
        payload = "not public"
    else:
        payload = ", ".join(
            f"[{variant.payload.__name__}](#{_anchor(variant.payload.__name__)})"
            for variant in kind.variants
        )
    return (
        str(kind.code),
        f"`{kind.type}`<br>{macros}",
        kind.severity.value,
        says,
        payload or "none",
        kind.since.removeprefix("macOS ").partition(" ")[0],
    )


def _payload(variant: Variant) -> Iterator[str]:
    model = variant.payload
    yield f"#### {model.__name__}\n"
    yield f"{class_doc(model)}\n"
    size = f"{model.SIZE} bytes" + (" or more" if codec(model).varies else "")
    yield f"`{model.C_STRUCT}` ({model.HEADER}), {size}{_releases(variant)}.\n"
    rows = list(_fields(model))
    if rows:
        yield _table(("offset", "field", "in memory", "meaning"), rows)
        yield ""


def _releases(variant: Variant) -> str:
    first = None if variant.first is None else _release(variant.first)
    last = None if variant.last is None else _release(variant.last)
    if first is None and last is None:
        return ""
    if first == last:
        return f"; {first} only"
    return "; " + " ".join(
        f"{word} {release}" for word, release in (("from", first), ("to", last)) if release
    )


def _release(darwin: int) -> str:
    """Name a Darwin release by the macOS release of it."""
    macos = f"10.{darwin - 4}" if darwin < _BIG_SUR else str(darwin - 9)
    return f"macOS {macos} (Darwin {darwin})"


def _fields(model: type[WirePayload]) -> Iterator[tuple[str, ...]]:
    docs = field_docs(model)
    rows: list[tuple[int, tuple[str, ...]]] = []
    told: set[str] = set()
    if issubclass(model, LinkEvent) and model is not LinkEvent:
        told.update(LinkEvent.model_fields)
        shown = ", ".join(f"`{slot.name}`" for slot in codec(LinkEvent).slots)
        rows.append((0, ("0", shown, "[LinkEvent](#linkevent)", "The interface.")))
    for slot in codec(model).slots:
        if slot.name in told:
            continue
        label = slot.wire.label
        if isinstance(slot.wire, Enum):
            label += f", [{slot.wire.words.name}](#{_anchor(slot.wire.words.name)})"
        elif isinstance(slot.wire, Flags):
            label += f", [{slot.wire.bits.name}s](#{_anchor(slot.wire.bits.name)})"
        c_name = f"<br>`{slot.c_name}`"
        rows.append(
            (slot.offset, (str(slot.offset), f"`{slot.name}`", label + c_name, docs[slot.name]))
        )
        told.add(slot.name)
        for part in slot.wire.parts():
            rows.append((slot.offset, ("", f"`{part}`", f"part of `{slot.name}`", docs[part])))
            told.add(part)
    for name, (offset, size) in model.RESERVED.items():
        rows.append((offset, (str(offset), "", f"{size} bytes<br>`{name}`", "Means nothing.")))
    yield from (row for _, row in sorted(rows, key=lambda row: row[0]))
    computed = [*model.model_computed_fields]
    others = [name for name in model.model_fields if name not in told and name != "residue"]
    for name in others:
        yield "", f"`{name}`", "the event code", docs[name]
    for name in computed:
        yield "", f"`{name}`", "made of the above", docs[name]


def _own() -> Iterator[str]:
    yield "## kevmond's own records\n"
    yield (
        "In the same envelope, without vendor, class, subclass and code, and with `synthetic` set:"
        " no kernel posted them.\n"
    )
    for own_type, model in OWN.items():
        yield f"### {own_type}\n"
        yield f"{class_doc(model)} Severity {model.SEVERITY.value} as a rule.\n"
        yield _plain_table(model)
    for piece in (InterfaceState, Change):
        yield f"#### {piece.__name__}\n"
        yield f"{class_doc(piece)}\n"
        yield _plain_table(piece)


def _plain_table(model: type[BaseModel]) -> str:
    docs = field_docs(model)
    rows = [(f"`{name}`", docs[name]) for name in model.model_fields]
    return _table(("field", "meaning"), rows) + "\n"


def _words() -> Iterator[str]:
    yield "## Words\n"
    for table in vars(names).values():
        match table:
            case names.Words():
                yield f"### {table.name}\n"
                rows = [
                    (str(value), f"`{table.word(value)}`", f"`{macro}`")
                    for value, macro in table.macros.items()
                ]
                yield _table(("value", "word", "C name"), rows) + "\n"
            case names.Bits():
                yield f"### {table.name}\n"
                rows = [
                    (f"{bit:#x}", f"`{table.words(bit)[0]}`", f"`{macro}`")
                    for bit, macro in table.macros.items()
                ]
                yield _table(("bit", "word", "C name"), rows) + "\n"
            case names.Scale():
                yield f"### {table.name}\n"
                yield "A value belongs to the first step that is not below it.\n"
                rows = [
                    (str(value), f"`{table.word(value)}`", f"`{macro}`")
                    for value, macro in sorted(table.macros.items())
                ]
                yield _table(("step", "word", "C name"), rows) + "\n"
            case _:
                pass

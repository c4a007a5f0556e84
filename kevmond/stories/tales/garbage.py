"""Bytes that no kernel should post: each has to come out as an event that says what is wrong."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from kevmond.kernel import abi
from kevmond.stories.model import Inject, Post, Step
from kevmond.stories.vocabulary import at, dl
from kevmond.stories.world import EN0

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator


def _header(size: int, *codes: int) -> bytes:
    vendor, kev_class, subclass, code = codes
    return abi.HEADER.pack(size, vendor, kev_class, subclass, 0, code)


def garbage(chance: random.Random) -> Iterator[Step]:
    """Post cut, lying, unknown and random messages between sound ones."""
    link = struct.pack("<II16s", 2, 0, b"en")
    yield at(0, dl("link-on", EN0), "a sound message, for comparison")
    for raw, note in (
        (_header(24, 1, 1, 2, 13)[:10], "a message cut inside its header"),
        (_header(0, 1, 1, 2, 13) + link, "a message that says it has no size"),
        (_header(4096, 1, 1, 2, 13) + link, "a message that says it is longer than it is"),
        (_header(30, 1, 1, 2, 13) + link, "a message that says it is shorter than it is"),
    ):
        yield Step(0.8, Inject(raw), note)
    for raw, note in (
        (_header(32, 1, 1, 2, 13) + link[:8], "link-on with half an interface name"),
        (_header(24, 1, 1, 1, 1), "new-addr without an address"),
        (_header(48, 1, 1, 2, 4711) + link, "a code that nobody knows"),
        (_header(28, 1, 99, 98, 97) + b"\1\2\3\4", "a class that nobody knows"),
        (_header(52, 1, 1, 2, 13) + link + b"tail", "link-on with four bytes too many"),
        (
            _header(48, 1, 1, 2, 13) + struct.pack("<II16s", 77, 0xFFFFFFFF, b"\xff\x1b[31m" * 3),
            "a name made of control characters",
        ),
    ):
        yield Step(0.8, Post(raw), note)
    for number in range(3):
        raw = chance.randbytes(chance.randint(1, 200))
        yield Step(0.5, Inject(raw), "" if number else "random bytes")
    yield at(0.8, dl("link-off", EN0), "and sound ones again")
    yield at(0.3, dl("link-on", EN0))

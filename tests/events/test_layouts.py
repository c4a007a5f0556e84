"""Layouts, old ones too, against a C declaration parser that knows how a compiler aligns."""

from pathlib import Path

import cffi
import pytest

from kevmond.events import catalogue
from kevmond.events.codec import codec

SIMPLE = {
    "AddressState",
    "AppleTalkAddress",
    "AppleTalkZone",
    "ArpAlive",
    "ArpFailure",
    "CellularUse",
    "Control",
    "Freeze",
    "IpfwLog",
    "IpsecWake",
    "LinkEvent",
    "LinkIssues32",
    "LinkQuality",
    "LowPowerMode",
    "MemoryLevel",
    "MemoryLevelInCode",
    "NeighbourAlive",
    "NeighbourFailure",
    "NetworkAgent",
    "PoliciesChanged",
    "PrefixExpired",
    "Pressure",
    "RouterExpired",
    "RrcState",
    "SnapshotReady",
}
"""Too simple to go wrong, of no C structure, or of another ABI; the table's offsets cover them."""


@pytest.fixture(scope="module")
def ffi():
    """Lay out the structures with cffi, as a C compiler for a 64-bit system does."""
    made = cffi.FFI()
    text = (Path(__file__).parent / "data/structures.h").read_text()
    made.cdef(text.partition("*/")[2])
    return made


def models():
    """Every payload declaration, each once."""
    return list(dict.fromkeys(v.payload for k in catalogue.kinds() for v in k.variants))


def test_offsets_are_those_of_a_c_compiler(ffi):
    """Each member of each structure declared here lies where C puts it, and so does its end."""
    unchecked = set()
    for model in models():
        name = model.__name__
        if name in SIMPLE:
            unchecked.add(name)
            continue
        assert ffi.sizeof(f"struct {name}") == model.SIZE, name
        for slot in codec(model).slots:
            path = slot.c_name.split(".")
            assert ffi.offsetof(f"struct {name}", *path) == slot.offset, (name, slot.c_name)
    assert unchecked == SIMPLE


def test_members_of_one_payload_do_not_overlap():
    """Members follow each other and end within the structure."""
    for model in models():
        end = 0
        for slot in codec(model).slots:
            assert slot.offset >= end
            end = slot.offset + slot.wire.size
        assert end <= model.SIZE

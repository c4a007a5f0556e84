"""Codecs: from a declaration to offsets, and to bytes and back."""

from typing import Annotated, ClassVar

import pytest
from pydantic import create_model

from kevmond.events import names
from kevmond.events.codec import Codec, DeclarationError, codec
from kevmond.events.payloads.dl import LinkIssues, LinkIssues32, LinkQuality
from kevmond.events.payloads.inet import ArpCollision
from kevmond.events.payloads.link import LinkEvent
from kevmond.events.wire import U8, U16, U32, U64, Align, At, C, Enum, Part, WirePayload
from kevmond.events.wire_net import In6
from kevmond.events.wire_text import Text


class Mixed(WirePayload):
    """A structure with padding inside and at its end."""

    SIZE: ClassVar[int] = 24

    small: Annotated[int, U8]
    big: Annotated[int, U64]
    half: Annotated[int, U16]
    family: Annotated[str, Enum(U32, names.IFNET_FAMILY), C("nested.family")]


def test_fields_lie_as_a_c_compiler_lays_them():
    """Each field is aligned to its own size unless the declaration says where it is."""
    assert [(slot.c_name, slot.offset) for slot in codec(Mixed).slots] == [
        ("small", 0),
        ("big", 8),
        ("half", 16),
        ("nested.family", 20),
    ]


def test_a_declared_offset_wins_over_alignment():
    """A 32-bit kernel aligns a u64 to 4 bytes: its layout says so."""
    offsets = {slot.name: slot.offset for slot in codec(LinkIssues).slots}
    assert offsets["reported_at"] == 48
    offsets = {slot.name: slot.offset for slot in codec(LinkIssues32).slots}
    assert offsets["reported_at"] == 44


def test_bytes_come_back_though_padding_is_not_zero():
    """Bytes that no field tells are kept as residue and written again."""
    data = bytes(range(1, 25))
    payload = codec(Mixed).decode(data)
    assert payload.residue == {"1": "02030405060708", "18": "1314"}
    assert codec(Mixed).encode(payload) == data


def test_a_payload_without_anything_odd_has_no_residue_in_its_json():
    """People see the residue only where there is one."""
    payload = codec(Mixed).decode(bytes(24))
    assert payload.residue is None
    assert payload.model_dump_json() == '{"small":0,"big":0,"half":0,"family":"any"}'


def test_bytes_behind_a_nul_come_back():
    """A driver may leave something behind the end of a name."""
    data = bytes(8) + b"en\0old name\0\0\0\0\0"
    payload = codec(LinkEvent).decode(data)
    assert payload.if_name == "en"
    assert payload.residue == {"11": b"old name".hex()}
    assert codec(LinkEvent).encode(payload) == data


def test_a_name_that_is_no_utf8_comes_back():
    """The escaped text cannot be written, so its bytes stand in the residue."""
    data = bytes(8) + b"\xff\xfe" + b"\xff" * 14
    payload = codec(LinkEvent).decode(data)
    assert payload.if_name == "\\xff\\xfe" + "\\xff" * 14
    assert codec(LinkEvent).encode(payload) == data


def test_a_name_too_long_is_refused():
    """Nothing is cut silently when a message is made."""
    payload = LinkEvent(if_family="ethernet", if_unit=0, if_name="a-very-long-driver-name")
    with pytest.raises(ValueError, match=r"LinkEvent\.if_name: 23 bytes do not fit in 16"):
        codec(LinkEvent).encode(payload)


def test_a_number_too_big_is_refused():
    """The error names the declaration."""
    payload = LinkQuality(
        if_family="ethernet", if_unit=1 << 40, if_name="en", link_quality_metric=1
    )
    with pytest.raises(ValueError, match="LinkQuality"):
        codec(LinkQuality).encode(payload)


def test_a_residue_outside_the_payload_is_refused():
    """A residue made by hand cannot make the payload longer."""
    payload = LinkEvent(if_family="any", if_unit=0, if_name="en", residue={"23": "0102"})
    with pytest.raises(ValueError, match="outside"):
        codec(LinkEvent).encode(payload)


def test_a_payload_that_tells_its_own_length():
    """The length byte of a link-layer address makes the payload longer."""
    data = bytes(28) + b"\x06" + bytes.fromhex("02aabbccdd01") + bytes(3)
    found = codec(ArpCollision)
    assert found.varies
    assert found.length(data) == len(data) == 38
    payload = found.decode(data)
    assert payload.hardware_address == "02:aa:bb:cc:dd:01"
    assert found.encode(payload) == data


def declared(size, **fields):
    """Declare a payload of so many bytes with these fields."""
    model = create_model("Declared", __base__=WirePayload, **fields)
    model.SIZE = size
    return model


@pytest.mark.parametrize(
    ("annotations", "size", "message"),
    [
        ({"plain": int}, 8, "has no wire type"),
        ({"first": Annotated[int, U64], "second": Annotated[int, U32, At(4)]}, 16, "lies on"),
        ({"first": Annotated[int, U64]}, 4, "fields end at 8"),
        ({"address": Annotated[str, In6(scope="scope")]}, 16, "parts"),
        ({"scope": Annotated[int, Part("address")]}, 8, "parts"),
    ],
)
def test_a_mistake_in_a_declaration_is_found_when_its_codec_is_made(annotations, size, message):
    """The one who declares a payload is told what is wrong with it."""
    model = declared(size, **annotations)
    with pytest.raises(DeclarationError, match=message):
        Codec(model)


def test_a_nested_structure_aligns_its_first_member():
    """Align(8) moves a field of small alignment to where the nested structure begins."""
    fields = {"a": Annotated[int, U32], "b": Annotated[str, Text(8), Align(8)]}
    model = declared(16, **fields)
    assert [slot.offset for slot in Codec(model).slots] == [0, 8]

"""Wire types: how one field of a payload lies in memory, used as `Annotated` metadata.

    class Example(WirePayload):
        SIZE: ClassVar[int] = 8
        family: Annotated[str, Enum(U32, names.IFNET_FAMILY), C("link_data.if_family")]
        port: Annotated[int, U16_BE]

Fields lie as a C compiler lays them (natural alignment); `At(n)` says where C's nesting puts one
elsewhere, `Align(n)` what alignment a nested structure has.  A wire type turns bytes into the value
that reads best, and back.  What the value cannot express (padding that is not zero, bytes behind a
NUL, an odd member of a socket address) is not lost: the codec keeps it in `residue`.

Here are the base and the numbers; text, time and bytes are in `wire_text`, addresses in `wire_net`
and `wire_link`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final

from pydantic import Field

from kevmond.events.event import Payload

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue
    from pydantic_core import CoreSchema

    from kevmond.events.names import Bits, Words

INFINITE_LIFETIME: Final = 0xFFFFFFFF
"""ND6_INFINITE_LIFETIME (netinet6/nd6.h)."""

EVENT_CODE: Final = "event_code"
"""The header's member that a `Part` may be filled from."""


def _is_none(value: object) -> bool:
    return value is None


class WirePayload(Payload):
    """Base of payloads that a kernel posts: their fields carry wire types."""

    SIZE: ClassVar[int]
    """Bytes of the C structure, trailing padding included."""
    C_STRUCT: ClassVar[str] = ""
    """Name of the C structure."""
    HEADER: ClassVar[str] = ""
    """File of XNU's sources that declares it."""
    RESERVED: ClassVar[dict[str, tuple[int, int]]] = {}
    """Members that mean nothing: C name to offset and size.  Not shown unless they are not zero."""

    residue: Annotated[dict[str, str] | None, Field(exclude_if=_is_none)] = None
    """Bytes that no field tells (padding that is not zero, text behind a NUL, odd members of a
    socket address): hex by decimal offset in the payload.  Left out when there are none."""

    def interface_name(self) -> str | None:
        """BSD name of the interface that is meant, or None."""
        return None


class C(str):
    """C name of a field, where it is not the field's own."""

    __slots__ = ()


class At(int):
    """Offset of a field, where natural alignment alone does not give it."""

    __slots__ = ()


class Align(int):
    """Alignment of a field that begins a nested structure, where its own is less."""

    __slots__ = ()


class Part:
    """Marks a field that another field's wire type fills (the scope of an address, say)."""

    __slots__ = ("of",)

    def __init__(self, of: str) -> None:
        self.of = of


class Wire:
    """One field in memory: a `struct` item, and the conversions to and from a Python value."""

    code: str
    """Format of one `struct` item, without byte order: "I", "16s"."""
    size: int
    align: int
    zero: Any = 0
    """The item for a field that cannot be expressed: all bytes zero."""
    plain: bool = False
    """True if value and item are the same."""
    exact: bool = False
    """True if every item comes back from its value; otherwise `whole` tells of each."""
    label: str
    """How documentation calls it: "u32", "char[16]"."""

    def decode(self, item: Any, out: dict[str, Any]) -> Any:
        """Turn a `struct` item into the field's value.

        `out` holds the fields decoded before; a wire type with parts adds them to it.
        """
        del out
        return item

    def encode(self, value: Any, fields: Mapping[str, Any]) -> Any:
        """Turn a value back into the item; ValueError if it cannot be written."""
        del fields
        return value

    def whole(self, item: Any) -> bool:
        """Tell whether `item` certainly comes back from its value; cheap, False if unsure."""
        del item
        return self.exact

    def parts(self) -> tuple[str, ...]:
        """Names of the `Part` fields that this one fills."""
        return ()


class Int(Wire):
    """An integer in host order, which is little endian."""

    exact = True
    plain = True

    def __init__(self, label: str, code: str, size: int) -> None:
        self.label = label
        self.code = code
        self.size = self.align = size


class NetworkInt(Wire):
    """A 16-bit integer in network order inside a structure of host order: a port."""

    exact = True
    label = "u16, network order"
    code = "2s"
    size = align = 2
    zero = b"\0\0"

    def decode(self, item: Any, out: dict[str, Any]) -> Any:
        """See `Wire.decode`."""
        del out
        return int.from_bytes(item, "big")

    def encode(self, value: Any, fields: Mapping[str, Any]) -> Any:
        """See `Wire.encode`."""
        del fields
        return value.to_bytes(2, "big")


U8: Final = Int("u8", "B", 1)
U16: Final = Int("u16", "H", 2)
U32: Final = Int("u32", "I", 4)
U64: Final = Int("u64", "Q", 8)
I32: Final = Int("i32", "i", 4)
U16_BE: Final = NetworkInt()


class Derived(Wire):
    """An integer that is shown as something else."""

    def __init__(self, base: Int) -> None:
        self.label = base.label
        self.code = base.code
        self.size = base.size
        self.align = base.align


class Enum(Derived):
    """An enumeration by name; `unknown-77` where 77 has none."""

    exact = True

    def __init__(self, base: Int, words: Words) -> None:
        super().__init__(base)
        self.words = words

    def decode(self, item: Any, out: dict[str, Any]) -> Any:
        """See `Wire.decode`."""
        del out
        return self.words.word(item)

    def encode(self, value: Any, fields: Mapping[str, Any]) -> Any:
        """See `Wire.encode`."""
        del fields
        return self.words.value(value)

    def __get_pydantic_json_schema__(
        self, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Tell the words, and the form of a value without one."""
        schema = handler(core_schema)
        schema["anyOf"] = [{"enum": list(self.words)}, {"pattern": "^unknown--?[0-9]+$"}]
        return schema


class Flags(Derived):
    """A set of flags by name, lowest bit first; `0x4000` for a bit without a name."""

    exact = True

    def __init__(self, base: Int, bits: Bits) -> None:
        super().__init__(base)
        self.bits = bits

    def decode(self, item: Any, out: dict[str, Any]) -> Any:
        """See `Wire.decode`."""
        del out
        return self.bits.words(item)

    def encode(self, value: Any, fields: Mapping[str, Any]) -> Any:
        """See `Wire.encode`."""
        del fields
        return self.bits.value(value)

    def __get_pydantic_json_schema__(
        self, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Tell the words, and the form of a bit without one."""
        schema = handler(core_schema)
        schema["items"] = {
            "type": "string",
            "anyOf": [{"enum": list(self.bits)}, {"pattern": "^0x[0-9a-f]+$"}],
        }
        return schema


class NullAt(Derived):
    """An integer with one value that means "none", shown as null."""

    exact = True

    def __init__(self, base: Int, null: int) -> None:
        super().__init__(base)
        self.null = null

    def decode(self, item: Any, out: dict[str, Any]) -> Any:
        """See `Wire.decode`."""
        del out
        return None if item == self.null else item

    def encode(self, value: Any, fields: Mapping[str, Any]) -> Any:
        """See `Wire.encode`."""
        del fields
        return self.null if value is None else value

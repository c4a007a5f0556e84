"""Wire types of link-layer addresses.

Mirrors net/if_dl.h and net/ethernet.h.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from kevmond.events.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Mapping

AF_LINK: Final = 18
"""Darwin's number (sys/socket.h)."""

_DL: Final = 20
_DL_DATA: Final = 8
_DL_SPACE: Final = 12


class SockaddrDl(Wire):
    """struct sockaddr_dl; fills the parts `index` and `link_type` (an IFT_ number).

    The name and the address share 12 bytes: lengths that say more are not believed.
    """

    label = "sockaddr_dl"
    code = "20s"
    size = _DL
    align = 2
    zero = bytes(_DL)

    def __init__(self, *, index: str, link_type: str) -> None:
        self.index = index
        self.link_type = link_type

    def parts(self) -> tuple[str, ...]:
        """See `Wire.parts`."""
        return (self.index, self.link_type)

    def decode(self, item: Any, out: dict[str, Any]) -> Any:
        """See `Wire.decode`."""
        if item[1] != AF_LINK:
            out[self.index] = out[self.link_type] = None
            return None
        out[self.index] = item[2] | item[3] << 8
        out[self.link_type] = item[4]
        name, address = item[5], item[6]
        if name + address > _DL_SPACE or not address:
            return None
        start = _DL_DATA + name
        return item[start : start + address].hex(":")

    def encode(self, value: Any, fields: Mapping[str, Any]) -> Any:
        """See `Wire.encode`."""
        index, link_type = fields[self.index], fields[self.link_type]
        if value is None and index is None and link_type is None:
            return self.zero
        address = b"" if value is None else parse_mac(value)
        if len(address) > _DL_SPACE:
            raise ValueError(f"{value!r} is longer than {_DL_SPACE} bytes")
        head = bytes((_DL, AF_LINK)) + (index or 0).to_bytes(2, "little")
        return head + bytes((link_type or 0, 0, len(address), 0)) + address


class Mac(Wire):
    """u8[6]: an Ethernet address; all zero is null."""

    exact = True
    label = "u8[6]"
    code = "6s"
    size = 6
    align = 1
    zero = bytes(6)

    def decode(self, item: Any, out: dict[str, Any]) -> Any:
        """See `Wire.decode`."""
        del out
        return None if item == self.zero else item.hex(":")

    def encode(self, value: Any, fields: Mapping[str, Any]) -> Any:
        """See `Wire.encode`."""
        del fields
        if value is None:
            return self.zero
        packed = parse_mac(value)
        if len(packed) != self.size:
            raise ValueError(f"{value!r} is not an address of 6 bytes")
        return packed


def parse_mac(text: str) -> bytes:
    """Bytes of "02:aa:bb:cc:dd:01"."""
    return bytes.fromhex(text.replace(":", ""))


MAC: Final = Mac()


class Counted(Wire):
    """A length byte, that many bytes, and filler: the one payload part of varying length.

    Shown as "02:aa:..", null when the length is 0.  Only the last field may be one.
    """

    code = ""
    align = 1
    size = 1

    def __init__(self, *, filler: int) -> None:
        self.filler = filler
        self.label = f"u8 length, bytes, {filler} of filler"

    def decode(self, item: Any, out: dict[str, Any]) -> Any:
        """See `Wire.decode`; `item` is the whole rest of the payload."""
        del out
        return item[1 : 1 + item[0]].hex(":") or None

    def encode(self, value: Any, fields: Mapping[str, Any]) -> Any:
        """See `Wire.encode`; gives length, bytes and filler."""
        del fields
        packed = b"" if value is None else parse_mac(value)
        if len(packed) > 255:  # noqa: PLR2004 - a length byte
            raise ValueError("longer than a length byte can tell")
        return bytes((len(packed),)) + packed + bytes(self.filler)


class CountedAddress(Wire):
    """Room for a link-layer address, and behind it a u32 that tells how much is used."""

    align = 4

    def __init__(self, room: int) -> None:
        self.room = room
        self.size = room + 4
        self.label = f"u8[{room}], u32 length"
        self.code = f"{self.size}s"
        self.zero = bytes(self.size)

    def decode(self, item: Any, out: dict[str, Any]) -> Any:
        """See `Wire.decode`."""
        del out
        return item[: int.from_bytes(item[self.room :], "little")][: self.room].hex(":") or None

    def encode(self, value: Any, fields: Mapping[str, Any]) -> Any:
        """See `Wire.encode`."""
        del fields
        packed = b"" if value is None else parse_mac(value)
        if len(packed) > self.room:
            raise ValueError(f"{value!r} is longer than {self.room} bytes")
        return packed.ljust(self.room, b"\0") + len(packed).to_bytes(4, "little")

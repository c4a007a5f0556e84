"""Wire types of text, time and opaque bytes."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from kevmond.events.wire import Derived, Wire

if TYPE_CHECKING:
    from collections.abc import Mapping

_LAST_SECOND: Final = 253402300799
"""9999-12-31T23:59:59Z: the last second that RFC 3339 can write."""

_MICROSECONDS: Final = 1_000_000

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@lru_cache(maxsize=256)
def _utc(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()[:19]


def _since_epoch(text: str) -> tuple[int, int]:
    """Seconds and microseconds of RFC 3339 text in UTC."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} names no time zone; write UTC as a final Z")
    passed = moment - _EPOCH
    return passed.days * 86400 + passed.seconds, passed.microseconds


class Epoch(Derived):
    """Seconds since 1970, shown as RFC 3339 text in UTC; 0 is null."""

    def decode(self, item: Any, out: dict[str, Any]) -> Any:
        """See `Wire.decode`."""
        del out
        return None if item == 0 or item > _LAST_SECOND else f"{_utc(item)}Z"

    def encode(self, value: Any, fields: Mapping[str, Any]) -> Any:
        """See `Wire.encode`."""
        del fields
        return 0 if value is None else _since_epoch(value)[0]

    def whole(self, item: Any) -> bool:
        """See `Wire.whole`."""
        return bool(item <= _LAST_SECOND)


class Timeval32(Wire):
    """struct timeval32: seconds and microseconds, 32 bits each; RFC 3339 text, zero is null."""

    label = "timeval32"
    code = "8s"
    size = 8
    align = 4
    zero = bytes(8)

    def decode(self, item: Any, out: dict[str, Any]) -> Any:
        """See `Wire.decode`."""
        del out
        if not self.whole(item) or item == self.zero:
            return None
        seconds = int.from_bytes(item[:4], "little")
        return f"{_utc(seconds)}.{int.from_bytes(item[4:], 'little'):06d}Z"

    def encode(self, value: Any, fields: Mapping[str, Any]) -> Any:
        """See `Wire.encode`."""
        del fields
        if value is None:
            return self.zero
        seconds, micros = _since_epoch(value)
        return seconds.to_bytes(4, "little") + micros.to_bytes(4, "little")

    def whole(self, item: Any) -> bool:
        """See `Wire.whole`."""
        return int.from_bytes(item[4:], "little") < _MICROSECONDS


TIMEVAL32: Final = Timeval32()


class Bytes(Wire):
    """Opaque bytes as hex; all zero is null."""

    exact = True
    align = 1

    def __init__(self, size: int) -> None:
        self.size = size
        self.label = f"u8[{size}]"
        self.code = f"{size}s"
        self.zero = bytes(size)

    def decode(self, item: Any, out: dict[str, Any]) -> Any:
        """See `Wire.decode`."""
        del out
        return None if item == self.zero else item.hex()

    def encode(self, value: Any, fields: Mapping[str, Any]) -> Any:
        """See `Wire.encode`."""
        del fields
        return self.zero if value is None else _fits(bytes.fromhex(value), self.size)


class CountedBytes(Bytes):
    """Opaque bytes as hex; an earlier field tells how many of them are valid."""

    exact = False

    def __init__(self, size: int, count: str) -> None:
        super().__init__(size)
        self.count = count

    def decode(self, item: Any, out: dict[str, Any]) -> Any:
        """See `Wire.decode`."""
        return item[: out[self.count]].hex()


class Text(Wire):
    r"""char[n]: text up to the first NUL or the end, whichever comes first.

    Names are untrusted: bytes that are not UTF-8 are shown as `\xff`, and JSON escapes control
    characters.
    """

    align = 1

    def __init__(self, size: int) -> None:
        self.size = size
        self.label = f"char[{size}]"
        self.code = f"{size}s"
        self.zero = bytes(size)

    def decode(self, item: Any, out: dict[str, Any]) -> Any:
        """See `Wire.decode`."""
        del out
        return item.partition(b"\0")[0].decode("utf-8", "backslashreplace")

    def encode(self, value: Any, fields: Mapping[str, Any]) -> Any:
        """See `Wire.encode`."""
        del fields
        return _fits(value.encode("utf-8"), self.size)

    def whole(self, item: Any) -> bool:
        """See `Wire.whole`."""
        return bool(item.isascii()) and b"\0" not in item.rstrip(b"\0")


class Pascal(Text):
    """A length byte, and text in the room behind it."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.label = f"u8 length, char[{size - 1}]"

    def decode(self, item: Any, out: dict[str, Any]) -> Any:
        """See `Wire.decode`."""
        del out
        return item[1 : 1 + item[0]].decode("utf-8", "backslashreplace")

    def encode(self, value: Any, fields: Mapping[str, Any]) -> Any:
        """See `Wire.encode`."""
        del fields
        packed = _fits(value.encode("utf-8"), self.size - 1)
        return bytes((len(packed),)) + packed

    def whole(self, item: Any) -> bool:
        """See `Wire.whole`."""
        del item
        return False


def _fits(packed: bytes, room: int) -> bytes:
    if len(packed) > room:
        raise ValueError(f"{len(packed)} bytes do not fit in {room}")
    return packed

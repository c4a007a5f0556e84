"""Wire types of IPv4 and IPv6 addresses, the socket addresses that hold them, and UUIDs.

Mirrors sys/socket.h, netinet/in.h, netinet6/in6.h, uuid/uuid.h, and the kernel's habit of keeping
the interface index inside link-local IPv6 addresses (netinet6/scope6.c).
"""

from __future__ import annotations

from socket import AF_INET as HOST_AF_INET
from socket import AF_INET6 as HOST_AF_INET6
from socket import inet_ntoa, inet_ntop, inet_pton
from typing import TYPE_CHECKING, Any, Final

from kevmond.events.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Mapping

AF_INET: Final = 2
AF_INET6: Final = 30
"""Darwin's numbers (sys/socket.h); Linux has another AF_INET6."""

_IN4: Final = 16
_IN6: Final = 28
_HEAD6: Final = bytes((_IN6, AF_INET6))
_UNICAST: Final = 0xFE
_LINK_LOCAL: Final = 0x80
_MULTICAST: Final = 0xFF
_NEAR: Final = (1, 2)
_EMBEDDED: Final = 0xFFFF
_NO_PORT: Final = bytes(2)
_NO_FLOW: Final = bytes(4)
_NO_SCOPE: Final = bytes(4)


def _holds_scope(packed: bytes) -> bool:
    """Tell whether the kernel keeps the interface index inside such an address.

    It does for link-local ones (fe80::/10) and for multicast of interface and link scope, in bytes
    2 and 3, which are no part of the address.
    """
    first, second = packed[0], packed[1]
    if first == _UNICAST:
        return second & 0xC0 == _LINK_LOCAL
    return first == _MULTICAST and second & 0x0F in _NEAR


def _text6(packed: bytes) -> tuple[str, int]:
    """Text of an IPv6 address, and the scope embedded in it (0 if none)."""
    if packed[0] >= _UNICAST and _holds_scope(packed):
        scope = packed[2] << 8 | packed[3]
        return inet_ntop(HOST_AF_INET6, packed[:2] + b"\0\0" + packed[4:]), scope
    return inet_ntop(HOST_AF_INET6, packed), 0


def _pack6(text: str, scope: int) -> bytes:
    """Inverse of `_text6`."""
    try:
        packed = inet_pton(HOST_AF_INET6, text)
    except OSError as error:
        raise ValueError(f"{text!r} is no IPv6 address") from error
    if not scope:
        return packed
    if not _holds_scope(packed):
        raise ValueError(f"{text} is not link-local, so it has no scope")
    return packed[:2] + scope.to_bytes(2, "big") + packed[4:]


def _pack4(text: str) -> bytes:
    try:
        return inet_pton(HOST_AF_INET, text)
    except OSError as error:
        raise ValueError(f"{text!r} is no IPv4 address") from error


class In4(Wire):
    """struct in_addr in network order."""

    exact = True
    label = "in_addr"
    code = "4s"
    size = align = 4
    zero = bytes(4)

    def decode(self, item: Any, out: dict[str, Any]) -> Any:
        """See `Wire.decode`."""
        del out
        return inet_ntoa(item)

    def encode(self, value: Any, fields: Mapping[str, Any]) -> Any:
        """See `Wire.encode`."""
        del fields
        return _pack4(value)


class In4Host(Wire):
    """An IPv4 address kept as an integer in host order."""

    exact = True
    label = "u32, an IPv4 address in host order"
    code = "4s"
    size = align = 4
    zero = bytes(4)

    def decode(self, item: Any, out: dict[str, Any]) -> Any:
        """See `Wire.decode`."""
        del out
        return inet_ntoa(item[::-1])

    def encode(self, value: Any, fields: Mapping[str, Any]) -> Any:
        """See `Wire.encode`."""
        del fields
        return _pack4(value)[::-1]


IN4: Final = In4()
IN4_HOST: Final = In4Host()


class In6(Wire):
    """struct in6_addr; fills the part named `scope` with the interface index embedded in it."""

    exact = True
    label = "in6_addr"
    code = "16s"
    size = 16
    align = 4
    zero = bytes(16)

    def __init__(self, *, scope: str) -> None:
        self.scope = scope

    def parts(self) -> tuple[str, ...]:
        """See `Wire.parts`."""
        return (self.scope,)

    def decode(self, item: Any, out: dict[str, Any]) -> Any:
        """See `Wire.decode`."""
        text, scope = _text6(item)
        out[self.scope] = scope or None
        return text

    def encode(self, value: Any, fields: Mapping[str, Any]) -> Any:
        """See `Wire.encode`."""
        return _pack6(value, fields[self.scope] or 0)


class In4or6(Wire):
    """Union of in_addr and in6_addr, told apart by the flags `ipv4` and `ipv6` of another field."""

    label = "in_addr or in6_addr"
    code = "16s"
    size = 16
    align = 4
    zero = bytes(16)

    def __init__(self, *, flags: str, scope: str) -> None:
        self.flags = flags
        self.scope = scope

    def parts(self) -> tuple[str, ...]:
        """See `Wire.parts`."""
        return (self.scope,)

    def decode(self, item: Any, out: dict[str, Any]) -> Any:
        """See `Wire.decode`."""
        flags = out[self.flags]
        out[self.scope] = None
        if "ipv4" in flags:
            return inet_ntoa(item[:4])
        if "ipv6" in flags:
            text, scope = _text6(item)
            out[self.scope] = scope or None
            return text
        return None

    def encode(self, value: Any, fields: Mapping[str, Any]) -> Any:
        """See `Wire.encode`."""
        if value is None:
            return self.zero
        if ":" in value:
            return _pack6(value, fields[self.scope] or 0)
        return _pack4(value)


class SockaddrIn6(Wire):
    """struct sockaddr_in6, or sockaddr_in in its place: whichever its family byte says.

    An address left empty by the kernel (family 0) is null.  Fills the part `scope` with the
    interface index of a link-local address, wherever it stands (embedded, or sin6_scope_id), and
    the part `port`, if the declaration has them.
    """

    align = 4

    def __init__(
        self, *, scope: str | None = None, port: str | None = None, size: int = _IN6
    ) -> None:
        self.scope = scope
        self.port = port
        self.size = size
        self.code = f"{size}s"
        self.zero = bytes(size)
        self.label = "sockaddr_in6" if port is None else "sockaddr_in or sockaddr_in6"
        if size != _IN6:
            self.label = f"sockaddr_storage ({size} bytes)"

    def parts(self) -> tuple[str, ...]:
        """See `Wire.parts`."""
        return tuple(part for part in (self.scope, self.port) if part is not None)

    def decode(self, item: Any, out: dict[str, Any]) -> Any:
        """See `Wire.decode`."""
        family = item[1]
        text = None
        scope = 0
        if family == AF_INET6:
            if self.scope is None:
                text = inet_ntop(HOST_AF_INET6, item[8:24])
            else:
                text, scope = _text6(item[8:24])
                scope = scope or int.from_bytes(item[24:28], "little")
        elif family == AF_INET:
            text = inet_ntoa(item[4:8])
        if self.scope is not None:
            out[self.scope] = scope or None
        if self.port is not None:
            out[self.port] = None if text is None else item[2] << 8 | item[3]
        return text

    def encode(self, value: Any, fields: Mapping[str, Any]) -> Any:
        """See `Wire.encode`."""
        if value is None:
            return self.zero
        port = _NO_PORT if self.port is None else (fields[self.port] or 0).to_bytes(2, "big")
        if ":" not in value:
            return bytes((_IN4, AF_INET)) + port + _pack4(value)
        scope = 0 if self.scope is None else fields[self.scope] or 0
        address = _pack6(value, 0)
        scope_id = _NO_SCOPE
        if scope and scope <= _EMBEDDED and _holds_scope(address):
            address = _pack6(value, scope)
        elif scope:
            scope_id = scope.to_bytes(4, "little")
        return _HEAD6 + port + _NO_FLOW + address + scope_id

    def whole(self, item: Any) -> bool:
        """See `Wire.whole`."""
        if item == self.zero:
            return True
        return (
            self.size == _IN6
            and item[:2] == _HEAD6
            and item[4:8] == _NO_FLOW
            and item[24:] == _NO_SCOPE
            and (self.port is not None or item[2:4] == _NO_PORT)
        )


class Uuid(Wire):
    """uuid_t: 16 bytes; all zero is null."""

    exact = True
    label = "uuid"
    code = "16s"
    size = 16
    align = 1
    zero = bytes(16)

    def decode(self, item: Any, out: dict[str, Any]) -> Any:
        """See `Wire.decode`."""
        del out
        if item == self.zero:
            return None
        text = item.hex()
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"

    def encode(self, value: Any, fields: Mapping[str, Any]) -> Any:
        """See `Wire.encode`."""
        del fields
        if value is None:
            return self.zero
        packed = bytes.fromhex(value.replace("-", ""))
        if len(packed) != self.size:
            raise ValueError(f"{value!r} is no UUID")
        return packed


UUID: Final = Uuid()

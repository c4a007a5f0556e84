"""What a served simulated kernel and its clients say to each other over a Unix stream socket.

A client opens one connection for each socket it wants and one for everything else, sends one
request at a time and waits for its reply.  A request is `u32 size, u32 operation, body`; a reply is
`u32 size, u32 status, body`, where status 0 is success and 1 means that the body is the errno's
name in ASCII.  All integers are little endian.  Bodies of socket calls are the very bytes of the
Mac's structures, and numbers (ioctls, option levels and names) are Darwin's.

The reply to SOCKET carries a descriptor (SCM_RIGHTS) on which messages arrive.  For
Transport.PACKET each recv(2) on it returns one whole message.  For Transport.FRAMED, for systems
without SOCK_SEQPACKET, it is a byte stream of `u32 size, message`; control sockets have none of
that, and for a control of type SOCK_STREAM the descriptor is a plain stream of bytes.  The socket
lives as long as the connection.  What was read from the descriptor needs no acknowledgement: the
server holds a second descriptor of the same end, on which FIONREAD tells how much waits there.

A call that runs a function of a hosted kext is answered when that is done; other connections are
served meanwhile.  A client that closes its half of the connection (shutdown) is told that the
socket is closed, disconnect function and all, by the end of the other half.

| operation   | body                                       | reply's body                         |
|-------------|--------------------------------------------|--------------------------------------|
| SOCKET      | i32 type, protocol, transport, pid; u32 uid | none, and the descriptor            |
| IOCTL       | u32 request, argument                      | argument as the kernel left it       |
| GETSOCKOPT  | i32 level, name, u32 size, buffer          | u32 length told, value               |
| SETSOCKOPT  | i32 level, name, u32 1 if not NULL, value  | none                                 |
| SYSCTL      | u32 1 if it writes, name                   | u32 size a probe is told, value      |
| DROPPED     | none                                       | u64 messages dropped on this socket  |
| CONNECT     | sockaddr_ctl                               | none                                 |
| BIND        | sockaddr_ctl                               | none                                 |
| SEND        | u32 flags, data                            | u32 bytes taken                      |
| GETPEER     | none                                       | sockaddr_ctl                         |
| SHUTDOWN    | i32 how                                    | none                                 |
| POST        | u32 vendor, class, subclass, code, times; data | u32 id of the last               |
| KEXT_POST   | as POST                                    | as POST                              |
| INJECT      | any number of: u32 size, message           | none                                 |
| VENDOR_FIND | name                                       | u32 code                             |
| REBOOT      | none                                       | none                                 |
| HOST        | none                                       | none                                 |

GETSOCKOPT's buffer is shown to a control's function: zeros at its end may be left out, but for its
first byte; nothing at all means that there is no buffer.  After the reply to HOST the connection is
that of a kext's host, and speaks as `served_kext` says.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

HEADER = struct.Struct("<2I")
SOCKET = struct.Struct("<4iI")
IOCTL = struct.Struct("<I")
SOCKOPT = struct.Struct("<2iI")
SEND = struct.Struct("<I")
SHUTDOWN = struct.Struct("<i")
SYSCTL = struct.Struct("<I")
POST = struct.Struct("<5I")
U32 = struct.Struct("<I")
U64 = struct.Struct("<Q")

BODY_MAX = (64 * 1024 + 64) * 1024
"""Longest body, bytes: the longest option there can be, 64 MiB, and what goes with it.  A frame
that claims more is not of this protocol."""

MESSAGES_MAX = 1_000_000
"""Most messages that one POST may ask for: the server does nothing else meanwhile."""


class Operation(IntEnum):
    """What a request asks for."""

    SOCKET = 1
    IOCTL = 2
    GETSOCKOPT = 3
    SETSOCKOPT = 4
    SYSCTL = 5
    DROPPED = 6
    CONNECT = 7
    BIND = 8
    SEND = 9
    GETPEER = 10
    SHUTDOWN = 11
    POST = 16
    KEXT_POST = 17
    INJECT = 18
    VENDOR_FIND = 19
    REBOOT = 20
    HOST = 24


class Status(IntEnum):
    """How a request went."""

    OK = 0
    FAILED = 1


class Transport(IntEnum):
    """How messages arrive on the descriptor of a socket."""

    PACKET = 0
    FRAMED = 1


class ProtocolError(Exception):
    """The peer does not speak this protocol."""


def frame(kind: int, body: bytes = b"") -> bytes:
    """Make a request (`kind` is an Operation) or a reply (a Status)."""
    return HEADER.pack(len(body), kind) + body


def unpack(layout: struct.Struct, body: bytes) -> tuple[int, ...]:
    """Read the integers that `body` begins with.  ProtocolError if it is shorter."""
    if len(body) < layout.size:
        raise ProtocolError("a request is cut")
    return layout.unpack_from(body)


class FrameReader:
    """Cuts a byte stream into frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Add `data`; give each frame that is complete as (kind, body).  ProtocolError."""
        buffer = self._buffer
        buffer += data
        while len(buffer) >= HEADER.size:
            size, kind = HEADER.unpack_from(buffer)
            if size > BODY_MAX:
                raise ProtocolError(f"a frame claims {size} bytes")
            end = HEADER.size + size
            if len(buffer) < end:
                return
            body = bytes(buffer[HEADER.size : end])
            del buffer[:end]
            yield kind, body


def pack_messages(messages: Iterable[bytes]) -> bytes:
    """Join messages, each behind its size."""
    return b"".join(U32.pack(len(message)) + message for message in messages)


def unpack_messages(body: bytes) -> Iterator[bytes]:
    """Take apart what `pack_messages` joined.  ProtocolError."""
    position = 0
    while position < len(body):
        if position + U32.size > len(body):
            raise ProtocolError("a message is cut")
        (size,) = U32.unpack_from(body, position)
        position += U32.size
        if position + size > len(body):
            raise ProtocolError("a message is cut")
        yield body[position : position + size]
        position += size

"""How the kernel's lists of sockets and controls are framed; pure functions of bytes.

Mirrors struct xsystmgen of bsd/sys/socketvar.h, before and behind each list.  Records are walked by
their own length and kind, so that unknown kinds and longer records of other kernels are passed
over.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ENDS_SIZE = 64
"""Bytes of the two xsystmgen records, which the kernel's estimate of a list leaves out."""

ATTEMPTS = 4
"""How often a list that changed while it was copied is read again."""

_LEN_KIND = struct.Struct("<2I")
_GENERATION = struct.Struct("<I4xQQ")
_XSYSTMGEN_SIZE = 32

XSOCKET_N = struct.Struct("<2IQh2xI2hQ2i4hH2xi2I2iQ5I")
XSOCKBUF_N = struct.Struct("<6Ii2h")
XSOCKSTAT_N = struct.Struct("<2I16Q")
"""The records that follow a socket's first one: itself, its two buffers, its counters."""

SOCKET_RECORDS_SIZE = XSOCKET_N.size + 2 * XSOCKBUF_N.size + XSOCKSTAT_N.size
"""Bytes of those records; each is a multiple of 8 long."""

T = TypeVar("T")


class UnstableListError(Exception):
    """The list changed while the kernel copied it, or is cut short: read it again."""


def records(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Give each record of a list as its kind and its bytes, head included.

    Raises UnstableListError if the generations before and after the list differ or the end is
    missing.  An empty list is the leading xsystmgen alone.
    """
    if len(data) < _XSYSTMGEN_SIZE:
        raise UnstableListError
    length, count, generation = _GENERATION.unpack_from(data)
    if count == 0:
        return
    position = _aligned(length)
    while position + _LEN_KIND.size <= len(data):
        length, kind = _LEN_KIND.unpack_from(data, position)
        if length < _LEN_KIND.size or position + length > len(data):
            break
        if kind == 0:
            if length < _XSYSTMGEN_SIZE:
                break
            if _GENERATION.unpack_from(data, position)[2] != generation:
                raise UnstableListError
            return
        yield kind, data[position : position + length]
        position += _aligned(length)
    raise UnstableListError


def read_stable(read: Callable[[], bytes], parse: Callable[[bytes], T]) -> T:
    """Read and parse a list until it stood still; UnstableListError if it never did."""
    for _ in range(ATTEMPTS):
        try:
            return parse(read())
        except UnstableListError:
            continue
    raise UnstableListError


def _aligned(length: int) -> int:
    """Round up to the 8 bytes that each record is padded to."""
    return (length + 7) & ~7

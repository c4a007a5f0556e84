"""Socket calls that CPython cannot make on a control socket, through ctypes; found when first used.

CPython packs the addresses of PF_SYSTEM on a Mac only, reads options of 1024 bytes at most and
never shows the kernel what the buffer held, and repeats a send that was answered EINTR, which a
control's handler may answer for ever.  Here a call is one call of libc, made without the GIL.
All raise KernelError with the errno's name; a descriptor of -1 is EBADF.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import TYPE_CHECKING, Any

from kevmond.errors import KernelError
from kevmond.kernel.syserror import errno_name

if TYPE_CHECKING:
    from collections.abc import Callable

_ADDRESS_MAX = 128
"""Bytes of the longest address that is read back (struct sockaddr_storage)."""

_socklen = ctypes.c_uint32
_INT = ctypes.c_int
_POINTER = ctypes.c_void_p
_SIZE = ctypes.c_size_t
_SOCKLEN_POINTER = ctypes.POINTER(_socklen)


def connect(descriptor: int, address: bytes) -> None:
    """Connect to a packed address of whatever length."""
    call = _function("connect", _INT, _POINTER, _socklen)
    _checked("connect", call(descriptor, address, len(address)))


def bind(descriptor: int, address: bytes) -> None:
    """Bind to a packed address of whatever length."""
    call = _function("bind", _INT, _POINTER, _socklen)
    _checked("bind", call(descriptor, address, len(address)))


def getpeername(descriptor: int) -> bytes:
    """Return the packed address of the peer."""
    call = _function("getpeername", _INT, _POINTER, _SOCKLEN_POINTER)
    room = ctypes.create_string_buffer(_ADDRESS_MAX)
    length = _socklen(_ADDRESS_MAX)
    _checked("getpeername", call(descriptor, room, ctypes.byref(length)))
    return room.raw[: length.value]


def send(descriptor: int, data: bytes, flags: int = 0) -> int:
    """Send once; how much was taken."""
    call = _function("send", _INT, _POINTER, _SIZE, _INT, result=ctypes.c_ssize_t)
    return _checked("send", call(descriptor, data, len(data), flags))


def getsockopt(
    descriptor: int, level: int, name: int, buffer: bytes | None, size: int
) -> tuple[bytes, int]:
    """Read an option into `size` bytes of room: what they hold then, and the length told.

    The room begins as `buffer` and zeros; with None there is no room, only a length, which the
    kernel may then set to more than `size`.
    """
    call = _function("getsockopt", _INT, _INT, _INT, _POINTER, _SOCKLEN_POINTER)
    room = None
    if buffer is not None:
        room = ctypes.create_string_buffer(buffer[:size], max(size, 1))
    length = _socklen(size)
    _checked("getsockopt", call(descriptor, level, name, room, ctypes.byref(length)))
    data = b"" if room is None else room.raw[: min(length.value, size)]
    return data, length.value


def setsockopt(descriptor: int, level: int, name: int, value: bytes | None) -> None:
    """Set an option; None passes a NULL pointer and length 0."""
    call = _function("setsockopt", _INT, _INT, _INT, _POINTER, _socklen)
    _checked("setsockopt", call(descriptor, level, name, value, len(value or b"")))


def _checked(name: str, result: int) -> int:
    if result < 0:
        raise KernelError(name, errno_name(ctypes.get_errno()))
    return result


@cache
def _function(name: str, *arguments: Any, result: Any = _INT) -> Callable[..., int]:
    """Find libc's function, or one that was preloaded."""
    function: Callable[..., int] = getattr(ctypes.CDLL(None, use_errno=True), name)
    function.argtypes = arguments  # type: ignore[attr-defined] # ctypes' functions have them
    function.restype = result  # type: ignore[attr-defined] # as above
    return function

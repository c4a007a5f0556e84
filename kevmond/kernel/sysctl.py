"""sysctlbyname(3) through ctypes, looked up when first called and never at import."""

from __future__ import annotations

import ctypes
from functools import cache
from typing import TYPE_CHECKING

from kevmond.errors import KernelError
from kevmond.kernel.syserror import NO_PF_SYSTEM, errno_name

if TYPE_CHECKING:
    from collections.abc import Callable

ATTEMPTS = 8
"""How often a value that outgrew its buffer is read again, the buffer doubled each time."""


def read(name: str, *, headroom: int = 0) -> bytes:
    """Read a sysctl's bytes.

    `headroom` bytes are added to the size that the kernel estimates; some lists need it, since
    their estimate leaves records out.  Raises KernelError: ENOENT for an unknown name, ENOSYS
    where libc has no sysctlbyname.
    """
    call = f"sysctlbyname {name}"
    sysctlbyname = _function()
    if sysctlbyname is None:
        raise KernelError(call, "ENOSYS", NO_PF_SYSTEM)
    size = ctypes.c_size_t(0)
    if sysctlbyname(name.encode(), None, ctypes.byref(size), None, 0) != 0:
        raise KernelError(call, errno_name(ctypes.get_errno()))
    room = size.value + headroom
    for _ in range(ATTEMPTS):
        buffer = ctypes.create_string_buffer(max(room, 1))
        size.value = room
        if sysctlbyname(name.encode(), buffer, ctypes.byref(size), None, 0) == 0:
            return buffer.raw[: size.value]
        symbol = errno_name(ctypes.get_errno())
        if symbol != "ENOMEM":
            raise KernelError(call, symbol)
        room = max(room, 512) * 2
    raise KernelError(call, "ENOMEM", "the list grew faster than it could be read")


def read_text(name: str) -> str:
    """Read a string sysctl, without its NUL."""
    return read(name).split(b"\0", 1)[0].decode("utf-8", "replace")


def read_int(name: str) -> int:
    """Read an integer sysctl of whatever width."""
    return int.from_bytes(read(name), "little", signed=True)


@cache
def _function() -> Callable[..., int] | None:
    """Find libc's sysctlbyname, or one that was preloaded; None where there is neither."""
    try:
        function = ctypes.CDLL(None, use_errno=True).sysctlbyname
    except AttributeError:
        return None
    size_pointer = ctypes.POINTER(ctypes.c_size_t)
    function.argtypes = (
        ctypes.c_char_p,
        ctypes.c_void_p,
        size_pointer,
        ctypes.c_void_p,
        ctypes.c_size_t,
    )
    function.restype = ctypes.c_int
    return function

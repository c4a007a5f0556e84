"""Sockets that launchd made for us: launch_activate_socket(3), through ctypes.

The call hands a socket's descriptors out once; they are ours from then on.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from typing import Final

from kevmond.errors import KevmondError

SOCKET_KEY: Final = "Api"
"""Name under which launchd hands out the API's socket."""
_MARK: Final = "XPC_SERVICE_NAME"
"""Variable that launchd sets for its jobs (a terminal's shell may have it, too)."""
_CALL: Final = "launch_activate_socket"

_given: dict[str, list[int]] = {}
"""What was handed out, since it is only once."""


class ActivationError(KevmondError):
    """launchd has the socket and does not hand it out."""


def activated(name: str) -> list[int]:
    """Return the listening descriptors of the `Sockets` entry `name` of our job.

    None where we are no job of launchd's, or the job has no such socket, or this is not a Mac.  The
    same ones for every call, while they are open.  They are not inherited by programs that we
    start.  Raises ActivationError if launchd refuses for any other reason.
    """
    if name not in _given:
        _given[name] = _ask(name) if sys.platform == "darwin" or _MARK in os.environ else []
    return [descriptor for descriptor in _given[name] if _is_socket(descriptor)]


def _ask(name: str) -> list[int]:
    import ctypes  # noqa: PLC0415 - a daemon that is no job has no use for it

    library = ctypes.CDLL(None)
    try:
        call = getattr(library, _CALL)
    except AttributeError:  # not a Mac
        return []
    descriptors = ctypes.POINTER(ctypes.c_int)()
    count = ctypes.c_size_t()
    call.argtypes = (
        ctypes.c_char_p,
        ctypes.POINTER(ctypes.POINTER(ctypes.c_int)),
        ctypes.POINTER(ctypes.c_size_t),
    )
    call.restype = ctypes.c_int
    refused = call(name.encode(), ctypes.byref(descriptors), ctypes.byref(count))
    if refused in {errno.ESRCH, errno.ENOENT}:
        return []
    if refused:
        symbol = errno.errorcode.get(refused, str(refused))
        raise ActivationError(f"{_CALL}({name}): {symbol}")
    try:
        found = descriptors[: count.value]
    finally:
        library.free.argtypes = (ctypes.c_void_p,)
        library.free.restype = None
        library.free(ctypes.cast(descriptors, ctypes.c_void_p))
    for descriptor in found:
        os.set_inheritable(descriptor, False)
    return found


def _is_socket(descriptor: int) -> bool:
    """Whether it is still what it was: another file may have its number, once it is closed."""
    try:
        return stat.S_ISSOCK(os.fstat(descriptor).st_mode)
    except OSError:
        return False

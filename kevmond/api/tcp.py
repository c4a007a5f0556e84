"""Listening at this machine's loopback addresses, where only processes of this machine connect.

Both addresses are taken, so that nobody else is reached who has the port at the other one.
"""

from __future__ import annotations

import errno
import socket
from typing import Final

from kevmond.api.listener import BACKLOG, ApiError

V4: Final = "127.0.0.1"
V6: Final = "::1"
TRIES: Final = 16
"""Ports that are tried if the system's choice is taken at the other address."""

_NO_V6: Final = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT}
"""Errors of a machine without IPv6 on loopback."""


class LoopbackSocket:
    """One listening socket."""

    def __init__(self, family: socket.AddressFamily, host: str, port: int) -> None:
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        try:
            self.socket.setblocking(False)
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            self.socket.bind((host, port))
            self.socket.listen(BACKLOG)
        except OSError:
            self.socket.close()
            raise

    @property
    def port(self) -> int:
        """Its port."""
        return int(self.socket.getsockname()[1])

    def close(self) -> None:
        """Stop listening."""
        self.socket.close()


def listen(port: int, key: str) -> list[LoopbackSocket]:
    """Listen at a port, 0 for one that is free; ApiError, which names `key`, if that cannot be."""
    for _ in range(1 if port else TRIES):
        try:
            return _listen(port)
        except OSError as error:
            last = error
            if error.errno != errno.EADDRINUSE:
                break
    symbol = errno.errorcode.get(last.errno or 0, str(last))
    if last.errno == errno.EADDRINUSE:
        raise ApiError(
            f"{key}: another program listens at port {port} of loopback ({symbol}); set another"
        ) from last
    raise ApiError(f"{key}: port {port} of loopback cannot be listened at ({symbol})") from last


def _listen(port: int) -> list[LoopbackSocket]:
    first = LoopbackSocket(socket.AF_INET, V4, port)
    try:
        return [first, LoopbackSocket(socket.AF_INET6, V6, first.port)]
    except OSError as error:
        if error.errno in _NO_V6:
            return [first]
        first.close()
        raise

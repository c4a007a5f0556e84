"""A client's connection to a served simulated kernel: one request, one reply, in turn."""

from __future__ import annotations

import contextlib
import os
import socket
from typing import TYPE_CHECKING

from kevmond.errors import KernelError, KernelGone
from kevmond.kernel.simulated import wire

if TYPE_CHECKING:
    from pathlib import Path

_TIMEOUT_SECONDS = 10.0
"""How long a reply may take: far longer than any request needs, so that a stuck server is told."""

_READ_SIZE = 65536


class Connection:
    """A connection to the server at `path`; KernelGone if none answers there.

    Not for the thread of the server's own event loop, which could never reply.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._frames = wire.FrameReader()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(_TIMEOUT_SECONDS)
        try:
            self._socket.connect(str(path))
        except OSError as error:
            self._socket.close()
            raise self._gone(error) from error

    def ask(self, call: str, operation: wire.Operation, body: bytes = b"") -> bytes:
        """Make a request and give the reply's body.

        KernelError with the kernel's errno, named for `call`; KernelGone if the server is gone.
        """
        self._send(operation, body)
        while True:
            data = self._receive(0)[0]
            for status, reply in self._frames.feed(data):
                return _checked(call, status, reply)

    def open_socket(self, call: str, kind: int, protocol: int, transport: wire.Transport) -> int:
        """Open a simulated socket on this connection; the descriptor its messages arrive on."""
        self._send(wire.Operation.SOCKET, wire.SOCKET.pack(kind, protocol, transport, os.getpid()))
        received: list[int] = []
        while True:
            data, descriptors = self._receive(1)
            received += descriptors
            for status, reply in self._frames.feed(data):
                _checked(call, status, reply)
                if not received:
                    raise KernelError(call, "EPROTO", "the server sent no descriptor")
                return received[0]

    def close(self) -> None:
        """Close the connection, and the simulated socket on it as soon as the server sees it."""
        self._socket.close()

    def close_and_wait(self) -> None:
        """Close the connection once the server has closed the simulated socket on it."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)
            while self._socket.recv(_READ_SIZE):
                pass
        self._socket.close()

    def __del__(self) -> None:
        self._socket.close()  # kernels have no end of their own: theirs is the garbage collector's

    def _send(self, operation: wire.Operation, body: bytes) -> None:
        try:
            self._socket.sendall(wire.frame(operation, body))
        except OSError as error:
            raise self._gone(error) from error

    def _receive(self, descriptors: int) -> tuple[bytes, list[int]]:
        try:
            if descriptors:
                data, received, _, _ = socket.recv_fds(self._socket, _READ_SIZE, descriptors)
            else:
                data, received = self._socket.recv(_READ_SIZE), []
        except OSError as error:
            raise self._gone(error) from error
        if not data:
            raise self._gone(ConnectionResetError())
        return data, received

    def _gone(self, error: OSError) -> KernelGone:
        symbol = "ETIMEDOUT" if isinstance(error, TimeoutError) else "ECONNRESET"
        if isinstance(error, (ConnectionRefusedError, FileNotFoundError)):
            symbol = "ECONNREFUSED"
        return KernelGone(
            f"simulated kernel at {self._path}",
            symbol,
            f"is `kevmond simulate --listen {self._path}` running?",
        )


def _checked(call: str, status: int, reply: bytes) -> bytes:
    if status == wire.Status.OK:
        return reply
    raise KernelError(call, reply.decode("ascii", "replace"))

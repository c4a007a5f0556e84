"""A client's connection to a served simulated kernel: one request, one reply, in turn."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading
from typing import TYPE_CHECKING, Final

from kevmond.errors import KernelError, KernelGone
from kevmond.kernel.simulated import wire
from kevmond.kernel.syserror import kernel_error

if TYPE_CHECKING:
    from pathlib import Path

_TIMEOUT_SECONDS: Final = 10.0
"""How long a reply may take: far longer than any request needs, so that a stuck server is told."""

HANDLER_TIMEOUT_SECONDS: Final = 60.0
"""The same where a control's own function is waited for, which may be slow."""

_CLOSE_SECONDS: Final = 1.0
"""How long closing waits for the server to take note."""

_READ_SIZE: Final = 65536
_U32: Final = 0xFFFFFFFF


class Connection:
    """A connection to the server at `path`; KernelGone if none answers there.

    Threads may share it: their requests take turns.  It is not for the thread of the server's own
    event loop, which could never reply.  After a KernelGone it is of no more use.
    """

    def __init__(self, path: Path, timeout: float = _TIMEOUT_SECONDS) -> None:
        self._path = path
        self._frames = wire.FrameReader()
        self._turn = threading.Lock()
        try:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        except OSError as error:
            raise kernel_error("socket", error) from error
        self._socket.settimeout(timeout)
        try:
            self._socket.connect(str(path))
        except OSError as error:
            raise self._gone(error) from error

    def ask(self, call: str, operation: wire.Operation, body: bytes = b"") -> bytes:
        """Make a request and give the reply's body.

        KernelError with the kernel's errno, named for `call`; KernelGone if the server is gone.
        """
        with self._turn:
            self._send(operation, body)
            while True:
                for status, reply in self._frames.feed(self._receive()):
                    return _checked(call, status, reply)

    def open_socket(
        self, call: str, kind: int, protocol: int, transport: wire.Transport, uid: int = 0
    ) -> int:
        """Open a simulated socket on this connection; the descriptor its messages arrive on."""
        what = wire.SOCKET.pack(kind, protocol, transport, os.getpid(), uid & _U32)
        with self._turn:
            self._send(wire.Operation.SOCKET, what)
            received: list[int] = []
            while True:
                data, descriptors = self._receive_descriptor(call)
                received += descriptors
                for status, reply in self._frames.feed(data):
                    _checked(call, status, reply)
                    if not received:
                        raise KernelError(call, "EPROTO", "the server sent no descriptor")
                    return received[0]

    def is_gone(self) -> bool:
        """Tell whether the server has ended the connection, without waiting for anything."""
        if self._socket.fileno() < 0:
            return True
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return any(event & ~select.POLLIN for _, event in poll.poll(0))

    def close(self) -> None:
        """Close the connection, and the simulated socket on it as soon as the server sees it."""
        with self._turn:
            self._socket.close()

    def close_and_wait(self) -> None:
        """Close the connection once the server has closed the simulated socket on it.

        A server that hangs is not waited for: whoever closes has an event loop to run.
        """
        with self._turn:
            with contextlib.suppress(OSError):
                self._socket.settimeout(_CLOSE_SECONDS)
                self._socket.shutdown(socket.SHUT_WR)
                while self._socket.recv(_READ_SIZE):
                    pass
            self._socket.close()

    def __del__(self) -> None:
        if hasattr(self, "_socket"):  # it may be descriptors that ran out
            self._socket.close()  # kernels have no end: theirs is the garbage collector's

    def _send(self, operation: wire.Operation, body: bytes) -> None:
        try:
            self._socket.sendall(wire.frame(operation, body))
        except OSError as error:
            raise self._gone(error) from error

    def _receive(self) -> bytes:
        try:
            data = self._socket.recv(_READ_SIZE)
        except OSError as error:
            raise self._gone(error) from error
        if not data:
            raise self._gone(ConnectionResetError())
        return data

    def _receive_descriptor(self, call: str) -> tuple[bytes, list[int]]:
        """Read, with a descriptor if one comes along; KernelError EMFILE if it found no room."""
        try:
            data, received, flags, _ = socket.recv_fds(self._socket, _READ_SIZE, 1)
        except OSError as error:
            raise self._gone(error) from error
        for descriptor in received:
            os.set_inheritable(descriptor, False)
        if flags & socket.MSG_CTRUNC:
            raise KernelError(call, "EMFILE", "this process can open no more descriptors")
        if not data:
            raise self._gone(ConnectionResetError())
        return data, received

    def _gone(self, error: OSError) -> KernelGone:
        """Name the failure, and make sure that no late reply is taken for another request's."""
        self._socket.close()
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

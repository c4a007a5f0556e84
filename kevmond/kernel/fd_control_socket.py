"""A control socket behind a real file descriptor: one recv(2) a message, calls for the rest.

Mirrors sys/kern_control.h.  The Darwin socket and the one that a served simulated kernel hands out
differ only in how a call reaches their kernel, so bytes are packed and read here once for both.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from kevmond.errors import KernelGone
from kevmond.kernel.control_address import packed, unpacked
from kevmond.kernel.control_calls import ControlCalls
from kevmond.kernel.fd_event_socket import GONE
from kevmond.kernel.syserror import kernel_error

if TYPE_CHECKING:
    import socket

    from kevmond.kernel.control_base import ControlAddress


class FdControlSocket(ControlCalls):
    """Owns `sock`, which is made non-blocking; see `ControlSocket`."""

    def __init__(self, sock: socket.socket, *, stream: bool) -> None:
        sock.setblocking(False)
        self._socket = sock
        self._stream = stream

    @property
    def stream(self) -> bool:
        """See `ControlSocket.stream`."""
        return self._stream

    def fileno(self) -> int:
        """See `ControlSocket.fileno`."""
        return self._socket.fileno()

    def bind(self, address: ControlAddress) -> None:
        """See `ControlSocket.bind`."""
        self._bind(packed(address))

    def connect(self, address: ControlAddress) -> None:
        """See `ControlSocket.connect`."""
        self._connect(packed(address))

    def peer(self) -> ControlAddress:
        """See `ControlSocket.peer`."""
        return unpacked(self._getpeername())

    def send(self, data: bytes) -> int:
        """See `ControlSocket.send`."""
        return self._send(bytes(data))

    def receive(self, size: int) -> bytes:
        """See `ControlSocket.receive`; only a simulated kernel can be gone."""
        try:
            return self._socket.recv(size)
        except BlockingIOError:
            raise
        except ConnectionResetError as error:
            raise KernelGone("recv", "ECONNRESET", GONE) from error
        except OSError as error:
            raise kernel_error("recv", error) from error

    def shutdown(self, how: int) -> None:
        """See `ControlSocket.shutdown`."""
        self._shutdown(how)

    def close(self) -> None:
        """See `ControlSocket.close`."""
        self._socket.close()

    # The other calls, with the very bytes and numbers of a Mac; all raise KernelError.

    @abstractmethod
    def _connect(self, address: bytes) -> None: ...

    @abstractmethod
    def _bind(self, address: bytes) -> None: ...

    @abstractmethod
    def _getpeername(self) -> bytes: ...

    @abstractmethod
    def _send(self, data: bytes) -> int: ...

    @abstractmethod
    def _shutdown(self, how: int) -> None: ...

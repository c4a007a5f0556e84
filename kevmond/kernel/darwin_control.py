"""A control socket of the kernel that this process runs on (sys/kern_control.h).

Only libc calls that can be interposed are made, as `darwin` says.
"""

from __future__ import annotations

import fcntl

from kevmond.errors import KernelError
from kevmond.kernel import libc
from kevmond.kernel.fd_control_socket import FdControlSocket
from kevmond.kernel.syserror import kernel_error


class DarwinControlSocket(FdControlSocket):
    """See `ControlSocket`; each call runs in the caller's thread, handler included."""

    def _ioctl(self, request: int, argument: bytes) -> bytes:
        call = f"ioctl {request:#x}"
        try:
            return fcntl.ioctl(self._socket.fileno(), request, argument)
        except OSError as error:
            raise kernel_error(call, error) from error
        except ValueError as error:  # fileno() is -1: the socket is closed
            raise KernelError(call, "EBADF", "the socket is closed") from error

    def _connect(self, address: bytes) -> None:
        libc.connect(self._socket.fileno(), address)

    def _bind(self, address: bytes) -> None:
        libc.bind(self._socket.fileno(), address)

    def _getpeername(self) -> bytes:
        return libc.getpeername(self._socket.fileno())

    def _send(self, data: bytes) -> int:
        return libc.send(self._socket.fileno(), data)

    def _getsockopt(
        self, level: int, name: int, buffer: bytes | None, size: int
    ) -> tuple[bytes, int]:
        return libc.getsockopt(self._socket.fileno(), level, name, buffer, size)

    def _setsockopt(self, level: int, name: int, value: bytes | None) -> None:
        libc.setsockopt(self._socket.fileno(), level, name, value)

    def _shutdown(self, how: int) -> None:
        try:
            self._socket.shutdown(how)
        except OSError as error:
            raise kernel_error("shutdown", error) from error

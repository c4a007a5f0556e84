"""A control socket behind a real file descriptor: one recv(2) a message, calls for the rest.

Mirrors sys/kern_control.h.  The Darwin socket and the one that a served simulated kernel hands out
differ only in how a call reaches their kernel, so bytes are packed and read here once for both.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Final

from kevmond.errors import KernelError, KernelGone
from kevmond.kernel import abi, control_abi
from kevmond.kernel.control_address import control_id_of, packed, unpacked
from kevmond.kernel.fd_event_socket import GONE
from kevmond.kernel.syserror import kernel_error

if TYPE_CHECKING:
    import socket

    from kevmond.kernel.control_base import ControlAddress

_OPTION_MAX: Final = 64 * 1024 * 1024
"""Longest option that the kernel moves, bytes."""

_INT_SIZE: Final = 4


class FdControlSocket(ABC):
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

    def lookup(self, name: str) -> int:
        """See `ControlSocket.lookup`."""
        return control_id_of(self._ioctl, name)

    def count(self) -> int:
        """See `ControlSocket.count`."""
        answer = self._ioctl(control_abi.CTLIOCGCOUNT, bytes(_INT_SIZE))
        return int.from_bytes(answer, "little")

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

    def next_size(self) -> int:
        """See `ControlSocket.next_size`."""
        return self._get(abi.SO_NREAD)

    def set_option(self, option: int, value: bytes | None) -> None:
        """See `ControlSocket.set_option`."""
        _check_size("setsockopt", len(value or b""))
        given = None if value is None else bytes(value)
        self._setsockopt(abi.SYSPROTO_CONTROL, option, given)

    def get_option(self, option: int, size: int, request: bytes = b"") -> bytes:
        """See `ControlSocket.get_option`."""
        _check_size("getsockopt", size)
        return self._getsockopt(abi.SYSPROTO_CONTROL, option, bytes(request), size)[0]

    def option_size(self, option: int) -> int:
        """See `ControlSocket.option_size`."""
        return self._getsockopt(abi.SYSPROTO_CONTROL, option, None, 0)[1]

    @property
    def send_space(self) -> int:
        """See `ControlSocket.send_space`."""
        return self._get(abi.SO_SNDBUF)

    @property
    def receive_space(self) -> int:
        """See `ControlSocket.receive_space`."""
        return self._get(abi.SO_RCVBUF)

    def set_send_space(self, size: int) -> None:
        """See `ControlSocket.set_send_space`."""
        self._set(abi.SO_SNDBUF, size)

    def set_receive_space(self, size: int) -> None:
        """See `ControlSocket.set_receive_space`."""
        self._set(abi.SO_RCVBUF, size)

    def shutdown(self, how: int) -> None:
        """See `ControlSocket.shutdown`."""
        self._shutdown(how)

    def close(self) -> None:
        """See `ControlSocket.close`."""
        self._socket.close()

    def _get(self, name: int) -> int:
        data, _ = self._getsockopt(abi.SOL_SOCKET, name, bytes(_INT_SIZE), _INT_SIZE)
        return int.from_bytes(data, "little")

    def _set(self, name: int, size: int) -> None:
        try:
            value = size.to_bytes(_INT_SIZE, "little", signed=True)
        except OverflowError:
            call = f"setsockopt {name:#x} {size}"
            raise KernelError(call, "EINVAL", "a size is a number below 2147483648") from None
        self._setsockopt(abi.SOL_SOCKET, name, value)

    # Each call, with the very bytes and numbers of a Mac; all raise KernelError.

    @abstractmethod
    def _ioctl(self, request: int, argument: bytes) -> bytes:
        """Do an ioctl and return its argument as the kernel left it."""

    @abstractmethod
    def _connect(self, address: bytes) -> None: ...

    @abstractmethod
    def _bind(self, address: bytes) -> None: ...

    @abstractmethod
    def _getpeername(self) -> bytes: ...

    @abstractmethod
    def _send(self, data: bytes) -> int: ...

    @abstractmethod
    def _getsockopt(
        self, level: int, name: int, buffer: bytes | None, size: int
    ) -> tuple[bytes, int]:
        """Read an option: see `libc.getsockopt`."""

    @abstractmethod
    def _setsockopt(self, level: int, name: int, value: bytes | None) -> None: ...

    @abstractmethod
    def _shutdown(self, how: int) -> None: ...


def _check_size(call: str, size: int) -> None:
    """Refuse what the kernel would, before it is allocated and copied."""
    if size > _OPTION_MAX:
        raise KernelError(call, "EINVAL", f"an option has at most {_OPTION_MAX} bytes, not {size}")

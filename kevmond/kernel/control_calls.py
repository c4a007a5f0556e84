"""What of a control socket is an ioctl or a socket option, whichever kernel it reaches.

Mirrors sys/kern_control.h and sys/socket.h: CTLIOCGINFO, CTLIOCGCOUNT, the control's own options,
the socket's buffers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Final

from kevmond.errors import KernelError
from kevmond.kernel import abi, control_abi
from kevmond.kernel.control_address import control_id_of

_OPTION_MAX: Final = 64 * 1024 * 1024
"""Longest option that the kernel moves, bytes."""

_INT_SIZE: Final = 4
_INT_MAX: Final = 0x7FFFFFFF


class ControlCalls(ABC):
    """Part of a `ControlSocket`, over calls that are given the very numbers and bytes of a Mac."""

    def lookup(self, name: str) -> int:
        """See `ControlSocket.lookup`."""
        return control_id_of(self._ioctl, name)

    def count(self) -> int:
        """See `ControlSocket.count`."""
        answer = self._ioctl(control_abi.CTLIOCGCOUNT, bytes(_INT_SIZE))
        return int.from_bytes(answer, "little")

    def next_size(self) -> int:
        """See `ControlSocket.next_size`."""
        return self._get(abi.SO_NREAD)

    def set_option(self, option: int, value: bytes | None) -> None:
        """See `ControlSocket.set_option`."""
        _check("setsockopt", option, len(value or b""))
        given = None if value is None else bytes(value)
        self._setsockopt(abi.SYSPROTO_CONTROL, option, given)

    def get_option(self, option: int, size: int, request: bytes = b"") -> bytes:
        """See `ControlSocket.get_option`."""
        _check("getsockopt", option, size)
        return self._getsockopt(abi.SYSPROTO_CONTROL, option, bytes(request), size)[0]

    def option_size(self, option: int) -> int:
        """See `ControlSocket.option_size`."""
        _check("getsockopt", option, 0)
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

    @abstractmethod
    def _ioctl(self, request: int, argument: bytes) -> bytes:
        """Do an ioctl and return its argument as the kernel left it; KernelError."""

    @abstractmethod
    def _getsockopt(
        self, level: int, name: int, buffer: bytes | None, size: int
    ) -> tuple[bytes, int]:
        """Read an option: see `libc.getsockopt`; KernelError."""

    @abstractmethod
    def _setsockopt(self, level: int, name: int, value: bytes | None) -> None:
        """Set an option: see `libc.setsockopt`; KernelError."""


def _check(call: str, option: int, size: int) -> None:
    """Refuse what is no option: the kernel would, or would be asked for another one."""
    if not -_INT_MAX - 1 <= option <= _INT_MAX:
        raise KernelError(call, "EINVAL", f"{option} is no option: it has 32 bits and a sign")
    if not 0 <= size <= _OPTION_MAX:
        raise KernelError(call, "EINVAL", f"an option has 0 to {_OPTION_MAX} bytes, not {size}")

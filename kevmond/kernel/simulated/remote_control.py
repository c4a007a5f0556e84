"""A control socket of a simulated kernel that another process serves: the user's half."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from kevmond.errors import KernelError, KernelGone
from kevmond.kernel import abi, control_abi
from kevmond.kernel.fd_control_socket import FdControlSocket
from kevmond.kernel.fd_event_socket import GONE
from kevmond.kernel.simulated import wire
from kevmond.kernel.simulated.wire import Operation

if TYPE_CHECKING:
    from kevmond.kernel.simulated.client import Connection


class RemoteControlSocket(FdControlSocket):
    """See `ControlSocket`; owns the connection that its kernel knows it by."""

    def __init__(self, connection: Connection, *, stream: bool, uid: int) -> None:
        kind = control_abi.SOCK_STREAM if stream else control_abi.SOCK_DGRAM
        descriptor = connection.open_socket(
            "socket", kind, abi.SYSPROTO_CONTROL, wire.Transport.PACKET, uid
        )
        super().__init__(socket.socket(fileno=descriptor), stream=stream)
        self._connection = connection
        self._connected = False

    def receive(self, size: int) -> bytes:
        """See `ControlSocket.receive`; KernelGone once the server is."""
        try:
            data = super().receive(size)
        except BlockingIOError:
            if not self._connected:
                raise KernelError("recv", "ENOTCONN") from None
            raise
        if not data and self._connection.is_gone():
            raise KernelGone("recv", "ECONNRESET", GONE)
        return data

    def close(self) -> None:
        """See `ControlSocket.close`; it has run the disconnect function when it returns."""
        super().close()
        self._connection.close_and_wait()

    def _ioctl(self, request: int, argument: bytes) -> bytes:
        return self._ask(f"ioctl {request:#x}", Operation.IOCTL, wire.IOCTL.pack(request), argument)

    def _connect(self, address: bytes) -> None:
        self._ask("connect", Operation.CONNECT, address)
        self._connected = True

    def _bind(self, address: bytes) -> None:
        self._ask("bind", Operation.BIND, address)

    def _getpeername(self) -> bytes:
        return self._ask("getpeername", Operation.GETPEER)

    def _send(self, data: bytes) -> int:
        taken = self._ask("send", Operation.SEND, wire.SEND.pack(0), data)
        return int.from_bytes(taken, "little")

    def _getsockopt(
        self, level: int, name: int, buffer: bytes | None, size: int
    ) -> tuple[bytes, int]:
        held = b"" if buffer is None or not size else buffer[:size] or b"\0"
        head = wire.SOCKOPT.pack(level, name, size)
        answer = self._ask("getsockopt", Operation.GETSOCKOPT, head, held)
        (length,) = wire.U32.unpack_from(answer)
        return answer[wire.U32.size :], length

    def _setsockopt(self, level: int, name: int, value: bytes | None) -> None:
        head = wire.SOCKOPT.pack(level, name, value is not None)
        self._ask("setsockopt", Operation.SETSOCKOPT, head, value or b"")

    def _shutdown(self, how: int) -> None:
        self._ask("shutdown", Operation.SHUTDOWN, wire.SHUTDOWN.pack(how))

    def _ask(self, call: str, operation: Operation, *parts: bytes) -> bytes:
        if self._socket.fileno() < 0:
            raise KernelError(call, "EBADF", "the socket is closed")
        return self._connection.ask(call, operation, b"".join(parts))

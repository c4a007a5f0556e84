"""An event socket of a simulated kernel that another process serves: the reader's half."""

from __future__ import annotations

import socket
import struct
from typing import TYPE_CHECKING

from kevmond.errors import KernelError
from kevmond.kernel import abi
from kevmond.kernel.fd_event_socket import FdEventSocket
from kevmond.kernel.receive_space import raise_receive_space
from kevmond.kernel.simulated import wire

if TYPE_CHECKING:
    from kevmond.kernel.simulated.client import Connection

_INT = struct.Struct("<i")


class RemoteEventSocket(FdEventSocket):
    """See `EventSocket`; owns the connection that its kernel knows it by."""

    def __init__(
        self, connection: Connection, transport: wire.Transport, receive_space: int, sb_max: int
    ) -> None:
        descriptor = connection.open_socket("socket", abi.SOCK_RAW, abi.SYSPROTO_EVENT, transport)
        sock = socket.socket(fileno=descriptor)
        super().__init__(sock)
        self._connection = connection
        if transport is wire.Transport.FRAMED:
            self._receive = FrameCutter(sock).recv_into
        try:
            raise_receive_space(self._set_receive_space, receive_space, lambda: sb_max)
            self._receive_space = self._read_receive_space()
        except BaseException:
            sock.close()
            raise

    def dropped(self) -> int | None:
        """See `EventSocket.dropped`."""
        try:
            answer = self._connection.ask("dropped", wire.Operation.DROPPED)
        except KernelError:
            return None
        return int.from_bytes(answer, "little")

    def close(self) -> None:
        """See `EventSocket.close`."""
        super().close()
        self._connection.close_and_wait()

    def _ioctl(self, call: str, request: int, argument: bytes) -> bytes:
        if self._socket.fileno() < 0:
            raise KernelError(call, "EBADF", "the socket is closed")
        body = wire.IOCTL.pack(request) + argument
        return self._connection.ask(call, wire.Operation.IOCTL, body)

    def _set_receive_space(self, size: int) -> None:
        body = wire.SOCKOPT.pack(abi.SOL_SOCKET, abi.SO_RCVBUF, 1) + _INT.pack(size)
        self._connection.ask(f"setsockopt SO_RCVBUF {size}", wire.Operation.SETSOCKOPT, body)

    def _read_receive_space(self) -> int:
        body = wire.SOCKOPT.pack(abi.SOL_SOCKET, abi.SO_RCVBUF, _INT.size) + bytes(_INT.size)
        answer = self._connection.ask("getsockopt SO_RCVBUF", wire.Operation.GETSOCKOPT, body)
        return int(_INT.unpack_from(answer, wire.U32.size)[0])


class FrameCutter:
    """Reads one message a call from a byte stream of `u32 size, message`, as a packet socket does.

    What came of a frame is kept until its rest comes; a message longer than the buffer is cut.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._frame = bytearray()

    def recv_into(self, buffer: memoryview) -> int:
        """Read a message; 0 at the end of the stream, BlockingIOError when none is complete."""
        frame = self._frame
        while len(frame) < (wanted := self._wanted()):
            chunk = self._socket.recv(wanted - len(frame))
            if not chunk:
                return 0
            frame += chunk
        message = frame[wire.U32.size : wire.U32.size + len(buffer)]
        buffer[: len(message)] = message
        frame.clear()
        return len(message)

    def _wanted(self) -> int:
        """Bytes that make the frame as far as it is known; no message is empty."""
        if len(self._frame) < wire.U32.size:
            return wire.U32.size
        return wire.U32.size + int(wire.U32.unpack_from(self._frame)[0])

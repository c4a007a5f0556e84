"""An event socket behind a real file descriptor: one recv(2) a message, four ioctls for the rest.

Mirrors sys/kern_event.h.  The Darwin socket and the one that a served simulated kernel hands out
differ only in how an ioctl reaches their kernel, so the bytes are packed here once for both.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from kevmond.errors import KernelError, KernelGone
from kevmond.kernel import abi
from kevmond.kernel.base import KernelFilter
from kevmond.kernel.syserror import kernel_error

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

GONE = "the simulated kernel stopped"


class FdEventSocket(ABC):
    """Owns `sock`, which is made non-blocking, and reads one message a call from it."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._socket = sock
        self._receive: Callable[[memoryview], int] = sock.recv_into
        self._receive_space = abi.KEV_RECVSPACE

    @property
    def receive_space(self) -> int:
        """See `EventSocket.receive_space`."""
        return self._receive_space

    def fileno(self) -> int:
        """See `EventSocket.fileno`; -1 when closed."""
        return self._socket.fileno()

    def recv_into(self, buffer: memoryview) -> int:
        """See `EventSocket.recv_into`; `buffer` must not be empty.

        No message is empty, so nothing read means that the kernel at the other end is gone; a
        real kernel cannot be, a simulated one can.
        """
        try:
            size = self._receive(buffer)
        except BlockingIOError:
            raise
        except ConnectionResetError as error:
            raise KernelGone("recv", "ECONNRESET", GONE) from error
        except OSError as error:
            raise kernel_error("recv", error) from error
        if size:
            return size
        raise KernelGone("recv", "ECONNRESET", GONE)

    def set_filter(self, kernel_filter: KernelFilter) -> None:
        """See `EventSocket.set_filter`."""
        request = abi.KEV_REQUEST.pack(
            kernel_filter.vendor, kernel_filter.kev_class, kernel_filter.subclass
        )
        self._ioctl("SIOCSKEVFILT", abi.SIOCSKEVFILT, request)

    def get_filter(self) -> KernelFilter:
        """See `EventSocket.get_filter`."""
        answer = self._ioctl("SIOCGKEVFILT", abi.SIOCGKEVFILT, bytes(abi.KEV_REQUEST.size))
        return KernelFilter(*abi.KEV_REQUEST.unpack(answer))

    def last_event_id(self) -> int:
        """See `EventSocket.last_event_id`."""
        return int.from_bytes(self._ioctl("SIOCGKEVID", abi.SIOCGKEVID, bytes(4)), "little")

    def vendor_code(self, name: str) -> int:
        """See `EventSocket.vendor_code`; names end at 199 bytes, so a longer one is unknown."""
        text = name.encode()
        call = f"SIOCGKEVVENDOR {name!r}"
        if len(text) > abi.VENDOR_NAME_MAX or b"\0" in text:
            raise KernelError(call, "ENOENT")
        answer = self._ioctl(call, abi.SIOCGKEVVENDOR, abi.KEV_VENDOR_CODE.pack(0, text))
        return int(abi.KEV_VENDOR_CODE.unpack(answer)[0])

    def recorded_ns(self) -> int | None:
        """Tell None: a live kernel stamps nothing."""
        return None

    @abstractmethod
    def dropped(self) -> int | None:
        """See `EventSocket.dropped`."""

    def close(self) -> None:
        """See `EventSocket.close`."""
        self._socket.close()

    @abstractmethod
    def _ioctl(self, call: str, request: int, argument: bytes) -> bytes:
        """Do an ioctl on the socket and return its argument as the kernel left it."""

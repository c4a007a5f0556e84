"""The real kernel: PF_SYSTEM sockets for events and controls, and its sysctls.

Mirrors sys/kern_event.h and sys/kern_control.h.  Only libc calls that can be interposed are made
(socket, ioctl, setsockopt, getsockopt, recv, sysctlbyname; for controls connect, bind, getpeername,
send and shutdown too), and none at import, so the same code runs on any system where a preloaded
library answers for PF_SYSTEM.
"""

from __future__ import annotations

import fcntl
import os
import socket
from typing import TYPE_CHECKING

from kevmond.errors import KernelError
from kevmond.kernel import abi, control_abi, kctl_sysctl, kevt_sysctl, sysctl
from kevmond.kernel.base import KernelIdentity, KernelStatistics
from kevmond.kernel.darwin_control import DarwinControlSocket
from kevmond.kernel.fd_event_socket import FdEventSocket
from kevmond.kernel.receive_space import raise_receive_space
from kevmond.kernel.sysctl_records import UnstableListError, read_stable
from kevmond.kernel.syserror import NO_PF_SYSTEM, kernel_error

if TYPE_CHECKING:
    from kevmond.kernel.control_base import ControlInfo, ControlStatistics


class DarwinKernel:
    """The kernel that this process runs on."""

    name = "darwin"

    def identity(self) -> KernelIdentity:
        """See `Kernel.identity`; KernelError if the boot session cannot be read."""
        return KernelIdentity(
            boot_id=sysctl.read_text(abi.SYSCTL_BOOT_SESSION).lower(),
            host=socket.gethostname(),
            os_release=_text_or_nothing(abi.SYSCTL_OS_RELEASE),
            os_build=_text_or_nothing(abi.SYSCTL_OS_BUILD),
        )

    def open_event_socket(self, receive_space: int) -> DarwinEventSocket:
        """See `Kernel.open_event_socket`; needs no privilege, though a sandbox may refuse it."""
        sock = _socket(abi.SOCK_RAW, abi.SYSPROTO_EVENT, "SOCK_RAW, SYSPROTO_EVENT")
        try:
            return DarwinEventSocket(sock, receive_space)
        except BaseException:
            sock.close()
            raise

    def statistics(self) -> KernelStatistics | None:
        """See `Kernel.statistics` (net.systm.kevt.stats)."""
        try:
            return kevt_sysctl.parse_stats(sysctl.read(abi.SYSCTL_KEVT_STATS))
        except KernelError:
            return None

    def open_control_socket(self, *, stream: bool = False) -> DarwinControlSocket:
        """See `ControlKernel.open_control_socket`."""
        kind, name = control_abi.SOCK_DGRAM, "SOCK_DGRAM"
        if stream:
            kind, name = control_abi.SOCK_STREAM, "SOCK_STREAM"
        sock = _socket(kind, abi.SYSPROTO_CONTROL, f"{name}, SYSPROTO_CONTROL")
        return DarwinControlSocket(sock, stream=stream)

    def controls(self) -> list[ControlInfo]:
        """See `ControlKernel.controls`."""
        return kctl_sysctl.read_controls(lambda name, room: sysctl.read(name, headroom=room))

    def control_statistics(self) -> ControlStatistics | None:
        """See `ControlKernel.control_statistics` (net.systm.kctl.stats)."""
        try:
            return kctl_sysctl.parse_stats(sysctl.read(control_abi.SYSCTL_KCTL_STATS))
        except KernelError:
            return None


class DarwinEventSocket(FdEventSocket):
    """An event socket of the kernel that this process runs on."""

    def __init__(self, sock: socket.socket, receive_space: int) -> None:
        super().__init__(sock)
        raise_receive_space(self._set_receive_space, receive_space, _max_socket_buffer)
        self._receive_space = self._read_receive_space()

    def dropped(self) -> int | None:
        """See `EventSocket.dropped`; best effort, from net.systm.kevt.pcblist."""
        try:
            wanted = kevt_sysctl.KevtSocket(self.get_filter(), os.getpid(), self._receive_space)
            sockets = read_stable(
                lambda: sysctl.read(abi.SYSCTL_KEVT_PCBLIST, headroom=kevt_sysctl.HEADROOM),
                kevt_sysctl.parse_pcblist,
            )
        except (KernelError, UnstableListError):
            return None
        return kevt_sysctl.find_dropped(sockets, wanted)

    def _ioctl(self, call: str, request: int, argument: bytes) -> bytes:
        try:
            return fcntl.ioctl(self._socket.fileno(), request, argument)
        except OSError as error:
            raise kernel_error(call, error) from error
        except ValueError as error:  # fileno() is -1: the socket is closed
            raise KernelError(call, "EBADF") from error

    def _set_receive_space(self, size: int) -> None:
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)
        except OSError as error:
            raise kernel_error(f"setsockopt SO_RCVBUF {size}", error) from error

    def _read_receive_space(self) -> int:
        try:
            return self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        except OSError as error:
            raise kernel_error("getsockopt SO_RCVBUF", error) from error


def _socket(kind: int, protocol: int, names: str) -> socket.socket:
    """Open a socket of the system domain; the error says what to do where there are none."""
    try:
        return socket.socket(abi.PF_SYSTEM, kind, protocol)
    except OSError as error:
        failure = kernel_error(f"socket(PF_SYSTEM, {names})", error)
        if failure.symbol in {"EAFNOSUPPORT", "EPROTONOSUPPORT", "ESOCKTNOSUPPORT"}:
            failure = KernelError(failure.call, failure.symbol, NO_PF_SYSTEM)
        raise failure from error


def _max_socket_buffer() -> int | None:
    try:
        return sysctl.read_int(abi.SYSCTL_MAX_SOCKET_BUFFER)
    except KernelError:
        return None


def _text_or_nothing(name: str) -> str:
    try:
        return sysctl.read_text(name)
    except KernelError:
        return ""

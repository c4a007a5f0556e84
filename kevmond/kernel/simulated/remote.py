"""A simulated kernel that another process serves: the synchronous client.

Reading a message is one recv(2), as on a Mac; everything else is a request on a connection.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from kevmond.errors import KernelError, KernelGone
from kevmond.kernel import abi, control_abi, kctl_sysctl, kevt_sysctl
from kevmond.kernel.base import KernelIdentity, KernelStatistics
from kevmond.kernel.simulated import wire
from kevmond.kernel.simulated.client import HANDLER_TIMEOUT_SECONDS, Connection
from kevmond.kernel.simulated.remote_control import RemoteControlSocket
from kevmond.kernel.simulated.remote_event import RemoteEventSocket

if TYPE_CHECKING:
    import os

    from kevmond.kernel.control_base import ControlInfo, ControlStatistics

_HAS_PACKETS = sys.platform == "linux"
"""Whether AF_UNIX has SOCK_SEQPACKET, which macOS lacks."""


class RemoteKernel:
    """See `Kernel`; also posts, injects and reboots, as `SimulatedKernel` does.

    KernelGone is raised when nobody serves at `path`; a later call tries anew.  `uid` is who opens
    sockets, as far as the simulated kernel is told.
    """

    name = "simulated"

    def __init__(self, path: str | os.PathLike[str], uid: int = 0) -> None:
        self.path = Path(path)
        self.uid = uid
        self._connection: Connection | None = None

    def identity(self) -> KernelIdentity:
        """See `Kernel.identity`."""
        return KernelIdentity(
            boot_id=self._text(abi.SYSCTL_BOOT_SESSION).lower(),
            host=self._text(abi.SYSCTL_HOST),
            os_release=self._text(abi.SYSCTL_OS_RELEASE),
            os_build=self._text(abi.SYSCTL_OS_BUILD),
        )

    def open_event_socket(
        self, receive_space: int, *, transport: wire.Transport | None = None
    ) -> RemoteEventSocket:
        """See `Kernel.open_event_socket`; `transport` is chosen by the system unless given."""
        if transport is None:
            transport = wire.Transport.PACKET if _HAS_PACKETS else wire.Transport.FRAMED
        sb_max = int.from_bytes(self.sysctl(abi.SYSCTL_MAX_SOCKET_BUFFER), "little")
        connection = Connection(self.path)
        try:
            return RemoteEventSocket(connection, transport, receive_space, sb_max)
        except BaseException:
            connection.close()
            raise

    def statistics(self) -> KernelStatistics | None:
        """See `Kernel.statistics`."""
        return kevt_sysctl.parse_stats(self.sysctl(abi.SYSCTL_KEVT_STATS))

    def open_control_socket(self, *, stream: bool = False) -> RemoteControlSocket:
        """See `ControlKernel.open_control_socket`.

        EPROTONOSUPPORT for SOCK_DGRAM where this system has no packet sockets.
        """
        if not stream and not _HAS_PACKETS:
            hint = "this system's Unix sockets have no SOCK_SEQPACKET, which its messages need"
            raise KernelError("socket(SYSPROTO_CONTROL)", "EPROTONOSUPPORT", hint)
        connection = Connection(self.path, HANDLER_TIMEOUT_SECONDS)
        try:
            return RemoteControlSocket(connection, stream=stream, uid=self.uid)
        except BaseException:
            connection.close()
            raise

    def controls(self) -> list[ControlInfo]:
        """See `ControlKernel.controls`."""
        return kctl_sysctl.read_controls(lambda name, _: self.sysctl(name))

    def control_statistics(self) -> ControlStatistics | None:
        """See `ControlKernel.control_statistics`."""
        return kctl_sysctl.parse_stats(self.sysctl(control_abi.SYSCTL_KCTL_STATS))

    def post(
        self,
        vendor: int,
        kev_class: int,
        subclass: int,
        code: int,
        data: bytes = b"",
        *,
        times: int = 1,
    ) -> int:
        """Post an event `times` times, back to back within the server; the id of the last.

        See `SimulatedKernel.post`.
        """
        body = wire.POST.pack(vendor, kev_class, subclass, code, times) + data
        return int.from_bytes(self._ask("kev_post_msg", wire.Operation.POST, body), "little")

    def kext_post(
        self, vendor: int, kev_class: int, subclass: int, code: int, data: bytes = b""
    ) -> int:
        """See `SimulatedKernel.kext_post`."""
        body = wire.POST.pack(vendor, kev_class, subclass, code, 1) + data
        return int.from_bytes(self._ask("kev_msg_post", wire.Operation.KEXT_POST, body), "little")

    def inject(self, *messages: bytes) -> None:
        """See `SimulatedKernel.inject`; several go back to back."""
        self._ask("inject", wire.Operation.INJECT, wire.pack_messages(messages))

    def vendor_code_find(self, name: str) -> int:
        """See `SimulatedKernel.vendor_code_find`."""
        answer = self._ask("kev_vendor_code_find", wire.Operation.VENDOR_FIND, name.encode())
        return int.from_bytes(answer, "little")

    def reboot(self) -> None:
        """See `SimulatedKernel.reboot`."""
        self._ask("reboot", wire.Operation.REBOOT)

    def sysctl(self, name: str) -> bytes:
        """Read a sysctl's bytes; KernelError ENOENT for an unknown name."""
        body = wire.SYSCTL.pack(0) + name.encode()
        call = f"sysctlbyname {name}"
        try:
            answer = self._ask(call, wire.Operation.SYSCTL, body)
        except KernelGone:  # the server may be a new one, and reading twice does no harm
            answer = self._ask(call, wire.Operation.SYSCTL, body)
        return answer[wire.U32.size :]

    def close(self) -> None:
        """Close the connection; sockets stay open, and a later call connects again."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _text(self, name: str) -> str:
        return self.sysctl(name).split(b"\0", 1)[0].decode()

    def _ask(self, call: str, operation: wire.Operation, body: bytes = b"") -> bytes:
        connection = self._connection
        if connection is None:
            connection = self._connection = Connection(self.path)
        try:
            return connection.ask(call, operation, body)
        except KernelGone:
            self.close()
            raise

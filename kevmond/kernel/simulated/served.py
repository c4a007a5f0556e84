"""Serves a simulated kernel to other processes on a Unix socket; the protocol is in `wire`.

Everything happens on the event loop's thread and nothing there waits: requests are short, replies
that a client does not take close its connection, and messages go out as `served_event` tells.
"""

from __future__ import annotations

import asyncio
import os
import socket
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Self

from kevmond.errors import KernelError
from kevmond.kernel import abi
from kevmond.kernel.simulated import sysctls, wire
from kevmond.kernel.simulated.served_event import ServedEventSocket
from kevmond.kernel.simulated.wire import Operation, ProtocolError, Status
from kevmond.kernel.syserror import kernel_error

if TYPE_CHECKING:
    import struct
    from collections.abc import Callable

    from kevmond.kernel.simulated.model import SimulatedKernel

_BACKLOG = 64
_READ_SIZE = 65536


class KernelServer:
    """Serves `kernel` at `path` from `start` (or `async with`) until `aclose`.

    The socket file is private to its owner (mode 0600).  One left behind by a server that died is
    replaced; where a live one answers, or something else than a socket lies, `start` raises
    KernelError.  Post from the loop's thread, or through a `RemoteKernel` from anywhere else.
    """

    def __init__(self, kernel: SimulatedKernel, path: str | os.PathLike[str]) -> None:
        self.kernel = kernel
        self.path = Path(path)
        self._listener: socket.socket | None = None
        self._inode: tuple[int, int] | None = None
        self._clients: set[_Client] = set()

    async def start(self) -> None:
        """Begin to listen."""
        _clear_way(self.path)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        old_mask = os.umask(0o177)
        try:
            listener.bind(str(self.path))
            listener.listen(_BACKLOG)
        except OSError as error:
            listener.close()
            hint = "a socket's path has at most about 100 bytes" if error.errno is None else ""
            raise kernel_error(f"listen on {self.path}", error, hint) from error
        finally:
            os.umask(old_mask)
        listener.setblocking(False)
        self._listener = listener
        self._inode = _inode(self.path)
        asyncio.get_running_loop().add_reader(listener.fileno(), self._accept)

    async def aclose(self) -> None:
        """Stop: open sockets of clients come to their end, the socket file goes."""
        if self._listener is None:
            return
        asyncio.get_running_loop().remove_reader(self._listener.fileno())
        self._listener.close()
        self._listener = None
        for client in list(self._clients):
            client.close()
        if self._inode is not None and _inode(self.path) == self._inode:
            self.path.unlink(missing_ok=True)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def _accept(self) -> None:
        if self._listener is None:
            return
        try:
            connection, _ = self._listener.accept()
        except OSError:  # the client went away again, or descriptors ran out: others go on
            return
        self._clients.add(_Client(self.kernel, connection, self._clients.discard))


class _Client:
    """One connection: a socket of the simulated kernel, or requests about no socket."""

    def __init__(
        self,
        kernel: SimulatedKernel,
        connection: socket.socket,
        forget: Callable[[_Client], None],
    ) -> None:
        connection.setblocking(False)
        self._kernel = kernel
        self._connection = connection
        self._forget = forget
        self._frames = wire.FrameReader()
        self._loop = asyncio.get_running_loop()
        self._socket: ServedEventSocket | None = None
        self._closed = False
        self._loop.add_reader(connection.fileno(), self._readable)

    def close(self) -> None:
        """Close the connection, and the simulated socket with it."""
        if self._closed:
            return
        self._closed = True
        self._loop.remove_reader(self._connection.fileno())
        self._connection.close()
        if self._socket is not None:
            self._socket.close()
        self._forget(self)

    def _readable(self) -> None:
        try:
            data = self._connection.recv(_READ_SIZE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        try:
            for kind, body in self._frames.feed(data):
                self._answer(kind, body)
                if self._closed:
                    return
        except (OSError, ProtocolError, ValueError):
            self.close()

    def _answer(self, kind: int, body: bytes) -> None:
        """Do one request.  OSError, ProtocolError or ValueError: this client is to be dropped."""
        descriptors: list[int] = []
        try:
            if kind == Operation.SOCKET:
                reply = wire.frame(Status.OK)
                descriptors = [self._open(body)]
            elif kind in _OF_SOCKETS:
                reply = wire.frame(Status.OK, _OF_SOCKETS[Operation(kind)](self._opened(), body))
            elif kind in _OF_KERNELS:
                reply = wire.frame(Status.OK, _OF_KERNELS[Operation(kind)](self._kernel, body))
            else:
                raise ProtocolError(f"no operation {kind}")
        except KernelError as error:
            reply = wire.frame(Status.FAILED, error.symbol.encode())
        if self._closed:
            return
        if descriptors:
            sent = socket.send_fds(self._connection, [reply], descriptors)
        else:
            sent = self._connection.send(reply)
        if sent != len(reply):
            raise ProtocolError("a client does not read its replies")

    def _open(self, body: bytes) -> int:
        """SOCKET: errno as socket(2) on PF_SYSTEM gives them.  A new kind of socket begins here."""
        kind, protocol, transport, pid = _unpack(wire.SOCKET, body)
        if self._socket is not None:
            raise ProtocolError("one connection is one socket")
        if protocol not in (0, abi.SYSPROTO_EVENT):
            raise KernelError("socket", "EPROTONOSUPPORT")
        if kind != abi.SOCK_RAW:
            raise KernelError("socket", "EPROTOTYPE" if protocol else "EPROTONOSUPPORT")
        self._socket = ServedEventSocket(
            self._kernel, self._loop, wire.Transport(transport), pid, self.close
        )
        return self._socket.theirs.fileno()

    def _opened(self) -> ServedEventSocket:
        if self._socket is None:
            raise KernelError("ioctl", "EBADF")
        return self._socket


def _ioctl(opened: ServedEventSocket, body: bytes) -> bytes:
    (request,) = _unpack(wire.IOCTL, body)
    return opened.ioctl(request, body[wire.IOCTL.size :])


def _getsockopt(opened: ServedEventSocket, body: bytes) -> bytes:
    level, name = _unpack(wire.SOCKOPT, body)
    return opened.getsockopt(level, name)


def _setsockopt(opened: ServedEventSocket, body: bytes) -> bytes:
    level, name = _unpack(wire.SOCKOPT, body)
    opened.setsockopt(level, name, body[wire.SOCKOPT.size :])
    return b""


def _dropped(opened: ServedEventSocket, _: bytes) -> bytes:
    return wire.U64.pack(opened.pcb.dropped)


def _sysctl(kernel: SimulatedKernel, body: bytes) -> bytes:
    (writes,) = _unpack(wire.SYSCTL, body)
    name = body[wire.SYSCTL.size :].decode("utf-8", "replace")
    probe, value = sysctls.read(kernel, name, writes=bool(writes))
    return wire.U32.pack(probe) + value


def _post(kernel: SimulatedKernel, body: bytes) -> bytes:
    return _post_with(kernel.post, body)


def _kext_post(kernel: SimulatedKernel, body: bytes) -> bytes:
    return _post_with(kernel.kext_post, body)


def _post_with(post: Callable[[int, int, int, int, bytes], int], body: bytes) -> bytes:
    """Post one event as often as is asked, back to back."""
    vendor, kev_class, subclass, code, times = _unpack(wire.POST, body)
    if not 0 < times <= wire.MESSAGES_MAX:
        raise ProtocolError(f"{times} posts at once")
    data = body[wire.POST.size :]
    last = 0
    for _ in range(times):
        last = post(vendor, kev_class, subclass, code, data)
    return wire.U32.pack(last)


def _inject(kernel: SimulatedKernel, body: bytes) -> bytes:
    for message in wire.unpack_messages(body):
        kernel.inject(message)
    return b""


def _vendor_find(kernel: SimulatedKernel, body: bytes) -> bytes:
    return wire.U32.pack(kernel.vendor_code_find(body.decode()))


def _reboot(kernel: SimulatedKernel, _: bytes) -> bytes:
    kernel.reboot()
    return b""


_OF_SOCKETS: dict[Operation, Callable[[ServedEventSocket, bytes], bytes]] = {
    Operation.IOCTL: _ioctl,
    Operation.GETSOCKOPT: _getsockopt,
    Operation.SETSOCKOPT: _setsockopt,
    Operation.DROPPED: _dropped,
}
_OF_KERNELS: dict[Operation, Callable[[SimulatedKernel, bytes], bytes]] = {
    Operation.SYSCTL: _sysctl,
    Operation.POST: _post,
    Operation.KEXT_POST: _kext_post,
    Operation.INJECT: _inject,
    Operation.VENDOR_FIND: _vendor_find,
    Operation.REBOOT: _reboot,
}


def _unpack(layout: struct.Struct, body: bytes) -> tuple[int, ...]:
    if len(body) < layout.size:
        raise ProtocolError("a request is cut")
    return layout.unpack_from(body)


def _clear_way(path: Path) -> None:
    """Remove a socket file that nobody answers at; KernelError if `path` is taken."""
    try:
        mode = path.lstat().st_mode
    except OSError:
        return  # nothing there, or bind will tell what is wrong
    call = f"listen on {path}"
    if not stat.S_ISSOCK(mode):
        raise KernelError(call, "EEXIST", "the path is taken by something that is no socket")
    probe = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    probe.setblocking(False)
    try:
        probe.connect(str(path))
    except ConnectionRefusedError:
        path.unlink(missing_ok=True)
        return
    except OSError as error:
        raise kernel_error(call, error) from error
    finally:
        probe.close()
    raise KernelError(
        call, "EADDRINUSE", "a simulated kernel is served there: stop it or choose another path"
    )


def _inode(path: Path) -> tuple[int, int] | None:
    try:
        status = path.lstat()
    except OSError:
        return None
    return status.st_dev, status.st_ino

"""One connection to a served simulated kernel: its requests, one at a time and in order."""

from __future__ import annotations

import asyncio
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol

from kevmond.errors import KernelError
from kevmond.kernel import abi, control_abi
from kevmond.kernel.simulated import wire
from kevmond.kernel.simulated.served_control import ServedControlSocket
from kevmond.kernel.simulated.served_event import ServedEventSocket
from kevmond.kernel.simulated.served_output import Output
from kevmond.kernel.simulated.served_requests import KERNEL_REQUESTS
from kevmond.kernel.simulated.wire import Operation, ProtocolError, Status
from kevmond.kernel.syserror import kernel_error

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Coroutine

    from kevmond.kernel.simulated.model import SimulatedKernel

_READ_SIZE: Final = 65536

_MOST_WAITING: Final = 64
"""Requests that may come in while one is being done: a client of this protocol sends none."""

_MOST_BYTES_WAITING: Final = 1024 * 1024
"""Bytes of such requests beyond which no more is read until that one is done."""

_CONTROL_KINDS: Final = (control_abi.SOCK_STREAM, control_abi.SOCK_DGRAM)


class Host(Protocol):
    """What a connection becomes that a kext's host speaks on (`served_kext.KextHost`)."""

    def received(self, kind: int, body: bytes) -> None:
        """Take a frame; OSError, ProtocolError or ValueError ends the connection."""
        ...

    def closed(self) -> None:
        """Learn that the connection is at its end."""
        ...


class ServedClient:
    """A socket of the simulated kernel, a kext's host, or requests about no socket.

    A request that waits for a control's function holds up those behind it on this connection, and
    nobody else's.  `forget` is called when the connection is closed and all that was on it.
    """

    def __init__(
        self,
        kernel: SimulatedKernel,
        connection: socket.socket,
        forget: Callable[[ServedClient], None],
    ) -> None:
        connection.setblocking(False)
        self._kernel = kernel
        self._connection = connection
        self._forget = forget
        self._loop = asyncio.get_running_loop()
        self._frames = wire.FrameReader()
        self._output = Output(self._loop, connection, self.drop)
        self._requests: deque[tuple[int, bytes]] = deque()
        self._socket: ServedEventSocket | ServedControlSocket | None = None
        self._host: Host | None = None
        self._under_way: asyncio.Task[None] | None = None
        """The request that is being done, if it did not end at once."""
        self._closing: asyncio.Task[None] | None = None
        self._reads = True
        """Whether there may be more to read."""
        self._watches = False
        """Whether that is read as it comes."""
        self._closed = False
        self._watch()

    @property
    def is_host(self) -> bool:
        """Whether a kext's host is at the other end."""
        return self._host is not None

    def close(self) -> None:
        """Close the simulated socket and then the connection, once the requests are done.

        Closing a control socket takes as long as its control's disconnect function.
        """
        self._stop_reading()
        if self._under_way is None and not self._requests:
            self._end(at_once=False)

    def drop(self) -> None:
        """End the connection at once, whatever is under way."""
        self._requests.clear()
        work = self._under_way
        if work is not None and work is not asyncio.current_task(self._loop):
            work.cancel()
        self._end(at_once=True)

    async def closed(self) -> None:
        """Wait until everything is closed; only after `close` or `drop`."""
        if self._closing is not None:
            await asyncio.wait({self._closing})

    def _stop_reading(self) -> None:
        self._reads = False
        self._watch()

    def _watch(self) -> None:
        """Read what comes, but from a client that goes on and on while its request is done."""
        watches = self._reads and (
            self._under_way is None
            or sum(len(body) for _, body in self._requests) <= _MOST_BYTES_WAITING
        )
        if watches and not self._watches:
            self._loop.add_reader(self._connection.fileno(), self._readable)
        elif self._watches and not watches:
            self._loop.remove_reader(self._connection.fileno())
        self._watches = watches

    def _end(self, *, at_once: bool) -> None:
        """Close what this connection stands for; its peer sees the end before that, or after."""
        if self._closed:
            return
        self._closed = True
        self._stop_reading()
        self._output.close()
        if at_once:
            self._connection.close()
        if self._host is not None:
            self._host.closed()
        if isinstance(self._socket, ServedControlSocket):
            self._closing = self._loop.create_task(self._close_control(self._socket))
            return
        if self._socket is not None:
            self._socket.close()
        self._connection.close()
        self._forget(self)

    async def _close_control(self, socket: ServedControlSocket) -> None:
        try:
            if self._under_way is not None:
                await asyncio.wait({self._under_way})
            await socket.close()
        finally:
            self._connection.close()
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
                self._requests.append((kind, body))
                self._work()
                if self._closed:
                    return
            if len(self._requests) > _MOST_WAITING:
                raise ProtocolError("a client does not wait for its replies")
            self._watch()
        except (OSError, ProtocolError, ValueError):
            self.drop()
        except Exception:  # a mistake of ours, for the log: the client is not to wait for ever
            self.drop()
            raise

    def _work(self) -> None:
        """Do the requests that wait, until one takes its time.  Raises as `_begin` does."""
        while self._requests and self._under_way is None and not self._closed:
            kind, body = self._requests.popleft()
            if self._host is not None:
                self._host.received(kind, body)
                continue
            if self._output.waits:
                raise ProtocolError("a client does not read its replies")
            try:
                reply = self._begin(kind, body)
            except KernelError as error:
                self._output.send(_failed(error))
                continue
            if isinstance(reply, bytes):
                self._output.send(wire.frame(Status.OK, reply))
            elif reply is not None:
                self._under_way = self._loop.create_task(self._finish(reply))
                self._under_way.add_done_callback(partial(_close_unbegun, reply))
        if not self._reads and not self._requests and self._under_way is None:
            self._end(at_once=False)

    def _begin(self, kind: int, body: bytes) -> bytes | Coroutine[Any, Any, bytes] | None:
        """Do a request: the reply's body, what will return it, or None if it was sent.

        OSError, ProtocolError or ValueError: this client is to be dropped.
        """
        try:
            operation = Operation(kind)
        except ValueError:
            raise ProtocolError(f"no operation {kind}") from None
        if operation in KERNEL_REQUESTS:
            return KERNEL_REQUESTS[operation](self._kernel, body)
        if operation is Operation.SOCKET:
            opened = self._open(body)
            self._output.send(wire.frame(Status.OK), [opened.fileno()])
            return None
        if operation is Operation.HOST:
            self._become_host()
            return None
        if self._socket is None:
            raise KernelError(operation.name, "EBADF")
        return self._socket.request(operation, body)

    async def _finish(self, work: Coroutine[Any, Any, bytes]) -> None:
        """Answer a request that takes its time, and go on with those behind it."""
        try:
            try:
                reply = wire.frame(Status.OK, await work)
            except KernelError as error:
                reply = _failed(error)
            self._under_way = None
            self._output.send(reply)
            self._work()
            self._watch()
        except (OSError, ProtocolError, ValueError):
            self._under_way = None
            self.drop()
        except BaseException:  # cancelled, or a mistake of a control's: either way it is the end
            self._under_way = None
            self.drop()
            raise

    def _open(self, body: bytes) -> ServedEventSocket | ServedControlSocket:
        """SOCKET: errno as socket(2) on PF_SYSTEM gives them.  A new kind of socket begins here."""
        kind, protocol, transport, pid, uid = wire.unpack(wire.SOCKET, body)
        way = wire.Transport(transport)
        if self._socket is not None:
            raise ProtocolError("one connection is one socket")
        if protocol not in {0, abi.SYSPROTO_EVENT, abi.SYSPROTO_CONTROL}:
            raise KernelError("socket", "EPROTONOSUPPORT")
        try:
            if kind == abi.SOCK_RAW and protocol != abi.SYSPROTO_CONTROL:
                self._socket = ServedEventSocket(self._kernel, self._loop, way, pid, self.close)
                return self._socket
            if kind in _CONTROL_KINDS and protocol != abi.SYSPROTO_EVENT:
                if way is not wire.Transport.PACKET:
                    raise KernelError("socket", "EPROTONOSUPPORT")
                self._socket = ServedControlSocket(
                    self._kernel,
                    self._loop,
                    stream=kind == control_abi.SOCK_STREAM,
                    pid=pid,
                    uid=uid,
                    on_broken=self.close,
                    on_gone=self.drop,
                )
                return self._socket
        except KernelError:
            raise
        except OSError as error:  # no packet sockets here, or descriptors ran out
            raise kernel_error("socket", error) from error
        raise KernelError("socket", "EPROTOTYPE" if protocol else "EPROTONOSUPPORT")

    def _become_host(self) -> None:
        """HOST: from now on every frame is the host's."""
        from kevmond.kernel.simulated.served_kext import KextHost  # noqa: PLC0415 - few need it

        if self._socket is not None:
            raise ProtocolError("a socket's connection cannot host a kext")
        self._output.send(wire.frame(Status.OK))
        self._host = KextHost(self._kernel, send=self._send_to_host, drop=self.drop)

    def _send_to_host(self, frame: bytes) -> None:
        """Send a frame; who sends it may be another client's request, which is not to fail."""
        try:
            self._output.send(frame)
        except (OSError, ProtocolError):
            self.drop()


def _failed(error: KernelError) -> bytes:
    return wire.frame(Status.FAILED, error.symbol.encode())


def _close_unbegun(work: Coroutine[Any, Any, bytes], _: object) -> None:
    """Let go of a request whose task was cancelled before it began; of others nothing is left."""
    work.close()

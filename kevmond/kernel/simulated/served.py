"""Serves a simulated kernel to other processes on a Unix socket; the protocol is in `wire`.

Everything happens on the event loop's thread and nothing there waits: requests are short or
coroutines (`served_client`), replies that a client does not take close its connection, and messages
go out as `served_queue` tells.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from kevmond.errors import KernelError
from kevmond.kernel.simulated.served_client import ServedClient
from kevmond.kernel.syserror import kernel_error

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kevmond.kernel.simulated.model import SimulatedKernel

_BACKLOG = 64
_DISCONNECT_SECONDS = 2.0
"""How long a server that stops waits for the controls' disconnect functions."""

_OUT_OF_MEANS: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_ACCEPT_AGAIN_SECONDS: Final = 0.2
"""How long a client waits that could not be accepted for want of these."""


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
        self._resume: asyncio.TimerHandle | None = None
        """Goes off when clients are to be accepted again."""
        self._clients: set[ServedClient] = set()

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
        self._watch(listener)

    async def aclose(self) -> None:
        """Stop: open sockets of clients come to their end, the socket file goes.

        That is so, but for what a control does at its own leisure, if this is cancelled as well.
        """
        if self._listener is None:
            return
        if self._resume is not None:
            self._resume.cancel()
        asyncio.get_running_loop().remove_reader(self._listener.fileno())
        self._listener.close()
        self._listener = None
        everybody = list(self._clients)
        hosts = [client for client in everybody if client.is_host]
        clients = [client for client in everybody if client not in hosts]
        try:
            for client in clients:
                client.drop()
            await _ended(clients)  # a kext is told of its clients' end while its host is there
        finally:
            for host in hosts:
                host.drop()
            if self._inode is not None and _inode(self.path) == self._inode:
                self.path.unlink(missing_ok=True)
        await _ended(everybody)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def _watch(self, listener: socket.socket) -> None:
        self._resume = None
        asyncio.get_running_loop().add_reader(listener.fileno(), self._accept, listener)

    def _accept(self, listener: socket.socket) -> None:
        try:
            connection, _ = listener.accept()
        except OSError as error:
            if error.errno in _OUT_OF_MEANS:  # it goes on waiting, and would be told of at once
                loop = asyncio.get_running_loop()
                loop.remove_reader(listener.fileno())
                self._resume = loop.call_later(_ACCEPT_AGAIN_SECONDS, self._watch, listener)
            return  # otherwise the client went away again
        self._clients.add(ServedClient(self.kernel, connection, self._clients.discard))


async def _ended(clients: Iterable[ServedClient]) -> None:
    """Wait a while for the end of clients that were dropped."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_DISCONNECT_SECONDS):
            for client in clients:
                await client.closed()


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

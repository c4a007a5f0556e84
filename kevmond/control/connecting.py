"""One attempt to connect to a control: blocking, in whatever thread it is given.

Mirrors what a client of bsd/kern/kern_control.c has to know: a socket is of no use after a failed
connect, the type of socket must be the control's, and connecting sets the buffers anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kevmond.control.hints import said
from kevmond.errors import KernelError
from kevmond.kernel.control_base import ControlAddress
from kevmond.kernel.receive_space import raise_receive_space
from kevmond.kernel.syserror import kernel_error

if TYPE_CHECKING:
    from collections.abc import Callable

    from kevmond.control.target import ControlTarget
    from kevmond.kernel.control_base import ControlKernel, ControlSocket


class ControlAbsent(KernelError):  # noqa: N818 - a state of the world, not a mistake
    """No such control is registered now."""


@dataclass(frozen=True, slots=True)
class Connection:
    """A connected socket, and what was asked of it once."""

    sock: ControlSocket
    address: ControlAddress
    send_space: int
    receive_space: int
    read_size: int
    """As long as the longest message that can wait."""


class Attempt:
    """Connects once; `close` lets go of whatever it holds, whenever that is."""

    def __init__(
        self,
        kernel: ControlKernel,
        target: ControlTarget,
        *,
        stream: bool | None,
        send_space: int | None,
        receive_space: int | None,
        prepare: Callable[[ControlSocket], None] | None = None,
    ) -> None:
        """`prepare` is called on each fresh socket just before it is connected."""
        self._kernel = kernel
        self._target = target
        self._stream = stream
        self._send_space = send_space
        self._receive_space = receive_space
        self._prepare = prepare
        self._control_id = target.control_id
        self._sock: ControlSocket | None = None

    def run(self) -> Connection:
        """Connect; ControlAbsent or another KernelError."""
        try:
            return self._connect()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the socket, if there is one."""
        sock, self._sock = self._sock, None
        if sock is not None:
            sock.close()

    def _connect(self) -> Connection:
        """Try as a socket for messages first, and without a unit, unless told otherwise."""
        stream, unit = bool(self._stream), self._target.unit
        while True:
            try:
                return self._once(ControlAddress(self._control_id, unit), stream=stream)
            except KernelError as error:
                if error.symbol == "EPROTOTYPE" and self._stream is None and not stream:
                    stream = True
                    continue
                if isinstance(error, ControlAbsent) and self._target.name and unit == 0:
                    unit = self._static_unit()
                    if unit:
                        continue
                raise

    def _once(self, address: ControlAddress, *, stream: bool) -> Connection:
        self.close()
        sock = self._sock = self._kernel.open_control_socket(stream=stream)
        if self._target.name:
            self._control_id = lookup(sock, self._target.name)
            address = ControlAddress(self._control_id, address.unit)
        try:
            if self._prepare is not None:
                self._prepare(sock)
            sock.connect(address)
        except KernelError as error:
            if error.symbol == "ENOENT":
                raise ControlAbsent(error.call, error.symbol, said(error)) from error
            raise
        except OSError as error:  # EALREADY and EINPROGRESS too: nothing is in progress here
            raise kernel_error(f"connect to {self._target}", error) from error
        own_space = sock.receive_space
        if self._send_space is not None:
            raise_receive_space(sock.set_send_space, self._send_space, _unknown)
        if self._receive_space is not None:
            raise_receive_space(sock.set_receive_space, self._receive_space, _unknown)
        receive_space = sock.receive_space
        return Connection(
            sock=sock,
            address=sock.peer(),
            send_space=sock.send_space,
            receive_space=receive_space,
            read_size=max(own_space, receive_space, 1),
        )

    def _static_unit(self) -> int:
        """Return the unit of a control that has a name and yet only one unit; 0 if it has not.

        A name is looked up to a number alone, and connecting to that without the unit finds
        nothing; the list of controls tells it, where it can be read.
        """
        try:
            infos = self._kernel.controls()
        except KernelError:
            return 0
        for info in infos:
            if info.control_id == self._control_id and info.name == self._target.name:
                return info.reg_unit or 0
        return 0


def find(kernel: ControlKernel, target: ControlTarget) -> int | None:
    """Return the number of a control by its name, None if there is none now; else KernelError."""
    sock = kernel.open_control_socket()
    try:
        return lookup(sock, target.name)
    except ControlAbsent:
        return None
    finally:
        sock.close()


def lookup(sock: ControlSocket, name: str) -> int:
    """Return the number of a control by its name; ControlAbsent, or another KernelError."""
    try:
        return sock.lookup(name)
    except KernelError as error:
        if error.symbol != "ENOENT":
            raise
        raise ControlAbsent(error.call, error.symbol, said(error)) from error


def _unknown() -> None:
    """Return what kern.ipc.maxsockbuf is: not known here."""

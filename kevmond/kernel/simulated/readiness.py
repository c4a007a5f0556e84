"""A descriptor that is readable exactly while something waits, for sockets within one process."""

from __future__ import annotations

import socket

from kevmond.kernel.syserror import kernel_error


class Readiness:
    """The end of a socket pair that holds one byte while `raised`; made when first asked for.

    System calls are paid only when it changes.  (Not a pipe: libuv refuses to watch those on
    macOS.)
    """

    __slots__ = ("_pair", "_raised")

    def __init__(self) -> None:
        self._pair: tuple[socket.socket, socket.socket] | None = None
        self._raised = False

    def fileno(self) -> int:
        """Return the descriptor; KernelError if there is none to be had."""
        if self._pair is None:
            try:
                self._pair = socket.socketpair()
            except OSError as error:  # descriptors ran out
                raise kernel_error("socketpair", error) from error
            if self._raised:
                self._pair[1].send(b"\0")
        return self._pair[0].fileno()

    def raise_(self) -> None:
        """Make it readable."""
        if not self._raised:
            self._raised = True
            if self._pair is not None:
                self._pair[1].send(b"\0")

    def lower(self) -> None:
        """Make it unreadable."""
        if self._raised:
            self._raised = False
            if self._pair is not None:
                self._pair[0].recv(1)

    def close(self) -> None:
        """Close the descriptor, if there ever was one."""
        for end in self._pair or ():
            end.close()
        self._pair = None

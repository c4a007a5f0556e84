"""What the checks of `kevmond doctor` share: how they end, and sockets for their duration."""

from __future__ import annotations

import contextlib
import select
from typing import TYPE_CHECKING, Final

from kevmond.errors import KernelError
from kevmond.kernel import abi
from kevmond.kernel.control_base import ControlAddress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kevmond.kernel.base import EventSocket, Kernel
    from kevmond.kernel.control_base import ControlSocket

PATIENCE_S: Final = 5.0
"""How long an answer is waited for."""


class Failed(Exception):  # noqa: N818 - a finding, not a mistake of this program
    """Something is not as it should be; `advice` says what to do."""

    def __init__(self, told: str, advice: str = "") -> None:
        super().__init__(told)
        self.advice = advice


class NotPossible(Exception):  # noqa: N818 - as above
    """It cannot be found out here; `advice` says how it could be."""

    def __init__(self, told: str, advice: str = "") -> None:
        super().__init__(told)
        self.advice = advice


@contextlib.contextmanager
def events(kernel: Kernel, space: int = abi.KEV_RECVSPACE) -> Iterator[EventSocket]:
    """Open an event socket for the block."""
    sock = kernel.open_event_socket(space)
    try:
        yield sock
    finally:
        sock.close()


@contextlib.contextmanager
def control(kernel: Kernel, *, stream: bool = False) -> Iterator[ControlSocket]:
    """Open a control socket for the block."""
    sock = kernel.open_control_socket(stream=stream)
    try:
        yield sock
    finally:
        sock.close()


@contextlib.contextmanager
def connected(kernel: Kernel, name: str) -> Iterator[ControlSocket]:
    """Open a control socket for the block, connected to the control of this name."""
    with control(kernel) as sock:
        sock.connect(ControlAddress(lookup(sock, name)))
        yield sock


def lookup(sock: ControlSocket, name: str) -> int:
    """Return the id of a control; NotPossible if this kernel has none of this name."""
    try:
        return sock.lookup(name)
    except KernelError as error:
        if error.symbol == "ENOENT":
            raise NotPossible(f"this kernel has no {name}") from error
        raise


def wait_for(sock: ControlSocket) -> None:
    """Wait for a message; Failed if none comes."""
    if not readable(sock.fileno(), PATIENCE_S):
        raise Failed(f"nothing came within {PATIENCE_S:g} s")


def readable(fileno: int, wait_s: float) -> bool:
    """Wait so long, and tell whether there is something to read."""
    poll = select.poll()
    poll.register(fileno, select.POLLIN)
    return bool(poll.poll(wait_s * 1000))


def expect(symbol: str, doing: str, call: Callable[[], object]) -> None:
    """Make a call that must fail with this errno."""
    try:
        call()
    except KernelError as error:
        if error.symbol == symbol:
            return
        raise Failed(f"{doing} failed with {error.symbol}, not {symbol}") from error
    raise Failed(f"{doing} succeeded, where {symbol} was expected")

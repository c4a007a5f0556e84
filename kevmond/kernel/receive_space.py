"""How much receive buffer to ask for when the kernel does not give what is wanted.

Mirrors sbreserve() of bsd/kern/uipc_socket2.c: a request above sb_max * 2048 / 2304 (the share
that clusters leave of it) is refused with ENOBUFS by xnu-7195 and keeps the old size, while newer
kernels silently grant sb_max.  So the caller must read back what it got in either case.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kevmond.errors import KernelError
from kevmond.kernel import abi

if TYPE_CHECKING:
    from collections.abc import Callable

DEFAULT_SB_MAX = 8 * 1024 * 1024
"""kern.ipc.maxsockbuf where it cannot be read."""


def largest_granted(sb_max: int) -> int:
    """Largest SO_RCVBUF, bytes, that a kernel with this kern.ipc.maxsockbuf does not refuse."""
    return sb_max * 2048 // 2304


def raise_receive_space(
    set_option: Callable[[int], None],
    wanted: int,
    sb_max: Callable[[], int | None],
) -> None:
    """Set the receive buffer to `wanted` bytes, or as near below as the kernel accepts.

    `set_option` sets SO_RCVBUF and raises KernelError; refusals other than ENOBUFS pass through.
    If nothing above the default is accepted, the socket keeps its default.
    """
    size = wanted
    first = True
    while first or size > abi.KEV_RECVSPACE:
        try:
            set_option(size)
        except KernelError as error:
            if error.symbol != "ENOBUFS":
                raise
        else:
            return
        if first:
            first = False
            size = min(largest_granted(sb_max() or DEFAULT_SB_MAX), wanted - 1)
        else:
            size //= 2

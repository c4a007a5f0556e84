"""How an OSError of a system call becomes a KernelError: by the errno's name (sys/errno.h)."""

from __future__ import annotations

import errno

from kevmond.errors import KernelError
from kevmond.kernel import abi

NO_PF_SYSTEM = (
    "this system has no PF_SYSTEM sockets: use --kernel simulated, or --kernel simulated:PATH "
    "beside `kevmond simulate --listen PATH`"
)
"""What to tell somebody who asks for the Darwin kernel where there is none."""

_NAMES = {**errno.errorcode, errno.EDEADLK: "EDEADLK"}
"""Of the two names that Linux has for this number, Python knows the one that Darwin has not."""


def errno_name(number: int | None) -> str:
    """Name of this host's errno `number`.

    "errno N" if it has none: a control's handler may return any number, and it reaches the caller
    as it is.  "EIO" where there is no number at all, since something did fail.
    """
    if not number:
        return "EIO"
    return _NAMES.get(number) or f"{abi.NUMBERED}{number}"


def kernel_error(call: str, error: OSError, hint: str = "") -> KernelError:
    """Name `error` for the call that met it."""
    return KernelError(call, errno_name(error.errno), hint)

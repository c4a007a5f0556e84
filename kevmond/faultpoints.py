"""Named points at which a test can kill the process: the worst moments, made repeatable.

A crash test sets KEVMOND_FAULT_POINT to a name and starts the daemon; it dies there by SIGKILL, as
if the power of the process alone had failed, and the test looks at what the next start makes of
it.  "NAME:3" dies at the third pass.  Without the variable a point costs one comparison.
"""

from __future__ import annotations

import os
import signal

_ARMED, _, _PASS = os.environ.get("KEVMOND_FAULT_POINT", "").partition(":")
_passes = {_ARMED: int(_PASS or 1)}


def fault(name: str) -> None:
    """Die here if this is the point, and the pass of it, that the environment names."""
    if name == _ARMED:
        _passes[name] -= 1
        if _passes[name] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

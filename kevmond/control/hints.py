"""What to do about an error of a control, in one place for the daemon and the command line.

A control's handler may return whatever it likes; these are what errno names mean by custom, and
what the kernel itself says (bsd/kern/kern_control.c).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from kevmond.errors import KernelError

_ALWAYS: Final = {
    "EPERM": "only root may do this: run it with sudo; a daemon with daemon.user is root no longer",
    "EACCES": "a sandbox forbids it: run this outside of it",
}

_CONNECT: Final = {
    "EBUSY": "its unit is taken, it takes no more clients, or it is about to be unloaded: "
    "`kevmond ctl info` shows who has it",
    "ENOSPC": "it takes no more clients: `kevmond ctl info` shows who they are",
    "EALREADY": "it takes one client at a time: `kevmond ctl info` shows who that is",
    "EPROTOTYPE": "it wants the other type of socket, which `kevmond ctl list` shows; "
    'type = "auto" finds it out',
}

_MEANING: Final = {
    "ENOTSUP": "the control has nothing for this: `kevmond ctl info` shows what it has",
    "ENOPROTOOPT": "the control does not know this option",
    "EINVAL": "the control found it malformed",
    "ENOBUFS": "its queue is full: are its messages being read?",
}

_TOO_LONG: Final = {
    "send": "longer than the control takes: `kevmond ctl info` shows its send space",
    "getsockopt": "the option has another length: --size gives one",
    "setsockopt": "the option wants a value of another length",
}
"""EMSGSIZE, by the call."""


def advice(error: KernelError) -> str:
    """Return what to do about an error, whatever it says itself; "" if nothing special."""
    known = _ALWAYS.get(error.symbol, "")
    if not known and error.call.startswith("connect"):
        known = _CONNECT.get(error.symbol, "")
    return known


def meaning(error: KernelError) -> str:
    """Return what an error means that does not say so itself; "" if its name says all."""
    if error.symbol == "EMSGSIZE":
        return _TOO_LONG.get(error.call.partition(" ")[0], "")
    return _MEANING.get(error.symbol, "")


def said(error: KernelError) -> str:
    """Return what an error says beside its call and its errno."""
    _, _, rest = str(error).partition(f": {error.symbol}")
    rest = rest.strip()
    return rest[1:-1] if rest.startswith("(") and rest.endswith(")") else rest


def joined(*parts: str) -> str:
    """Make one hint of several, of which some may be empty."""
    return "; ".join(part for part in parts if part)

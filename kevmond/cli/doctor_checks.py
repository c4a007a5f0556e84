"""What `kevmond doctor` checks: one function a fact, on any kernel, with no kernel extension.

A check returns what it found, raises `NotPossible` where it cannot be made, and `Failed` (or
KernelError) where something is not as it should be.  None of them changes anything, but for a
tunnel interface that comes and goes, which takes root.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from kevmond.cli import doctor_controls as controls
from kevmond.cli import doctor_probe as probe
from kevmond.control import hints
from kevmond.errors import KernelError
from kevmond.kernel import abi, control_abi
from kevmond.kernel.base import KernelFilter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kevmond.kernel.base import Kernel

WANTED_SPACE: Final = 8 << 20
"""Receive buffer asked for, bytes: as much as `kevmond run` asks for by itself."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing to find out."""

    name: str
    about: str
    run: Callable[[Kernel], str]
    """Returns what was found."""
    needs: str = ""
    """Name of a check without whose success this one makes no sense."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of a check."""

    check: str
    about: str
    outcome: str
    """pass, fail or impossible."""
    told: str
    advice: str = ""


_NOT_A_MAC: Final = frozenset({"EAFNOSUPPORT", "ENOSYS"})
"""What the calls of a Mac fail with where there are none."""


def missing(kernel: Kernel) -> str:
    """Say why nothing can be checked at all, where this system has not such a kernel; else ""."""
    try:
        kernel.open_event_socket(abi.KEV_RECVSPACE).close()
    except KernelError as error:
        if error.symbol in _NOT_A_MAC:
            return hints.said(error) or str(error)
    return ""


def examine(kernel: Kernel) -> Iterator[Finding]:
    """Make every check, in order."""
    passed: set[str] = set()
    nowhere = _NOT_A_MAC if missing(kernel) else frozenset[str]()
    for check in CHECKS:
        finding = _made(check, kernel, passed, nowhere)
        if finding.outcome == "pass":
            passed.add(check.name)
        yield finding


def _made(check: Check, kernel: Kernel, passed: set[str], nowhere: frozenset[str]) -> Finding:
    if check.needs and check.needs not in passed:
        return Finding(check.name, check.about, "impossible", f"it needs: {check.needs}")
    outcome, told, advice = "pass", "", ""
    try:
        told = check.run(kernel)
    except probe.NotPossible as reason:
        outcome, told, advice = "impossible", str(reason), reason.advice
    except probe.Failed as reason:
        outcome, told, advice = "fail", str(reason), reason.advice
    except KernelError as error:
        if error.symbol in nowhere:
            told = f"{error.call}: {error.symbol}"
            return Finding(check.name, check.about, "impossible", told)
        outcome, told, advice = "fail", str(error), _ADVICE.get(error.symbol, "")
    except BlockingIOError:
        outcome, told = "fail", "a socket that said it was readable had nothing to read"
    return Finding(check.name, check.about, outcome, told, advice)


_ADVICE: Final = {
    "EPERM": "a sandbox or a security policy may forbid it: try outside of it, or as root",
    "EACCES": "a sandbox or a security policy may forbid it: try outside of it, or as root",
}


def system(kernel: Kernel) -> str:
    """Read boot session, host and release."""
    told = kernel.identity()
    if not told.boot_id:
        raise probe.Failed(
            "the boot session has no id", "events could not be told apart across boots"
        )
    release = f"Darwin {told.os_release or '?'} ({told.os_build or '?'})"
    return f"{release} on {told.host}, boot session {told.boot_id}"


def event_socket(kernel: Kernel) -> str:
    """Open an event socket, which anybody may."""
    with probe.events(kernel) as sock:
        return f"opened, {sock.receive_space} bytes of buffer before any is asked for"


def event_filter(kernel: Kernel) -> str:
    """Read a filter back as it was set; a new socket has one that passes nothing."""
    wanted = KernelFilter(1, control_abi.KEV_SYSTEM_CLASS, control_abi.KEV_CTL_SUBCLASS)
    with probe.events(kernel) as sock:
        fresh = sock.get_filter()
        sock.set_filter(wanted)
        found = sock.get_filter()
    if found != wanted:
        raise probe.Failed(f"{wanted} was set, {found} was read back")
    if fresh.vendor != abi.KEV_VENDOR_NONE:
        raise probe.NotPossible(
            f"set and read back; but a new socket had {fresh}, which is unusual"
        )
    return "set and read back; a new socket had the one that passes nothing"


def event_id(kernel: Kernel) -> str:
    """Ask for the id of the last event posted."""
    with probe.events(kernel) as sock:
        return f"the last event posted has id {sock.last_event_id()}"


def event_buffer(kernel: Kernel) -> str:
    """Ask for more buffer than a new socket has, so that bursts are not lost."""
    with probe.events(kernel, WANTED_SPACE) as sock:
        granted = sock.receive_space
    limit = _buffer_limit(kernel)
    bound = "" if limit is None else f"; {abi.SYSCTL_MAX_SOCKET_BUFFER} is {limit}"
    told = f"{granted} of {WANTED_SPACE} bytes granted{bound}"
    if granted <= abi.KEV_RECVSPACE:
        raise probe.Failed(
            told,
            f"raise it: sudo sysctl -w {abi.SYSCTL_MAX_SOCKET_BUFFER}={WANTED_SPACE}",
        )
    return told


def _buffer_limit(kernel: Kernel) -> int | None:
    if kernel.name == "darwin":
        from kevmond.kernel import sysctl

        with contextlib.suppress(KernelError):
            return sysctl.read_int(abi.SYSCTL_MAX_SOCKET_BUFFER)
    limit = getattr(kernel, "sb_max", None)
    return limit if isinstance(limit, int) else None


def event_counters(kernel: Kernel) -> str:
    """Read the counters of events: they show losses that nothing else does."""
    told = kernel.statistics()
    if told is None:
        raise probe.NotPossible(
            f"{abi.SYSCTL_KEVT_STATS} cannot be read",
            "losses are then found by gaps in the ids only",
        )
    return f"{told.pcbcount} sockets, {told.posted} delivered, {told.fullsock} lost to full buffers"


CHECKS: Final = (
    Check("system", "the system can be told", system),
    Check("event-socket", "event socket", event_socket),
    Check("event-filter", "event filter, set and read back", event_filter, "event-socket"),
    Check("event-id", "id of the last event", event_id, "event-socket"),
    Check("event-buffer", "event buffer granted", event_buffer, "event-socket"),
    Check("event-counters", "counters of events", event_counters),
    Check("control-socket", "control socket", controls.control_socket),
    Check("control-counters", "counters of controls", controls.control_counters),
    Check("control-list", "registered controls", controls.control_list, "control-socket"),
    Check(
        "control-echo",
        "echo by com.apple.network.statistics",
        controls.statistics_echo,
        "control-socket",
    ),
    Check(
        "message-limit", "too long a message is refused", controls.message_limit, "control-socket"
    ),
    Check(
        "source-address", "answer by com.apple.netsrc", controls.source_address, "control-socket"
    ),
    Check("unknown-name", "an unknown name is refused", controls.unknown_name, "control-socket"),
    Check(
        "wrong-type", "the wrong type of socket is refused", controls.wrong_type, "control-socket"
    ),
    Check("no-options", "an option is refused", controls.no_options, "control-socket"),
    Check("tunnel", "a tunnel's own kernel events, end to end", controls.tunnel, "control-socket"),
)
"""All checks, in the order in which they are made."""

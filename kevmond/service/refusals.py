"""What launchctl's refusals mean, and what to do about each.

Numbers below 107 are Darwin's errno (sys/errno.h), the others launchd's own, as
`launchctl error NUMBER` tells them.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

NOT_FOUND: Final = frozenset({3, 113})
"""The service is not loaded."""
ALREADY: Final = frozenset({17, 37})
"""The service is loaded already."""
IN_PROGRESS: Final = frozenset({36})
"""It was taken up, and goes on."""
CATCH_ALL: Final = 5
"""What launchd says when it says nothing."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """One refusal; `str()` of it is for people."""

    code: int
    said: str
    """What it means, or what launchctl itself said."""
    advice: str

    def __str__(self) -> str:
        number = f" ({self.code})" if self.code > 0 else ""
        return f"{self.said}{number}; {self.advice}"


_LOG: Final = "log show --last 5m --predicate 'process == \"launchd\"'"
_AS_ROOT: Final = "the system's services are root's: run this with sudo"
_GUI: Final = (
    "an agent needs its user to be logged in at the screen: log in there, or install the daemon "
    "(without --agent)"
)
_AGAIN: Final = "wait a moment and try it again"
_LOADED: Final = "it is loaded already: `kevmond service restart`, or `stop` and then `start`"
_PLIST: Final = "write it anew: `kevmond service install`"
_DOCTOR: Final = "`kevmond doctor` looks at the program, its user and its files"

_MEANINGS: Final[dict[int, tuple[str, str]]] = {
    1: ("not permitted", _AS_ROOT),
    2: ("no such file", "install it first: `kevmond service install`"),
    3: ("no such service is loaded", "`kevmond service start` loads it"),
    CATCH_ALL: (
        "launchd gives no reason",
        (
            "it may be loaded already or be stopping still (`kevmond service status`), be disabled "
            "(launchctl print-disabled DOMAIN), or have a property list that launchd does not take "
            f"(plutil -lint PLIST); its own log may say more: {_LOG}"
        ),
    ),
    13: ("permission denied", _AS_ROOT),
    17: ("it is there already", _LOADED),
    22: ("launchd does not take this request", f"its log may say why: {_LOG}"),
    36: ("it is under way", "`kevmond service status` tells when it is done"),
    37: ("it is loaded already, or on its way", _LOADED),
    64: ("launchctl does not know these words", "this system is too old: kevmond needs macOS 11"),
    78: ("not implemented here", f"launchd's log may say why: {_LOG}"),
    108: ("the path is none that launchd takes", _PLIST),
    109: ("the property list is not valid", _PLIST),
    110: ("the property list has no usable Label", _PLIST),
    111: ("the property list has no usable ProgramArguments", _PLIST),
    112: ("there is no such domain", _GUI),
    113: ("no such service is loaded", "`kevmond service start` loads it"),
    114: ("there is no user of the name in UserName", "name another: `install --user NAME`"),
    115: ("there is no group of the name in GroupName", _PLIST),
    119: (
        "the service is disabled",
        "somebody ran `launchctl disable`; if it is to run: launchctl enable TARGET, then again",
    ),
    120: ("the request went to the wrong place", _GUI),
    121: ("launchd does not look there for services", _PLIST),
    122: (
        "the property list, or its folder, has the wrong owner or mode",
        (
            "both must be writable by their owner only, for the system's services root: "
            "sudo chown root:wheel PLIST && sudo chmod 644 PLIST"
        ),
    ),
    124: ("the domain is shutting down", "try it again after the next login"),
    125: ("the domain does not do this", _GUI),
    134: ("the service does not belong into this kind of session", _GUI),
    139: ("the service cannot be started now", _AGAIN),
    140: ("the name is reserved or invalid", _PLIST),
    144: ("launchctl lacks a right", _AS_ROOT),
    146: ("the domain starts services on demand only", "try it again after the next login"),
    150: (
        "System Integrity Protection forbids it",
        "that is for Apple's own services: look at the label, kevmond's begin with net.kevmond",
    ),
    152: ("not in this boot environment", "start the Mac in the usual way (no safe mode)"),
    153: ("launchd did not expect that", f"its log may say why: {_LOG}"),
    155: (
        "the program is quarantined",
        "it came from the net and was not approved: xattr -d com.apple.quarantine PROGRAM",
    ),
    159: ("a sandbox forbids it", "run this from an ordinary terminal"),
    161: (
        "it is switched off in System Settings",
        "General, Login Items & Extensions, Allow in the Background: switch it on there",
    ),
}


def refusal(code: int, said: str, arguments: Sequence[str]) -> Refusal:
    """Explain a refusal; `arguments` are those that launchctl was called with."""
    meaning, advice = _MEANINGS.get(code, (said or "launchd refused", f"{_DOCTOR}; {_LOG}"))
    verb, *rest = arguments
    target = next((word for word in rest if not word.startswith("-")), "")
    plist = shlex.quote(rest[-1]) if verb == "bootstrap" else "PLIST"
    words = {"TARGET": _target(verb, target, plist), "DOMAIN": _domain(target), "PLIST": plist}
    for word, meant in words.items():
        advice = advice.replace(word, meant)
    if code == 1 and said and "permitted" not in said.lower():
        meaning, advice = said, _DOCTOR
    return Refusal(code, meaning, advice)


def _target(verb: str, target: str, plist: str) -> str:
    """Return the service that a call is about; `bootstrap` names a domain and a file."""
    if verb != "bootstrap":
        return target
    return f"{target}/{plist.rpartition('/')[2].removesuffix('.plist')}"


def _domain(target: str) -> str:
    """Return the domain of a service: system, gui/UID, user/UID."""
    return "system" if target.startswith("system") else "/".join(target.split("/")[:2])

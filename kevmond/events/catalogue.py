"""Every kind of event that is known, by number and by name.

The numbers and names of classes and subclasses stand here (sys/kern_event.h, net/net_kev.h); the
codes of a subclass stand with its payloads in `kevmond.events.payloads`, read at first use.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Final

from kevmond.events.kinds import APPLE, Code, EventKind, Family, Variant

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

VENDOR_NAME: Final = "apple"


@dataclass(frozen=True, slots=True)
class ClassName:
    """Name of an event class of Apple's."""

    number: int
    word: str
    macro: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class SubclassName:
    """Name of a subclass, and the module that declares its codes."""

    kev_class: int
    number: int
    word: str
    macro: str
    module: str
    note: str = ""


CLASSES: Final[Mapping[int, ClassName]] = {
    entry.number: entry
    for entry in (
        ClassName(1, "network", "KEV_NETWORK_CLASS"),
        ClassName(
            2,
            "iokit",
            "KEV_IOKIT_CLASS",
            "No public source names a subclass, a code or a poster of this class.",
        ),
        ClassName(3, "system", "KEV_SYSTEM_CLASS"),
        ClassName(
            4,
            "appleshare",
            "KEV_APPLESHARE_CLASS",
            "Defined since Mac OS X 10.4 for file-sharing code that is closed; nothing is public"
            " about its subclasses.",
        ),
        ClassName(5, "firewall", "KEV_FIREWALL_CLASS"),
        ClassName(6, "wifi", "KEV_IEEE80211_CLASS"),
        ClassName(7, "nke", "KEV_NKE_CLASS"),
    )
}
"""Apple's event classes by number."""

SUBCLASSES: Final[Mapping[tuple[int, int], SubclassName]] = {
    (entry.kev_class, entry.number): entry
    for entry in (
        SubclassName(1, 1, "inet", "KEV_INET_SUBCLASS", "inet"),
        SubclassName(1, 2, "dl", "KEV_DL_SUBCLASS", "dl_codes"),
        SubclassName(
            1,
            3,
            "netpolicy",
            "KEV_NETPOLICY_SUBCLASS",
            "netpolicy",
            "Apple's ppp sources give this number to KEV_PPP_NET_SUBCLASS too; they post nothing.",
        ),
        SubclassName(
            1,
            4,
            "socket",
            "KEV_SOCKET_SUBCLASS",
            "socket",
            "Apple's ppp sources give this number to KEV_PPP_LINK_SUBCLASS too; they post nothing.",
        ),
        SubclassName(
            1, 5, "atalk", "KEV_ATALK_SUBCLASS", "atalk", "Went with AppleTalk after OS X 10.8."
        ),
        SubclassName(1, 6, "inet6", "KEV_INET6_SUBCLASS", "inet6"),
        SubclassName(1, 7, "nd6", "KEV_ND6_SUBCLASS", "nd6"),
        SubclassName(1, 8, "necp", "KEV_NECP_SUBCLASS", "necp"),
        SubclassName(1, 9, "netagent", "KEV_NETAGENT_SUBCLASS", "netagent"),
        SubclassName(1, 10, "log", "KEV_LOG_SUBCLASS", "log"),
        SubclassName(1, 11, "netevent", "KEV_NETEVENT_SUBCLASS", "netevent"),
        SubclassName(1, 12, "mptcp", "KEV_MPTCP_SUBCLASS", "mptcp"),
        SubclassName(1, 13, "ipsec", "KEV_IPSEC_SUBCLASS", "ipsec"),
        SubclassName(1, 14, "power", "KEV_POWER_SUBCLASS", "power"),
        SubclassName(
            3, 2, "ctl", "KEV_CTL_SUBCLASS", "ctl", "The number was 1 in Mac OS X 10.2 and 10.3."
        ),
        SubclassName(3, 3, "memorystatus", "KEV_MEMORYSTATUS_SUBCLASS", "memorystatus"),
        SubclassName(
            3,
            4,
            "dirtystatus",
            "KEV_DIRTYSTATUS_SUBCLASS",
            "dirtystatus",
            "Existed in macOS 11 only.",
        ),
        SubclassName(5, 1, "ipfw", "KEV_IPFW_SUBCLASS", "ipfw", "Went with ipfw after 10.15."),
        SubclassName(5, 2, "ip6fw", "KEV_IP6FW_SUBCLASS", "ip6fw", "Went with ipfw after 10.15."),
        SubclassName(
            6,
            1,
            "event",
            "KEV_APPLE80211_EVENT_SUBCLASS",
            "wifi",
            "Posted by closed drivers. The numbers come from a third party's header"
            " (OpenIntelWireless/itlwm) and were not checked on a machine; its gaps are kept.",
        ),
        SubclassName(7, 1, "alf", "KEV_NKE_ALF_SUBCLASS", "alf"),
    )
}
"""Apple's subclasses by class and number."""


def lookup(vendor: int, kev_class: int, subclass: int, code: int) -> EventKind | None:
    """Find the kind of an event, or None where its code is not known."""
    if vendor != APPLE:
        return None
    return _family(kev_class, subclass).get(code)


def by_type(event_type: str) -> EventKind | None:
    """Find a kind by its dotted words, or None."""
    return _by_type().get(event_type)


def kinds() -> Iterator[EventKind]:
    """All known kinds, in order of their numbers."""
    for kev_class, subclass in SUBCLASSES:
        yield from _family(kev_class, subclass).values()


def type_of(vendor: int, kev_class: int, subclass: int, code: int) -> str:
    """Dotted words of an event; a number stands where there is no word.

    `network.dl.99`, `class-9.1.5`; `vendor-1001.1.2.3` for a third party, whose classes are its
    own.
    """
    if vendor != APPLE:
        return f"vendor-{vendor}.{kev_class}.{subclass}.{code}"
    named = CLASSES.get(kev_class)
    first = f"class-{kev_class}" if named is None else named.word
    entry = SUBCLASSES.get((kev_class, subclass))
    second = str(subclass) if entry is None else entry.word
    kind = lookup(vendor, kev_class, subclass, code)
    third = str(code) if kind is None else kind.code_name
    return f"{first}.{second}.{third}"


@cache
def _by_type() -> Mapping[str, EventKind]:
    return {kind.type: kind for kind in kinds()}


_families: dict[tuple[int, int], Mapping[int, EventKind]] = {}
_NO_CODES: Final[Mapping[int, EventKind]] = {}


def _family(kev_class: int, subclass: int) -> Mapping[int, EventKind]:
    found = _families.get((kev_class, subclass))
    if found is not None:
        return found
    entry = SUBCLASSES.get((kev_class, subclass))
    if entry is None:
        return _NO_CODES
    family: Family = import_module(f"kevmond.events.payloads.{entry.module}").FAMILY
    made = {code.number: _kind(entry, code) for code in family.codes}
    _families[kev_class, subclass] = made
    return made


def _kind(entry: SubclassName, code: Code) -> EventKind:
    named = CLASSES[entry.kev_class]
    match code.payload:
        case None:
            variants: tuple[Variant, ...] = ()
        case tuple():
            variants = code.payload
        case _:
            variants = (Variant(code.payload),)
    return EventKind(
        vendor=APPLE,
        kev_class=entry.kev_class,
        subclass=entry.number,
        code=code.number,
        vendor_name=VENDOR_NAME,
        class_name=named.word,
        subclass_name=entry.word,
        code_name=code.word,
        class_macro=named.macro,
        subclass_macro=entry.macro,
        macro=code.macro,
        alias=code.alias,
        type=f"{named.word}.{entry.word}.{code.word}",
        severity=code.severity,
        description=code.description,
        status=code.status,
        since=f"macOS {code.macos} ({code.xnu})" if code.xnu else "",
        last=code.last,
        posted_by=code.posted_by,
        private=code.private,
        variants=variants,
    )

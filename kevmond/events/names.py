"""Tables of the numbers that payloads carry: enumerations, flag sets, scales.

Mirrors net/kpi_interface.h, net/if_var.h, net/if_private.h, net/if_ports_used.h,
netinet6/in6_var.h, netinet6/nd6.h, sys/socket_private.h and sys/kern_memorystatus.h (XNU).  The C
names stay here; JSON shows the short words made of them.  A number without a name is never lost:
`unknown-77` stands for the value 77, `0x4000` for the flag bit 0x4000.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

UNKNOWN: Final = "unknown-"
"""What stands before a value that has no name."""

_CACHED_SETS: Final = 512


def _word(macro: str, prefixes: tuple[str, ...]) -> str:
    for prefix in prefixes:
        if macro.startswith(prefix):
            macro = macro[len(prefix) :]
            break
    return macro.lower().replace("_", "-")


class Words:
    """An enumeration: numbers, their C names, and the words that JSON shows."""

    __slots__ = ("_values", "_words", "macros", "name")

    def __init__(self, name: str, macros: Mapping[int, str], *prefixes: str) -> None:
        self.name = name
        self.macros = dict(macros)
        self._words = {value: _word(macro, prefixes) for value, macro in macros.items()}
        self._values = {word: value for value, word in self._words.items()}

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def word(self, value: int) -> str:
        """Turn a number into its word; `unknown-N` if it has none."""
        return self._words.get(value) or f"{UNKNOWN}{value}"

    def value(self, word: str) -> int:
        """Turn a word into its number; the inverse of `word`."""
        found = self._values.get(word)
        if found is not None:
            return found
        if word.startswith(UNKNOWN):
            return int(word[len(UNKNOWN) :])
        raise ValueError(
            f"{word!r} is no {self.name}; write one of {', '.join(self._values)} or {UNKNOWN}N"
        )


class Bits:
    """A set of flags: bits, their C names, and the words that JSON shows, lowest bit first."""

    __slots__ = ("_sets", "_values", "_words", "macros", "name")

    def __init__(self, name: str, macros: Mapping[int, str], *prefixes: str) -> None:
        self.name = name
        self.macros = dict(macros)
        self._words = {bit: _word(macro, prefixes) for bit, macro in macros.items()}
        self._values = {word: bit for bit, word in self._words.items()}
        self._sets: dict[int, tuple[str, ...]] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def words(self, value: int) -> tuple[str, ...]:
        """Words of the bits set in `value`, lowest first; a bit without a name as hex."""
        found = self._sets.get(value)
        if found is None:
            bits = (1 << place for place in range(value.bit_length()) if value >> place & 1)
            found = tuple(self._words.get(bit) or f"{bit:#x}" for bit in bits)
            if len(self._sets) < _CACHED_SETS:
                self._sets[value] = found
        return found

    def value(self, words: Iterable[str]) -> int:
        """Turn a set of words into its number; the inverse of `words`, in any order."""
        total = 0
        for word in words:
            bit = self._values.get(word)
            if bit is None:
                if not word.startswith("0x"):
                    raise ValueError(
                        f"{word!r} is no {self.name}; write some of {', '.join(self._values)}"
                        " or a bit as hex (0x4000)"
                    )
                bit = int(word, 16)
            total |= bit
        return total


class Scale:
    """A signed measure with named steps: a value belongs to the first step that is not below it."""

    __slots__ = ("_special", "_steps", "macros", "name")

    def __init__(self, name: str, macros: Mapping[int, str], *prefixes: str) -> None:
        self.name = name
        self.macros = dict(macros)
        words = {value: _word(macro, prefixes) for value, macro in macros.items()}
        self._special = {value: word for value, word in words.items() if value < 0}
        self._steps = sorted((value, word) for value, word in words.items() if value >= 0)

    def __iter__(self) -> Iterator[str]:
        return iter([*self._special.values(), *(word for _, word in self._steps)])

    def word(self, value: int) -> str:
        """Word of the step that `value` falls in; `unknown-N` off the scale."""
        found = self._special.get(value)
        if found is not None:
            return found
        if value >= 0:
            for step, word in self._steps:
                if value <= step:
                    return word
        return f"{UNKNOWN}{value}"


IFNET_FAMILY: Final = Words(
    "interface family",
    {
        0: "IFNET_FAMILY_ANY",
        1: "IFNET_FAMILY_LOOPBACK",
        2: "IFNET_FAMILY_ETHERNET",
        3: "IFNET_FAMILY_SLIP",
        4: "IFNET_FAMILY_TUN",
        5: "IFNET_FAMILY_VLAN",
        6: "IFNET_FAMILY_PPP",
        7: "IFNET_FAMILY_PVC",
        8: "IFNET_FAMILY_DISC",
        9: "IFNET_FAMILY_MDECAP",
        10: "IFNET_FAMILY_GIF",
        11: "IFNET_FAMILY_FAITH",
        12: "IFNET_FAMILY_STF",
        13: "IFNET_FAMILY_FIREWIRE",
        14: "IFNET_FAMILY_BOND",
        15: "IFNET_FAMILY_CELLULAR",
        16: "IFNET_FAMILY_UNUSED_16",
        17: "IFNET_FAMILY_UTUN",
        18: "IFNET_FAMILY_IPSEC",
    },
    "IFNET_FAMILY_",
)
IF_SUBFAMILY: Final = Words(
    "interface subfamily",
    {
        0: "IFRTYPE_SUBFAMILY_ANY",
        1: "IFRTYPE_SUBFAMILY_USB",
        2: "IFRTYPE_SUBFAMILY_BLUETOOTH",
        3: "IFRTYPE_SUBFAMILY_WIFI",
        4: "IFRTYPE_SUBFAMILY_THUNDERBOLT",
        5: "IFRTYPE_SUBFAMILY_RESERVED",
        6: "IFRTYPE_SUBFAMILY_INTCOPROC",
        7: "IFRTYPE_SUBFAMILY_QUICKRELAY",
        8: "IFRTYPE_SUBFAMILY_DEFAULT",
        9: "IFRTYPE_SUBFAMILY_VMNET",
        10: "IFRTYPE_SUBFAMILY_SIMCELL",
        11: "IFRTYPE_SUBFAMILY_REDIRECT",
        12: "IFRTYPE_SUBFAMILY_MANAGEMENT",
    },
    "IFRTYPE_SUBFAMILY_",
)
IF_FUNCTIONAL_TYPE: Final = Words(
    "functional type",
    {
        0: "IFRTYPE_FUNCTIONAL_UNKNOWN",
        1: "IFRTYPE_FUNCTIONAL_LOOPBACK",
        2: "IFRTYPE_FUNCTIONAL_WIRED",
        3: "IFRTYPE_FUNCTIONAL_WIFI_INFRA",
        4: "IFRTYPE_FUNCTIONAL_WIFI_AWDL",
        5: "IFRTYPE_FUNCTIONAL_CELLULAR",
        6: "IFRTYPE_FUNCTIONAL_INTCOPROC",
        7: "IFRTYPE_FUNCTIONAL_COMPANIONLINK",
        8: "IFRTYPE_FUNCTIONAL_MANAGEMENT",
    },
    "IFRTYPE_FUNCTIONAL_",
)
LOW_POWER_EVENT: Final = Words(
    "low power event",
    {0: "IF_LOW_POWER_EVENT_OFF", 1: "IF_LOW_POWER_EVENT_ON"},
    "IF_LOW_POWER_EVENT_",
)
NETPOLICY_NETWORK_TYPE: Final = Words(
    "network type",
    {1: "NETPOLICY_NETWORKTYPE_LOCAL", 2: "NETPOLICY_NETWORKTYPE_ULTRA_CONSTRAINED"},
    "NETPOLICY_NETWORKTYPE_",
)
CLAT46_EVENT: Final = Words(
    "CLAT46 event",
    {0: "IN6_CLAT46_EVENT_V4_FLOW", 1: "IN6_CLAT46_EVENT_V6_ADDR_CONFFAIL"},
    "IN6_CLAT46_EVENT_",
)
ND_PREFIX_ORIGIN: Final = Words(
    "prefix origin",
    {0: "PR_ORIG_RA", 1: "PR_ORIG_RR", 2: "PR_ORIG_STATIC", 3: "PR_ORIG_KERNEL"},
    "PR_ORIG_",
)
DIRTY_STATUS: Final = Words(
    "dirty status",
    {0: "kDirtyStatusChangedDirty", 1: "kDirtyStatusChangedClean"},
    "kDirtyStatusChanged",
)
PROTOCOL_FAMILY: Final = Words(
    "protocol family",
    {0: "PF_UNSPEC", 2: "PF_INET", 30: "PF_INET6", 0x766C616E: "PF_VLAN", 0x626F6E64: "PF_BOND"},
    "PF_",
)

IN6_IFF: Final = Bits(
    "IPv6 address flag",
    {
        0x1: "IN6_IFF_ANYCAST",
        0x2: "IN6_IFF_TENTATIVE",
        0x4: "IN6_IFF_DUPLICATED",
        0x8: "IN6_IFF_DETACHED",
        0x10: "IN6_IFF_DEPRECATED",
        0x20: "IN6_IFF_NODAD",
        0x40: "IN6_IFF_AUTOCONF",
        0x80: "IN6_IFF_TEMPORARY",
        0x100: "IN6_IFF_DYNAMIC",
        0x200: "IN6_IFF_OPTIMISTIC",
        0x400: "IN6_IFF_SECURED",
        0x800: "IN6_IFF_SWIFTDAD",
        0x1000: "IN6_IFF_CLAT46",
        0x8000: "IN6_IFF_NOPFX",
    },
    "IN6_IFF_",
)
ND6_RA_VALID: Final = Bits(
    "router advertisement part",
    {0x1: "KEV_ND6_DATA_VALID_MTU", 0x2: "KEV_ND6_DATA_VALID_PREFIX"},
    "KEV_ND6_DATA_VALID_",
)
NDPRF: Final = Bits(
    "prefix state",
    {
        0x1: "NDPRF_ONLINK",
        0x2: "NDPRF_DETACHED",
        0x100: "NDPRF_STATIC",
        0x1000: "NDPRF_IFSCOPE",
        0x2000: "NDPRF_PRPROXY",
        0x8000: "NDPRF_PROCESSED_ONLINK",
        0x10000: "NDPRF_PROCESSED_SERVICE",
        0x20000: "NDPRF_DEFUNCT",
        0x40000: "NDPRF_CLAT46",
    },
    "NDPRF_",
)
RA_PREFIX_BITS: Final = Bits("prefix option", {0x1: "onlink", 0x2: "autonomous"})
NPIF: Final = Bits(
    "port information flag",
    {
        0x1: "NPIF_IPV4",
        0x2: "NPIF_IPV6",
        0x4: "NPIF_TCP",
        0x8: "NPIF_UDP",
        0x10: "NPIF_DELEGATED",
        0x20: "NPIF_SOCKET",
        0x40: "NPIF_CHANNEL",
        0x80: "NPIF_LISTEN",
        0x100: "NPIF_WAKEPKT",
        0x200: "NPIF_NOWAKE",
        0x400: "NPIF_FRAG",
        0x800: "NPIF_ESP",
        0x1000: "NPIF_COMPLINK",
    },
    "NPIF_",
)
NPICF: Final = Bits(
    "packet control flag",
    {
        0x1: "NPICF_TH_FIN",
        0x2: "NPICF_TH_SYN",
        0x4: "NPICF_TH_RST",
        0x8: "NPICF_TH_PUSH",
        0x10: "NPICF_TH_ACK",
        0x20: "NPICF_TH_URG",
        0x40: "NPICF_TH_ECE",
        0x80: "NPICF_TH_CWR",
        0x1000: "NPICF_NOWAKE",
    },
    "NPICF_TH_",
    "NPICF_",
)
FREEZE: Final = Bits("freeze flag", {0x1: "frozen"})

LQM: Final = Scale(
    "link quality",
    {
        -2: "IFNET_LQM_THRESH_OFF",
        -1: "IFNET_LQM_THRESH_UNKNOWN",
        10: "IFNET_LQM_THRESH_ABORT",
        20: "IFNET_LQM_THRESH_MINIMALLY_VIABLE",
        50: "IFNET_LQM_THRESH_POOR",
        100: "IFNET_LQM_THRESH_GOOD",
    },
    "IFNET_LQM_THRESH_",
)
NPM: Final = Scale(
    "proximity",
    {
        -1: "IFNET_NPM_THRESH_UNKNOWN",
        30: "IFNET_NPM_THRESH_NEAR",
        70: "IFNET_NPM_THRESH_GENERAL",
        100: "IFNET_NPM_THRESH_FAR",
    },
    "IFNET_NPM_THRESH_",
)
RSSI_UNKNOWN: Final = -2147483648
"""IFNET_RSSI_UNKNOWN: the driver does not know the signal strength."""

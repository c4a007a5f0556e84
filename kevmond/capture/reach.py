"""Which events mean that more of the world may be reachable than a moment ago.

Headers alone are looked at: this is asked of what was just read (net/net_kev.h).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kevmond.kernel import abi

if TYPE_CHECKING:
    from collections.abc import Iterable

_CODES: Final = frozenset(
    {
        (1, 1, 1),  # network.inet.new-addr
        (1, 1, 2),  # network.inet.changed-addr
        (1, 2, 13),  # network.dl.link-on
        (1, 6, 1),  # network.inet6.new-user-addr
        (1, 6, 5),  # network.inet6.new-rtadv-addr
    }
)
"""Apple's class, subclass and code."""


def opens_ways(raws: Iterable[bytes]) -> bool:
    """Tell whether one of these messages says that a link or an address came."""
    for raw in raws:
        if len(raw) >= abi.KEV_MSG_HEADER_SIZE:
            _, vendor, kev_class, subclass, _, code = abi.HEADER.unpack_from(raw)
            if vendor == abi.KEV_VENDOR_APPLE and (kev_class, subclass, code) in _CODES:
                return True
    return False

"""State of the machine's interfaces, as the system tells it now.

No event tells what already is, and events may be lost; so the state is taken at start and compared
after any gap.  One snapshot is compared with the snapshot before it, never with a state guessed
from events.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import psutil

from kevmond.events.own import Change, InterfaceState

if TYPE_CHECKING:
    from collections.abc import Mapping

_DUPLEX = {psutil.NIC_DUPLEX_FULL: "full", psutil.NIC_DUPLEX_HALF: "half"}


def take() -> dict[str, InterfaceState]:
    """Return the state of every interface by BSD name, in the system's order; blocking."""
    addresses = psutil.net_if_addrs()
    states = psutil.net_if_stats()
    indices = {name: index for index, name in socket.if_nameindex()}
    return {
        name: _state(name, indices.get(name), states.get(name), addresses.get(name, []))
        for name in sorted({*addresses, *states}, key=lambda name: (indices.get(name, 0), name))
    }


def _state(name: str, index: int | None, found: Any, addresses: list[Any]) -> InterfaceState:
    texts = sorted(_address(each) for each in addresses)
    if found is None:
        return InterfaceState(name=name, index=index, addresses=texts)
    flags = found.flags.split(",") if found.flags else []
    return InterfaceState(
        name=name,
        index=index,
        up="up" in flags if flags else found.isup,
        running="running" in flags if flags else None,
        mtu=found.mtu,
        speed=found.speed or None,
        duplex=_DUPLEX.get(found.duplex, "unknown"),
        addresses=texts,
    )


def _address(found: Any) -> str:
    """Text of an address, with its prefix length where it has a mask."""
    if found.family == psutil.AF_LINK or not found.netmask:
        return str(found.address)
    try:
        return f"{found.address}/{_prefix_length(found.family, found.netmask)}"
    except OSError:  # no mask that can be read: one odd address must not hide all the others
        return f"{found.address}/{found.netmask}"


def _prefix_length(family: int, mask: str) -> int:
    return int.from_bytes(socket.inet_pton(family, mask.partition("%")[0])).bit_count()


def differences(
    before: Mapping[str, InterfaceState], after: Mapping[str, InterfaceState]
) -> list[Change]:
    """Return what changed from one snapshot to the next, field by field.

    An interface that came or went is one difference of the field "interface".
    """
    changes = [Change(interface=n, field="interface", before=n) for n in before if n not in after]
    for name, state in after.items():
        known = before.get(name)
        if known is None:
            changes.append(Change(interface=name, field="interface", after=name))
            known = InterfaceState(name=name)
        for field in InterfaceState.model_fields:
            old, new = getattr(known, field), getattr(state, field)
            if old != new:
                changes.append(Change(interface=name, field=field, before=old, after=new))
    return changes

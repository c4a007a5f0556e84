"""What the interfaces are like, folded from what the journal says of them, in its order.

The system's own word is in snapshots (`kevmond.snapshot`) and in what changed from one to the next
(`kevmond.resync`); in between, events say what became of links and addresses.  Of some things they
say only that they may have changed: those stand in `unsure` until the system is asked again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from kevmond.events import own
from kevmond.events.event import Kind, timestamp
from kevmond.events.kinds import APPLE
from kevmond.events.payloads.dl import LinkQuality, ProtocolChange
from kevmond.history import addresses
from kevmond.kernel.abi import HEADER, KEV_MSG_HEADER_SIZE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kevmond.events.event import Event, Record

NETWORK: Final = 1
"""KEV_NETWORK_CLASS: the only events that say anything of interfaces."""
MOST_INTERFACES: Final = 512
MOST_ADDRESSES: Final = 256
"""Of one interface; names and addresses come from outside, so there is a bound."""
REAL: Final = "darwin"
"""Kernel whose interfaces are those of the system that snapshots are taken of."""

_DOUBTS: Final[Mapping[str, str]] = {
    "network.dl.if-flags": "up",
    "network.dl.if-mtu": "mtu",
    "network.dl.lladdr-changed": "link_address",
}
"""Events that say that something was set, and not to what, nor whether it is another than before.
"""
_LINK: Final[Mapping[str, bool]] = {"network.dl.link-on": True, "network.dl.link-off": False}
_FROM_SYSTEM: Final = ("up", "running", "mtu")


class Transition(NamedTuple):
    """Something of an interface that began, changed or ended."""

    wall_ns: int
    interface: str
    kind: str
    """"interface", "link" or "address"."""
    label: str
    state: str | None
    """"present", "up", "down"; None: no more, or not known any more."""


@dataclass(slots=True)
class Interface:
    """One interface."""

    name: str
    up: bool | None = None
    running: bool | None = None
    mtu: int | None = None
    link_address: str | None = None
    link_quality: int | None = None
    link_quality_word: str | None = None
    addresses: dict[str, tuple[str, int, int]] = field(default_factory=dict)
    """Address -> its text with the prefix length, and wall clock and position of its coming."""
    since: dict[str, int] = field(default_factory=dict)
    """Field -> wall clock since when it is what it is, as far as is known."""
    unsure: set[str] = field(default_factory=set)
    gone: bool = False
    confirmed: bool = False
    """Whether a snapshot had it."""
    last: tuple[int, str, int] | None = None
    """Position, type and wall clock of the last kernel event about it."""
    changed: int = 0
    """Position of the record that touched it last."""

    @property
    def link(self) -> str | None:
        """Whether it carries traffic, as far as is known: "up" or "down"."""
        known = self.up if self.running is None else self.running
        return None if known is None or self.gone else ("up" if known else "down")

    @property
    def state(self) -> str:
        """One word for a person."""
        if self.gone:
            return "gone"
        # Nothing told of its link, but somebody gave it an address, which marks it up.
        return self.link or ("up" if self.addresses else "unknown")

    def facts(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        last = self.last
        return {
            "name": self.name,
            "state": self.state,
            "up": self.up,
            "running": self.running,
            "addresses": [
                {"address": text, "since": timestamp(since_ns), "since_seq": seq}
                for text, since_ns, seq in self.addresses.values()
            ],
            "link_address": self.link_address,
            "mtu": self.mtu,
            "link_quality": self.link_quality,
            "link_quality_word": self.link_quality_word,
            "since": {name: timestamp(since_ns) for name, since_ns in self.since.items()},
            "unsure": sorted(self.unsure),
            "gone": self.gone,
            "last_event": None
            if last is None
            else {"seq": last[0], "type": last[1], "time": timestamp(last[2])},
        }


def concerns(record: Record) -> bool:
    """Tell, without decoding it, whether a record may say something of interfaces."""
    if record.kind != Kind.KERNEL:
        return True  # few, and decoded already
    if len(record.body) < KEV_MSG_HEADER_SIZE:
        return False
    _, vendor, kev_class, *_ = HEADER.unpack_from(record.body)
    return bool(vendor == APPLE and kev_class == NETWORK)


class Fold:
    """The interfaces after all records up to now."""

    def __init__(self, told: Callable[[Transition], None] = lambda _: None) -> None:
        """`told` is given everything that begins, changes or ends."""
        self.interfaces: dict[str, Interface] = {}
        self._tell = told
        self._boot_id: str | None = None
        self._real = False
        self._at = (0, 0)  # position and wall clock of the record in hand
        self._system: dict[str, dict[str, Any]] = {}  # the last snapshot, as far as it was seen
        self._listing = False

    def apply(self, record: Record) -> None:
        """Take in the next record."""
        if not concerns(record):
            self.settle()
            return
        event = record.event
        if event.boot_id != self._boot_id:
            self._begin_boot(event.boot_id)
        self._at = (record.seq, record.wall_ns)
        payload = event.payload
        if isinstance(payload, own.Snapshot):
            self._snapshot(payload.state)
            return
        self.settle()
        if isinstance(payload, own.Resync):
            self._resync(payload)
        elif isinstance(payload, own.Start):
            self._real = payload.kernel == REAL
        elif event.interface and not event.synthetic and record.kind == Kind.KERNEL:
            self._event(event, event.interface)

    def settle(self) -> None:
        """End a listing of all interfaces: whichever it does not have is gone."""
        if self._listing:
            self._listing = False
            self._compare()

    # ------------------------------------------------------------------ the system's word

    def _snapshot(self, state: own.InterfaceState) -> None:
        if not self._listing:
            self._listing, self._system = True, {}
        self._system[state.name] = state.model_dump()
        self._from_system(state.name)

    def _resync(self, payload: own.Resync) -> None:
        for change in payload.changes:
            if change.field == "interface":
                if change.after is None:
                    self._system.pop(change.interface, None)
                    self._go(self._of(change.interface))
                else:
                    self._system.setdefault(change.interface, {})
            else:
                self._system.setdefault(change.interface, {})[change.field] = change.after
        # All else is as it was at the snapshot before, whatever events said in between.
        for name in self._system:
            self._from_system(name)

    def _from_system(self, name: str) -> None:
        found, state = self._of(name), self._system[name]
        found.confirmed = True
        self._come(found)
        for key in _FROM_SYSTEM:
            if key in state:
                self._set(found, key, state[key])
        listed = state.get("addresses")
        if isinstance(listed, tuple):
            texts, link = addresses.of_system(listed)
            for address in [each for each in found.addresses if each not in texts]:
                self._lose_address(found, address)
            for address, text in texts.items():
                self._add_address(found, address, text)
            self._set(found, "link_address", link)

    def _compare(self) -> None:
        for found in self.interfaces.values():
            if found.name not in self._system and (self._real or found.confirmed):
                self._go(found)

    # ------------------------------------------------------------------ the kernel's word

    def _event(self, event: Event, name: str) -> None:
        found = self._of(name)
        kind = event.type
        found.last = (event.seq, kind, self._at[1])
        if kind == "network.dl.if-detached":
            self._go(found)
            return
        self._come(found)
        payload = event.payload
        if kind in _LINK:
            self._set(found, "running", _LINK[kind])
        elif kind in _DOUBTS:
            found.unsure.add(_DOUBTS[kind])
        elif isinstance(payload, LinkQuality):
            self._set(found, "link_quality", payload.link_quality_metric)
            found.link_quality_word = payload.link_quality
        elif isinstance(payload, ProtocolChange):
            if kind == "network.dl.proto-detached" and payload.remaining == 0:
                self._set(found, "up", value=False)  # the kernel does that itself
        elif (told := addresses.of_event(event.code_name, payload)) is not None:
            if told.text is None:
                self._lose_address(found, told.address)
            else:
                self._add_address(found, told.address, told.text)

    # ------------------------------------------------------------------ changes

    def _begin_boot(self, boot_id: str) -> None:
        """Know nothing of any interface: another boot has others, at its end those of before."""
        if self._boot_id is not None:
            for found in self.interfaces.values():
                if not found.gone:
                    self._go(found)  # by the clock of the last record of that boot
        self.interfaces, self._system = {}, {}
        self._boot_id, self._listing = boot_id, False

    def _of(self, name: str) -> Interface:
        found = self.interfaces.get(name)
        if found is None:
            if len(self.interfaces) >= MOST_INTERFACES:
                oldest = min(
                    self.interfaces.values(), key=lambda each: (not each.gone, each.changed)
                )
                self._go(oldest)
                del self.interfaces[oldest.name]
            found = self.interfaces[name] = Interface(name, gone=True)
        found.changed = self._at[0]
        return found

    def _come(self, found: Interface) -> None:
        if found.gone:
            found.gone = False
            found.since = {"present": self._at[1]}
            self._say(found, "interface", "interface", "present")

    def _go(self, found: Interface) -> None:
        """Forget what it was like."""
        if not found.gone:
            for address in list(found.addresses):
                self._lose_address(found, address)
            link = found.link
            found.gone = True
            if link is not None:
                self._say(found, "link", "link", None)
            self._say(found, "interface", "interface", None)
        elif found.since:
            return
        found.up = found.running = found.mtu = found.link_address = None
        found.link_quality = found.link_quality_word = None
        found.confirmed = False
        found.unsure.clear()
        found.since = {"gone": self._at[1]}

    def _set(self, found: Interface, key: str, value: Any) -> None:
        found.unsure.discard(key)
        if getattr(found, key) == value:
            return
        link = found.link
        setattr(found, key, value)
        if value is None:
            found.since.pop(key, None)
        else:
            found.since[key] = self._at[1]
        if found.link != link:
            self._say(found, "link", "link", found.link)

    def _add_address(self, found: Interface, address: str, text: str) -> None:
        known = found.addresses.get(address)
        if known is not None and known[0] == text:
            return
        self._lose_address(found, address)
        if len(found.addresses) >= MOST_ADDRESSES:
            self._lose_address(found, next(iter(found.addresses)))
        seq, wall_ns = self._at
        found.addresses[address] = (text, wall_ns, seq)
        self._say(found, "address", text, "present")

    def _lose_address(self, found: Interface, address: str) -> None:
        known = found.addresses.pop(address, None)
        if known is not None:
            self._say(found, "address", known[0], None)

    def _say(self, found: Interface, kind: str, label: str, state: str | None) -> None:
        self._tell(Transition(self._at[1], found.name, kind, label, state))

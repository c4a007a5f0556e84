"""An event socket in use: opened, filtered, read; its ids and counters noted in the ledger.

Mirrors what a listener does with the sockets of bsd/kern/kern_event.c and the header of struct
kern_event_msg (sys/kern_event.h).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from kevmond.errors import KernelError
from kevmond.events.filters import EventFilter, narrowest
from kevmond.kernel import abi
from kevmond.kernel.base import EndOfEvents, KernelFilter

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kevmond.capture.ledger import LossLedger
    from kevmond.capture.settings import CaptureSettings
    from kevmond.kernel.base import EventSocket, Kernel, KernelIdentity

REPLAY: Final = "replay"
"""Name of the kernel that is a recording."""

_VENDOR: Final = struct.Struct("<4xI")
"""The vendor code in a message."""

_SIZE_AND_ID: Final = struct.Struct("<I12xI")
"""What a message says of its length, and its id."""

_THIRD_PARTIES: Final = 1000
"""Vendor codes from here on are given out by kev_vendor_code_find."""


class Batch(NamedTuple):
    """Messages in the order read."""

    raws: list[bytes]
    times: list[int | None] | None
    """Wall-clock ns at which each was recorded; None where the source is a live kernel."""
    ending: Exception | None
    """What ended it before it was full: BlockingIOError, EndOfEvents or KernelError."""

    def ids(self) -> list[int | None]:
        """Return the kernel's id of each message, None for one that is not as long as it says.

        No kernel posts such a message, so nothing in it is to be trusted.
        """
        try:
            return [_id(raw) for raw in self.raws]
        except struct.error:
            return [_id(raw) if len(raw) >= _SIZE_AND_ID.size else None for raw in self.raws]


def _id(raw: bytes) -> int | None:
    size, kernel_id = _SIZE_AND_ID.unpack_from(raw)
    return kernel_id if size == len(raw) else None


class Opened:
    """One open socket; made by `connect`.  What raises, raises KernelError."""

    def __init__(
        self,
        kernel: Kernel,
        sock: EventSocket,
        identity: KernelIdentity,
        settings: CaptureSettings,
    ) -> None:
        self.kernel = kernel
        self.sock = sock
        self.identity = identity
        self.settings = settings
        self.kernel_filter = KernelFilter()
        self.last_id = 0
        """SIOCGKEVID when delivery began: the first id that is surely ours is the next one."""
        self.vendor_codes: dict[str, int] = {}
        self.recorded = kernel.name == REPLAY
        """True for a recording: it has times of its own, and its ids prove nothing, for what is
        not in it may never have been asked for."""
        self._buffer = memoryview(bytearray(abi.READ_SIZE))

    def read(self, limit: int) -> Batch:
        """Read until `limit` messages are there or no more come; raises nothing."""
        recv_into, buffer = self.sock.recv_into, self._buffer
        raws: list[bytes] = []
        times: list[int | None] | None = [] if self.recorded else None
        append = raws.append
        ending: Exception | None = None
        try:
            for _ in range(limit):
                append(bytes(buffer[: recv_into(buffer)]))
                if times is not None:
                    times.append(self.sock.recorded_ns())
        except (BlockingIOError, EndOfEvents, KernelError) as error:
            # Its traceback holds this frame, and so the messages: a cycle at every batch.
            ending = error.with_traceback(None)
        return Batch(raws, times, ending)

    def known_last_id(self) -> int | None:
        """SIOCGKEVID; None where it cannot be asked (the next read tells what is wrong)."""
        try:
            return self.sock.last_event_id()
        except KernelError:
            return None

    def look_up_vendors(self) -> bool:
        """Ask for the codes of vendors not known yet; tell whether there are new ones."""
        found = dict(self.vendor_codes)
        for name in self.settings.vendors:
            if name not in found:
                try:
                    found[name] = self.sock.vendor_code(name)
                except KernelError as error:
                    if error.symbol != "ENOENT":
                        raise
        new = found != self.vendor_codes
        self.vendor_codes = found
        return new

    def hears_strangers(self, raws: Sequence[bytes]) -> bool:
        """Tell whether a third party without a name speaks while a name has no code yet."""
        codes = self.vendor_codes
        if all(name in codes for name in self.settings.vendors):
            return False
        known = codes.values()
        return any(
            len(raw) >= _VENDOR.size
            and (vendor := _VENDOR.unpack_from(raw)[0]) >= _THIRD_PARTIES
            and vendor not in known
            for raw in raws
        )

    def wanted_filter(self, filters: Sequence[EventFilter]) -> KernelFilter:
        """Return the narrowest kernel filter for what the consumers want, or an open one."""
        if not self.settings.narrow or not filters:
            return KernelFilter()
        return narrowest(filters, self.vendor_codes)

    @property
    def ids_count(self) -> bool:
        """Whether a gap in the ids means a loss."""
        return self.kernel_filter.is_open and not self.recorded

    def read_counters(self, ledger: LossLedger) -> None:
        """Tell the ledger what the kernel counts."""
        ledger.counters(self.sock.dropped(), self.kernel.statistics())

    def change_filter(self, wanted: KernelFilter, ledger: LossLedger, now_ns: int) -> None:
        """Set another kernel filter while the socket is in use."""
        if wanted == self.kernel_filter:
            return
        # Drops up to now are proved by what the old filter leaves as a proof, and by that alone.
        self.read_counters(ledger)
        before = self.sock.last_event_id()
        self.sock.set_filter(wanted)
        self.kernel_filter = wanted
        after = self.sock.last_event_id()
        ledger.filter_changed(before, after, now_ns, ids_count=self.ids_count)


def connect(
    kernel: Kernel,
    settings: CaptureSettings,
    filters: Sequence[EventFilter],
    ledger: LossLedger,
    *,
    known_boot: str | None,
    now_ns: int,
) -> Opened:
    """Open a socket and begin delivery; the ledger learns of it.  Raises KernelError.

    `known_boot` is the boot session whose ids the ledger has been told so far.
    """
    sock = kernel.open_event_socket(settings.receive_space)
    try:
        # Asked once the socket is there: had the kernel restarted in between, that would be gone.
        identity = kernel.identity()
        opened = Opened(kernel, sock, identity, settings)
        opened.look_up_vendors()
        opened.kernel_filter = opened.wanted_filter(filters)
        before = sock.last_event_id()
        sock.set_filter(opened.kernel_filter)
        after = sock.last_event_id()
        opened.last_id = before
        dropped, statistics = sock.dropped(), kernel.statistics()
        ledger.opened(
            before,
            after,
            now_ns,
            ids_count=opened.ids_count,
            new_boot=identity.boot_id != known_boot,
        )
        ledger.baseline(dropped, statistics)
    except BaseException:
        sock.close()
        raise
    return opened


def vendor_names(codes: Mapping[str, int]) -> dict[int, str]:
    """Turn names' codes into codes' names."""
    return {code: name for name, code in codes.items()}

"""An event socket in use: opened, filtered, its ids and counters noted in the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kevmond.errors import KernelError
from kevmond.events.filters import EventFilter, narrowest
from kevmond.kernel.base import KernelFilter

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from kevmond.capture.ledger import LossLedger
    from kevmond.capture.settings import CaptureSettings
    from kevmond.kernel.base import EventSocket, Kernel, KernelIdentity


class Opened:
    """One open socket; made by `connect`."""

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

    def look_up_vendors(self, names: Iterable[str]) -> bool:
        """Ask for the codes of vendors not known yet; tell whether there are new ones."""
        found = dict(self.vendor_codes)
        for name in names:
            if name not in found:
                try:
                    found[name] = self.sock.vendor_code(name)
                except KernelError as error:
                    if error.symbol != "ENOENT":
                        raise
        new = found != self.vendor_codes
        self.vendor_codes = found
        return new

    def wanted_filter(self, filters: Sequence[EventFilter]) -> KernelFilter:
        """Return the narrowest kernel filter for what the consumers want, or an open one."""
        if not self.settings.narrow or not filters:
            return KernelFilter()
        return narrowest(filters, self.vendor_codes)

    def read_counters(self, ledger: LossLedger) -> None:
        """Tell the ledger what the kernel counts."""
        ledger.counters(self.sock.dropped(), self.kernel.statistics())

    def change_filter(self, wanted: KernelFilter, ledger: LossLedger, now_ns: int) -> None:
        """Set another kernel filter while the socket is in use."""
        if wanted == self.kernel_filter:
            return
        before = self.sock.last_event_id()
        self.sock.set_filter(wanted)
        self.kernel_filter = wanted
        after = self.sock.last_event_id()
        ledger.filter_changed(before, after, now_ns, ids_count=wanted.is_open)


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
    identity = kernel.identity()
    sock = kernel.open_event_socket(settings.receive_space)
    try:
        opened = Opened(kernel, sock, identity, settings)
        opened.look_up_vendors(settings.vendors)
        opened.kernel_filter = opened.wanted_filter(filters)
        before = sock.last_event_id()
        sock.set_filter(opened.kernel_filter)
        after = sock.last_event_id()
        opened.last_id = before
        ledger.opened(
            before,
            after,
            now_ns,
            ids_count=opened.kernel_filter.is_open,
            new_boot=identity.boot_id != known_boot,
        )
        ledger.baseline(sock.dropped(), kernel.statistics())
    except BaseException:
        sock.close()
        raise
    return opened


def vendor_names(codes: Mapping[str, int]) -> dict[int, str]:
    """Turn names' codes into codes' names."""
    return {code: name for name, code in codes.items()}

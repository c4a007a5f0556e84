"""A kernel that posts events as XNU does, within this process.

Mirrors bsd/kern/kern_event.c as measured on XNU's own code: filters, ids, space, silent drops,
vendor codes and counters.  Posting is not thread-safe: post from the thread that reads, or through
a served kernel (`served`, `remote`).
"""

from __future__ import annotations

import socket
import uuid
from typing import TYPE_CHECKING

from kevmond.errors import KernelError
from kevmond.kernel import abi
from kevmond.kernel.base import KernelIdentity, KernelStatistics
from kevmond.kernel.simulated.event_socket import SimulatedEventSocket
from kevmond.kernel.simulated.sockbuf import SockbufRules

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kevmond.kernel.control_base import ControlInfo, ControlStatistics
    from kevmond.kernel.simulated.control_socket import SimulatedControlSocket
    from kevmond.kernel.simulated.event_pcb import EventPcb
    from kevmond.kernel.simulated.kctl import ControlTable

FIRST_VENDOR_CODE = 1001
"""First code given to a third party: 1000 of the shared table went to an mbuf tag at boot."""

INJECTED_MAX = 65536
"""Longest bytes that can be injected: far beyond any message, within any socket's means."""

_U32 = 0xFFFFFFFF


class SimulatedKernel:
    """See `Kernel`; beside that, what kernel code does: post events, take vendor codes.

    `message_limit` is the longest message, header included (224, or 288 as on arm64).  `sb_max` is
    kern.ipc.maxsockbuf.  `clamp_receive_space` behaves as newer kernels do: a receive buffer that
    is too large is cut to sb_max and granted, not refused.  `uid` is who opens sockets in this
    process: privileged controls are for 0 alone.

    `last_id` is the id of the event last posted (u32).  Tests set it: back, for the duplicate and
    unordered ids that two posters at once bring about; ahead, for a gap; near 2^32, for the wrap.
    """

    name = "simulated"

    inline = True
    """Its calls take no time, and belong on the thread of its reader."""

    def __init__(
        self,
        *,
        message_limit: int = abi.MESSAGE_LIMIT_X86_64,
        sb_max: int = 8 * 1024 * 1024,
        clamp_receive_space: bool = False,
        boot_id: str | None = None,
        host: str | None = None,
        os_release: str = "20.6.0",
        os_build: str = "20G1427",
        uid: int = 0,
    ) -> None:
        self.message_limit = message_limit
        self.sb_max = sb_max
        self.sockbuf_rules = SockbufRules.of(message_limit, sb_max, clamp=clamp_receive_space)
        self._identity = KernelIdentity(
            boot_id or str(uuid.uuid4()), host or socket.gethostname(), os_release, os_build
        )
        self.uid = uid
        self._boot()

    def _boot(self) -> None:
        self.last_id = 0
        self.pcbs: tuple[EventPcb, ...] = ()
        """The open event sockets, newest first: the order in which they are served."""
        self.gencnt = 0
        self._vendors: dict[bytes, int] = {}
        self._badvendor = 0
        self._toobig = 0
        self._nomem = 0
        self._fullsock = 0
        self._posted = 0
        self._starve_after: int | None = None
        self._kctl: ControlTable | None = None

    @property
    def kctl(self) -> ControlTable:
        """The kernel controls; Apple's own are there from the boot on."""
        if self._kctl is None:
            from kevmond.kernel.simulated.apple import register_all  # noqa: PLC0415 - few need them
            from kevmond.kernel.simulated.kctl import ControlTable  # noqa: PLC0415 - as above

            self._kctl = ControlTable(self)
            register_all(self._kctl)
        return self._kctl

    def identity(self) -> KernelIdentity:
        """See `Kernel.identity`."""
        return self._identity

    def open_event_socket(self, receive_space: int) -> SimulatedEventSocket:
        """See `Kernel.open_event_socket`."""
        return SimulatedEventSocket(self, receive_space)

    def open_control_socket(self, *, stream: bool = False) -> SimulatedControlSocket:
        """See `ControlKernel.open_control_socket`."""
        from kevmond.kernel.simulated.control_socket import (  # noqa: PLC0415 - few need them
            SimulatedControlSocket,
        )

        return SimulatedControlSocket(self, stream=stream)

    def controls(self) -> list[ControlInfo]:
        """See `ControlKernel.controls`."""
        from kevmond.kernel.simulated import kctl_sysctls  # noqa: PLC0415 - few need them

        return kctl_sysctls.infos(self)

    def control_statistics(self) -> ControlStatistics:
        """See `ControlKernel.control_statistics`."""
        from kevmond.kernel.simulated import kctl_sysctls  # noqa: PLC0415 - few need them

        return kctl_sysctls.statistics(self)

    def statistics(self) -> KernelStatistics:
        """See `Kernel.statistics`.

        `posted` counts messages queued on a socket, so an event counts once for each of its
        readers and not at all without any; `fullsock` counts those that found no space.
        """
        return KernelStatistics(
            pcbcount=len(self.pcbs),
            gencnt=self.gencnt,
            badvendor=self._badvendor,
            toobig=self._toobig,
            nomem=self._nomem,
            fullsock=self._fullsock,
            posted=self._posted,
        )

    def post(self, vendor: int, kev_class: int, subclass: int, code: int, data: bytes = b"") -> int:
        """Post an event as the kernel's own code does (kev_post_msg) and return its id.

        A message longer than the limit raises KernelError EMSGSIZE and takes no id; readers that
        have no space miss the event silently.
        """
        size = abi.KEV_MSG_HEADER_SIZE + len(data)
        if size > self.message_limit:
            self._toobig += 1
            raise KernelError("kev_post_msg", "EMSGSIZE", f"{size} > {self.message_limit} bytes")
        event_id = (self.last_id + 1) & _U32
        header = abi.HEADER.pack(size, vendor, kev_class, subclass, event_id, code)
        self.last_id = event_id
        self._deliver(header + data, vendor, kev_class, subclass)
        return event_id

    def kext_post(
        self,
        vendor: int,
        kev_class: int,
        subclass: int,
        code: int,
        data: bytes | Sequence[bytes] = b"",
    ) -> int:
        """Post an event as a kernel extension does (kev_msg_post) and return its id.

        `data` may be up to five vectors, the first empty one ending them.  KernelError EINVAL if
        `vendor` is Apple's or was never given out by `vendor_code_find`.
        """
        if vendor not in self._vendors.values():
            self._badvendor += 1
            raise KernelError("kev_msg_post", "EINVAL", f"vendor code {vendor} is nobody's")
        if not isinstance(data, bytes):
            vectors = list(data)[:5]
            if b"" in vectors:
                vectors = vectors[: vectors.index(b"")]
            data = b"".join(vectors)
        return self.post(vendor, kev_class, subclass, code, data)

    def inject(self, raw: bytes) -> None:
        """Deliver `raw` as it is: garbage, or the messages of a capture with their own ids.

        It counts as a post (the id counter moves on by one) and goes to the sockets whose filter
        wants what its header says; bytes too short for a header count as zeros there.
        """
        if not 0 < len(raw) <= INJECTED_MAX:
            raise ValueError(f"a message has 1 to {INJECTED_MAX} bytes, not {len(raw)}")
        header = raw[: abi.KEV_MSG_HEADER_SIZE].ljust(abi.KEV_MSG_HEADER_SIZE, b"\0")
        _, vendor, kev_class, subclass, _, _ = abi.HEADER.unpack(header)
        self.last_id = (self.last_id + 1) & _U32
        self._deliver(bytes(raw), vendor, kev_class, subclass)

    def vendor_code_find(self, name: str) -> int:
        """Give a kernel extension its vendor code (kev_vendor_code_find): 1001 and up, by name.

        KernelError EINVAL for more than 199 bytes; "" and "com.apple" are names like any other.
        """
        text = name.encode()
        if len(text) > abi.VENDOR_NAME_MAX:
            raise KernelError("kev_vendor_code_find", "EINVAL", "more than 199 bytes")
        return self._vendors.setdefault(text, FIRST_VENDOR_CODE + len(self._vendors))

    def vendor_code(self, name: bytes) -> int:
        """Look a name up without giving out a code (SIOCGKEVVENDOR); KernelError ENOENT."""
        code = self._vendors.get(name[: abi.VENDOR_NAME_MAX].split(b"\0", 1)[0])
        if code is None:
            raise KernelError("SIOCGKEVVENDOR", "ENOENT", "no kernel extension asked for this name")
        return code

    def reboot(self) -> None:
        """Start anew: open sockets are gone, ids, codes and counters restart, the boot is new."""
        pcbs, kctl = self.pcbs, self._kctl
        old = self._identity
        self._identity = KernelIdentity(str(uuid.uuid4()), old.host, old.os_release, old.os_build)
        self._boot()
        for pcb in pcbs:
            pcb.reader.gone()
        if kctl is not None:
            kctl.reboot()

    def starve_next_post(self, served: int) -> None:
        """Run out of mbufs in the next post after `served` sockets, newest first, were served.

        The others that wanted it miss it, which `nomem` counts once; for tests.
        """
        self._starve_after = served

    def attach(self, pcb: EventPcb) -> None:
        """Open a socket: it is served before all older ones."""
        self.pcbs = (pcb, *self.pcbs)
        self.gencnt += 1

    def detach(self, pcb: EventPcb) -> None:
        """Close a socket; one that a reboot took away is closed already."""
        if pcb in self.pcbs:
            self.pcbs = tuple(other for other in self.pcbs if other is not pcb)
            self.gencnt += 1

    def _deliver(self, message: bytes, vendor: int, kev_class: int, subclass: int) -> None:
        starve_after, self._starve_after = self._starve_after, None
        for pcb in self.pcbs:
            if not pcb.kernel_filter.matches(vendor, kev_class, subclass):
                continue
            if starve_after is not None:
                if starve_after == 0:
                    self._nomem += 1
                    return
                starve_after -= 1
            if pcb.offer(message):
                self._posted += 1
            else:
                self._fullsock += 1

"""com.apple.network.statistics: in effect an echo service, for anybody.

Mirrors nstat_client_send() of bsd/net/ntstat.c for requests of a type it does not know: it answers
with an error in front of the whole request.  Known requests (sources, updates) are not simulated
and get the same answer.
"""

# ruff: noqa: ARG002 - a control's functions take what the kernel hands them

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, ClassVar, Final

from kevmond.errors import KernelError
from kevmond.kernel import abi
from kevmond.kernel.control_abi import EnqueueFlag
from kevmond.kernel.simulated.apple.bare import Bare

if TYPE_CHECKING:
    from kevmond.kernel.simulated.kctl import ControlTable
    from kevmond.kernel.simulated.kctl_pcb import ControlPcb

_HEADER: Final = struct.Struct("<QI2H")
"""nstat_msg_hdr: context, type, length, flags."""
_ERROR: Final = struct.Struct("<QI2HI4x")
"""nstat_msg_error: the header, error."""
_TYPE_ERROR: Final = 1
_FLAGS: Final = EnqueueFlag.EOR | EnqueueFlag.CRIT


class NetworkStatistics(Bare):
    """Answers every request with EINVAL, and with the request itself while there is room."""

    provides: ClassVar[frozenset[str]] = frozenset({"connect", "disconnect", "send"})

    def __init__(self, table: ControlTable) -> None:
        super().__init__(table)
        self._spaces: dict[ControlPcb, tuple[int, int]] = {}
        """Receive space that a socket asked for, and what it was let grow to."""

    async def disconnect(self, pcb: ControlPcb) -> None:
        """See `Handlers.disconnect`."""
        self._spaces.pop(pcb, None)

    async def send(self, pcb: ControlPcb, data: bytes, flags: int) -> None:
        """See `Handlers.send`: EINVAL without a header, ENOBUFS if no answer finds room."""
        if len(data) < _HEADER.size:
            raise KernelError("send", "EINVAL", f"a request has {_HEADER.size} bytes and more")
        context, kind, length, _ = _HEADER.unpack_from(data)
        if length != len(data):  # it corrects the request before it gives it back
            data = _HEADER.pack(context, kind, len(data) & 0xFFFF, 0) + data[_HEADER.size :]
        try:
            self._answer(pcb, context, data)
        except KernelError:
            self._answer(pcb, context, b"")

    def _answer(self, pcb: ControlPcb, context: int, request: bytes) -> None:
        size = _ERROR.size + len(request)
        error = _ERROR.pack(context, _TYPE_ERROR, size & 0xFFFF, 0, abi.DARWIN_ERRNO["EINVAL"])
        self._make_room(pcb, size)
        assert pcb.control is not None, "a control sends to attached sockets"
        self._table.enqueue(pcb.control, pcb.unit, error + request, _FLAGS)

    def _make_room(self, pcb: ControlPcb, size: int) -> None:
        """Let the queue grow by a quarter for what is critical (ctl_rcvbspace), and back again."""
        queue = pcb.received
        queue.settle()
        asked, grown = self._spaces.get(pcb, (queue.hiwat, 0))
        if queue.hiwat != grown:  # SO_RCVBUF was set meanwhile
            asked = queue.hiwat
        wanted = queue.bytes + size
        if wanted > asked:
            wanted = min(wanted, asked + asked // 4)
        queue.hiwat = max(asked, wanted)
        self._spaces[pcb] = (asked, queue.hiwat)

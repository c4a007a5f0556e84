"""How much one socket may queue: XNU's receive buffer, counted as XNU counts it.

Mirrors sbreserve(), sbspace() and sballoc() of bsd/kern/uipc_socket2.c for atomic messages of one
plain mbuf each.  Checked against the measured table of what a buffer of each size holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from kevmond.errors import KernelError
from kevmond.kernel.abi import MESSAGE_LIMIT_X86_64
from kevmond.kernel.receive_space import largest_granted

RECEIVE_LOWAT: Final = 1
SEND_LOWAT: Final = 2048
"""Bytes below which a socket is neither readable nor writable (SO_RCVLOWAT, SO_SNDLOWAT): fixed."""

_U32: Final = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class SockbufRules:
    """What one kernel's build decides about receive buffers."""

    sb_max: int
    """kern.ipc.maxsockbuf, bytes."""
    mbuf_size: int
    """What each queued message is charged beside its bytes, whatever its length (MSIZE)."""
    clamp: bool
    """True for newer kernels: a size above sb_max is granted as sb_max instead of refused, and
    sb_max does not bound the mbufs (read from their source, not measured)."""

    @classmethod
    def of(cls, message_limit: int, sb_max: int, *, clamp: bool) -> SockbufRules:
        """Rules of a kernel whose mbufs hold messages of up to `message_limit` bytes."""
        mbuf_size = 256 if message_limit <= MESSAGE_LIMIT_X86_64 else 512
        return cls(sb_max, mbuf_size, clamp)

    def granted(self, call: str, size: int) -> int:
        """Bytes that a buffer gets whose owner asks for `size`.  KernelError EINVAL or ENOBUFS."""
        if size < 1:
            raise KernelError(call, "EINVAL")
        if self.clamp:
            return min(size, self.sb_max)
        if size > largest_granted(self.sb_max):
            raise KernelError(call, "ENOBUFS")
        return size

    def mbmax(self, hiwat: int) -> int:
        """Most bytes of mbufs in a buffer of `hiwat` bytes."""
        return min(8 * hiwat, _U32 if self.clamp else self.sb_max)


class Sockbuf:
    """A receive buffer: its bounds, and what is charged against them (struct sockbuf)."""

    __slots__ = ("_rules", "cc", "hiwat", "mbcnt", "mbmax", "mbuf_size")

    def __init__(self, rules: SockbufRules, size: int) -> None:
        self._rules = rules
        self.mbuf_size = rules.mbuf_size
        self.cc = 0
        self.mbcnt = 0
        self.reserve(size)

    def reserve(self, size: int) -> None:
        """SO_RCVBUF: set the bounds; what is queued stays.  KernelError EINVAL or ENOBUFS."""
        self.hiwat = self._rules.granted(f"setsockopt SO_RCVBUF {size}", size)
        self.mbmax = self._rules.mbmax(self.hiwat)

    def fits(self, size: int) -> bool:
        """Tell whether a message of `size` bytes may be queued."""
        return size <= self.hiwat - self.cc and size <= self.mbmax - self.mbcnt

    def charge(self, size: int) -> None:
        """Count a message in."""
        self.cc += size
        self.mbcnt += self.mbuf_size

    def release(self, size: int) -> None:
        """Count a message out."""
        self.cc -= size
        self.mbcnt -= self.mbuf_size

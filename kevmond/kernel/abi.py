"""Numbers and layouts that the kernel and its users share, and nothing that does anything.

Mirrors sys/kern_event.h, sys/sys_domain.h, sys/ioccom.h, sys/errno.h and the sysctl records of
bsd/kern/kern_event.c (XNU).  All integers are little endian: so is every current Mac.
"""

from __future__ import annotations

import struct

PF_SYSTEM = 32
SOCK_RAW = 3
SYSPROTO_EVENT = 1
SYSPROTO_CONTROL = 2

KEV_ANY = 0
KEV_VENDOR_APPLE = 1
KEV_VENDOR_NONE = 0xFFFFFFFF
"""The vendor filter of a socket whose filter was never set: nothing is delivered."""

KEV_MSG_HEADER_SIZE = 24
"""offsetof(struct kern_event_msg, event_data); a message may be no longer than this."""

KEV_RECVSPACE = 32768
"""Receive buffer of a new event socket, bytes."""

KEV_SNDSPACE = 4096
"""Its send buffer, which nothing uses."""

MESSAGE_LIMIT_X86_64 = 224
MESSAGE_LIMIT_ARM64 = 288
"""Largest message, header included: what one plain mbuf holds (bsd/sys/mbuf.h, MLEN)."""

READ_SIZE = 1024
"""A read buffer that no message can overrun, as configd uses."""

HEADER = struct.Struct("<6I")
"""kern_event_msg: total_size, vendor_code, kev_class, kev_subclass, id, event_code."""

KEV_REQUEST = struct.Struct("<3I")
"""kev_request: vendor_code, kev_class, kev_subclass."""

KEV_VENDOR_CODE = struct.Struct("<I200s")
"""kev_vendor_code: vendor_code, vendor_string."""

VENDOR_NAME_MAX = 199
"""Bytes of a vendor string, the NUL not counted (KEV_VENDOR_CODE_MAX_STR_LEN - 1)."""

KEVTSTAT = struct.Struct("<7Q")
"""kevtstat: pcbcount, gencnt, badvendor, toobig, nomem, fullsock, posted."""

SIOCGKEVID = 0x40046501
SIOCSKEVFILT = 0x800C6502
SIOCGKEVFILT = 0x400C6503
SIOCGKEVVENDOR = 0xC0CC6504

FIONREAD = 0x4004667F
"""Bytes waiting in all queued messages together, not in the next one (sys/filio.h)."""

SOL_SOCKET = 0xFFFF
SO_SNDBUF = 0x1001
SO_RCVBUF = 0x1002
SO_SNDLOWAT = 0x1003
SO_RCVLOWAT = 0x1004
SO_ERROR = 0x1007
SO_TYPE = 0x1008
SO_NREAD = 0x1020
SO_NUMRCVPKT = 0x1112
"""Darwin's socket options by number (sys/socket.h), where they must not be this host's."""

SYSCTL_KEVT_STATS = "net.systm.kevt.stats"
SYSCTL_KEVT_PCBLIST = "net.systm.kevt.pcblist"
SYSCTL_KEVT_PCBCOUNT = "net.systm.kevt.pcbcount"
SYSCTL_MAX_SOCKET_BUFFER = "kern.ipc.maxsockbuf"
SYSCTL_HOST = "kern.hostname"
SYSCTL_BOOT_SESSION = "kern.bootsessionuuid"
SYSCTL_OS_RELEASE = "kern.osrelease"
SYSCTL_OS_BUILD = "kern.osversion"

DARWIN_ERRNO: dict[str, int] = {
    "EPERM": 1,
    "ENOENT": 2,
    "ESRCH": 3,
    "EINTR": 4,
    "EIO": 5,
    "ENXIO": 6,
    "E2BIG": 7,
    "ENOEXEC": 8,
    "EBADF": 9,
    "ECHILD": 10,
    "EDEADLK": 11,
    "ENOMEM": 12,
    "EACCES": 13,
    "EFAULT": 14,
    "ENOTBLK": 15,
    "EBUSY": 16,
    "EEXIST": 17,
    "EXDEV": 18,
    "ENODEV": 19,
    "ENOTDIR": 20,
    "EISDIR": 21,
    "EINVAL": 22,
    "ENFILE": 23,
    "EMFILE": 24,
    "ENOTTY": 25,
    "EFBIG": 27,
    "ENOSPC": 28,
    "EROFS": 30,
    "EPIPE": 32,
    "EDOM": 33,
    "ERANGE": 34,
    "EAGAIN": 35,
    "EINPROGRESS": 36,
    "EALREADY": 37,
    "ENOTSOCK": 38,
    "EDESTADDRREQ": 39,
    "EMSGSIZE": 40,
    "EPROTOTYPE": 41,
    "ENOPROTOOPT": 42,
    "EPROTONOSUPPORT": 43,
    "ESOCKTNOSUPPORT": 44,
    "ENOTSUP": 45,
    "EPFNOSUPPORT": 46,
    "EAFNOSUPPORT": 47,
    "EADDRINUSE": 48,
    "EADDRNOTAVAIL": 49,
    "ENETDOWN": 50,
    "ENETUNREACH": 51,
    "ENETRESET": 52,
    "ECONNABORTED": 53,
    "ECONNRESET": 54,
    "ENOBUFS": 55,
    "EISCONN": 56,
    "ENOTCONN": 57,
    "ESHUTDOWN": 58,
    "ETIMEDOUT": 60,
    "ECONNREFUSED": 61,
    "ENAMETOOLONG": 63,
    "EHOSTDOWN": 64,
    "EHOSTUNREACH": 65,
    "EUSERS": 68,
    "ENOSYS": 78,
    "EOVERFLOW": 84,
    "ECANCELED": 89,
    "EILSEQ": 92,
    "EBADMSG": 94,
    "EPROTO": 100,
    "ETIME": 101,
    "EOPNOTSUPP": 102,
}
"""Darwin's errno numbers by name; they differ from Linux's, so names are what travels."""

NUMBERED = "errno "
"""What stands before the number of an error that has no name: kernel code may return any."""


def errno_symbol(number: int) -> str:
    """Name of Darwin's errno `number`, or "errno N"."""
    return _SYMBOLS.get(number) or f"{NUMBERED}{number}"


def errno_number(symbol: str) -> int:
    """Darwin's number of an errno's name, or of "errno N"; EIO's for anything else."""
    if symbol.startswith(NUMBERED) and symbol[len(NUMBERED) :].lstrip("-").isdecimal():
        return int(symbol[len(NUMBERED) :])
    return DARWIN_ERRNO.get(symbol, DARWIN_ERRNO["EIO"])


_SYMBOLS = {number: symbol for symbol, number in DARWIN_ERRNO.items()}

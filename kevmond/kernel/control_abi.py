"""Numbers and layouts of kernel controls, and nothing that does anything.

Mirrors sys/kern_control.h, sys/sys_domain.h, net/if_utun.h and the sysctl records of
bsd/kern/kern_control.c (XNU).  All integers are little endian: so is every current Mac.
"""

from __future__ import annotations

import struct
from enum import IntEnum, IntFlag

SOCK_STREAM = 1
SOCK_DGRAM = 2
AF_SYS_CONTROL = 2

CTL_NAME_MAX = 95
"""Bytes of a control's name, the NUL not counted (MAX_KCTL_NAME - 1)."""

SOCKADDR_CTL = struct.Struct("<BBHII20x")
"""sockaddr_ctl: sc_len, sc_family, ss_sysaddr, sc_id, sc_unit."""

CTL_INFO = struct.Struct("<I96s")
"""ctl_info: ctl_id, ctl_name."""

CTL_EVENT_DATA = struct.Struct("<2I")
"""ctl_event_data: ctl_id, ctl_unit (always 0)."""

CTLIOCGCOUNT = 0x40044E02
CTLIOCGINFO = 0xC0644E03

DEFAULT_SEND_SPACE = 2048
DEFAULT_RECEIVE_SPACE = 8192
"""Buffers of a control that asks for none, bytes."""

UNIT_MAX = 65535
"""Most units of one control that are given out by themselves."""

REG_UNIT_DYNAMIC = 0xFFFFFFFF
"""What the list of controls says for the unit of one that is registered without."""


class ControlFlag(IntFlag):
    """Flags of a registration (ctl_flags)."""

    PRIVILEGED = 0x1
    """CTL_FLAG_PRIVILEGED: only euid 0 may connect."""
    REG_ID_UNIT = 0x2
    """CTL_FLAG_REG_ID_UNIT: id and unit are the registrant's choice."""
    REG_SOCK_STREAM = 0x4
    """CTL_FLAG_REG_SOCK_STREAM: a byte stream, not messages."""
    REG_EXTENDED = 0x8
    REG_CRIT = 0x10
    REG_SETUP = 0x20


class EnqueueFlag(IntFlag):
    """Flags of ctl_enqueuedata and ctl_enqueuembuf."""

    NOWAKEUP = 0x1
    EOR = 0x2
    """CTL_DATA_EOR: end of record; without it the next data joins these."""
    CRIT = 0x4


KEV_SYSTEM_CLASS = 3
KEV_CTL_SUBCLASS = 2
KEV_CTL_REGISTERED = 1
KEV_CTL_DEREGISTERED = 2

SYSCTL_KCTL_STATS = "net.systm.kctl.stats"
SYSCTL_KCTL_REG_LIST = "net.systm.kctl.reg_list"
SYSCTL_KCTL_PCBLIST = "net.systm.kctl.pcblist"
SYSCTL_KCTL_PCBCOUNT = "net.systm.kctl.pcbcount"

XSO_KCREG = 0x40
XSO_KCB = 0x80
"""Kinds of records in those lists, beside those of `kevt_sysctl`."""

XKCTL_REG = struct.Struct("<5I4xQ4I7Q96s")
"""xkctl_reg: len, kind, id, reg_unit, flags, kctlref, recvbufsize, sendbufsize, lastunit, pcbcount,
addresses of the functions (0 if none), name."""

XKCTL_REG_FUNCTIONS = ("connect", "disconnect", "send", "send_list", "setopt", "getopt", "rcvd")
"""Which functions those are, in their order."""

XKCTLPCB = struct.Struct("<2IQ2IQ96s")
"""xkctlpcb: len, kind, kctpcb, unit, kctlid, kctlref, kctlname."""

KCTLSTAT = struct.Struct("<14Q")
"""kctlstat: reg_total, reg_count, pcbcount, gencnt, connections, conn_fail, send_fail,
send_list_fail, enqueue_fail, enqueue_fullsock, bad_kctlref, tbl_size_too_big,
enqdata_mb_alloc_fail, enqdata_sbappend_fail."""

MSG_OOB = 0x1
MSG_EOR = 0x8
SHUT_RD = 0
SHUT_WR = 1
SHUT_RDWR = 2

UTUN_CONTROL = "com.apple.net.utun_control"
NETWORK_STATISTICS_CONTROL = "com.apple.network.statistics"
NETSRC_CONTROL = "com.apple.netsrc"

DARWIN_AF_INET = 2
DARWIN_AF_INET6 = 30
"""Address families as utun frames carry them; AF_INET6 has another number on other systems."""


class UtunOption(IntEnum):
    """Options of a utun control socket (net/if_utun.h)."""

    FLAGS = 1
    IFNAME = 2
    EXT_IFDATA_STATS = 3
    INC_IFDATA_STATS_IN = 4
    INC_IFDATA_STATS_OUT = 5
    SET_DELEGATE_INTERFACE = 15
    MAX_PENDING_PACKETS = 16

"""Numbers and layouts of the sample kernel extension's protocol, and nothing that does anything.

Mirrors kext/include/foo.h, name by name (a test compares the two).  All integers are little endian.
"""

from __future__ import annotations

import struct
from enum import IntEnum, IntFlag
from typing import Final

CONTROL_NAME: Final = "org.mklinux.nke.foo"
VENDOR: Final = "org.mklinux.nke.foo"
"""Vendor string of its kernel events, for SIOCGKEVVENDOR."""

MAGIC: Final = 0x4F4F464B
PROTOCOL: Final = 1
"""The version spoken here."""

MESSAGE_MAX: Final = 16384
"""Longest message, bytes, header included."""
QUEUE_SIZE: Final = 262144
"""Bytes that the kernel queues for a client that does not change SO_RCVBUF."""
CLIENTS_MAX: Final = 16
EVENT_DATA_MAX: Final = 200
"""Most bytes of data that an event to emit can carry."""
DEBUG_MAX: Final = 2
EVENT_CLASS: Final = 1
EVENT_SUBCLASS: Final = 1
"""Of the kernel events that it posts of its own accord."""

HEADER: Final = struct.Struct("<IHHQQII")
"""foo_message: magic, version, type, sequence, reply_to, dropped, length."""

PAYLOAD_MAX: Final = MESSAGE_MAX - HEADER.size
"""Most bytes that an echo can carry."""


def speaks_sample(control: str, protocol: str = "auto") -> bool:
    """Whether a control is spoken to in this protocol: as told, else ("auto") by its name."""
    return protocol == "sample" if protocol != "auto" else control == CONTROL_NAME


class Worded(IntEnum):
    """A number with a word for people: CLIENT_CONNECTED is "client-connected"."""

    @property
    def word(self) -> str:
        """Its name for people."""
        return self.name.lower().replace("_", "-")


class MessageType(Worded):
    """What a message is (foo_type)."""

    HELLO = 1
    """From the kext at connect, and in answer to an empty one."""
    ECHO = 2
    """Anything; comes back the same."""
    EMIT_EVENT = 3
    """Asks for a kernel event; answered by a result."""
    SUBSCRIBE = 4
    """Asks for notices; answered by a result that tells the mask in force."""
    GOODBYE = 5
    """From the kext: close the socket, please.  From a client, empty: no more notices."""
    RESULT = 6
    NOTICE = 7


class NoticeKind(Worded):
    """What a notice is about (foo_notice_kind)."""

    CLIENT_CONNECTED = 1
    CLIENT_DISCONNECTED = 2
    COMMAND = 3
    EVENT_EMITTED = 4


class GoodbyeReason(Worded):
    """Why the kext asks to be let go of (foo_goodbye_reason)."""

    UNLOADING = 1


class Subscription(IntFlag):
    """Which notices a client wants (foo_subscription)."""

    CLIENTS = 1
    COMMANDS = 2
    EVENTS = 4
    ALL = 7


class Option(IntEnum):
    """Options of level SYSPROTO_CONTROL (foo_option)."""

    COMMAND_1 = 1
    """Set: nothing, or a u32 argument; get: u32, how often it was run."""
    COMMAND_2 = 2
    VERSION = 3
    """Get: `Version`."""
    STATISTICS = 4
    """Get: `Statistics`."""
    DEBUG = 5
    """Get, and set by root: u32, 0 to DEBUG_MAX."""


class EventCode(Worded):
    """Kernel events that it posts of its own accord (foo_event_code)."""

    LOADED = 1
    UNLOADING = 2
    CLIENT_CONNECTED = 3
    CLIENT_DISCONNECTED = 4
    COMMAND = 5


EVENT_DATA: Final = {
    EventCode.LOADED: struct.Struct("<I"),
    EventCode.UNLOADING: struct.Struct("<"),
    EventCode.CLIENT_CONNECTED: struct.Struct("<3I"),
    EventCode.CLIENT_DISCONNECTED: struct.Struct("<2I"),
    EventCode.COMMAND: struct.Struct("<4I"),
}
"""What those events carry: version; nothing; unit, pid, uid; unit, pid; command, argument, unit,
pid."""

EMIT_EVENT: Final = struct.Struct("<3I")
"""foo_emit_event: class, subclass, code; the event's data follows."""

SUBSCRIBE: Final = struct.Struct("<I")
"""foo_subscribe: mask."""

"""The envelope that every event travels in, and the record that carries it through the daemon."""

from __future__ import annotations

import time
import zlib
from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Protocol

from pydantic import BaseModel, ConfigDict, Field, SerializeAsAny
from pydantic_core import to_json

if TYPE_CHECKING:
    from collections.abc import Mapping

SCHEMA: Final = "kevmond/1"
"""Version of the JSON of an event: fields may be added under it, never changed or taken away."""


class Severity(StrEnum):
    """How much an event matters, in syslog's words (RFC 5424, section 6.2.1), least first."""

    DEBUG = "debug"
    INFO = "info"
    NOTICE = "notice"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"


class Decode(StrEnum):
    """How far the decoder came."""

    FULL = "full"
    """Every byte is accounted for by the declaration."""
    EXTRA = "extra"
    """Decoded, and the bytes behind the declared payload are kept in `extra`."""
    UNKNOWN = "unknown"
    """A sound message whose code or payload layout is not known."""
    MALFORMED = "malformed"
    """The message contradicts itself or is too short for its payload; `reason` tells how."""


class Payload(BaseModel):
    """Base of what an event says beyond its header: named fields, frozen."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class Event(BaseModel):
    """One event, as every sink sees it; `json_line()` is the stable JSON."""

    # Fields that a later version adds are passed over by those who read an event back.
    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    schema_: str = Field(default=SCHEMA, alias="schema")
    """Version of this envelope."""
    id: str
    """Names this event for ever: the same for every reader and every replay."""
    seq: int
    """Position in the journal: rising, and never given twice; 0 where there is no journal."""
    time: str
    """When it was read from the kernel: RFC 3339, UTC, microseconds."""
    host: str
    """Name of the machine."""
    boot_id: str
    """UUID of the boot session."""
    kernel_id: int | None = None
    """The kernel's own id of the event (u32, one counter for the whole machine)."""
    vendor: int | None = None
    """Vendor code: 1 is Apple, from 1000 third parties; null for kevmond's own records."""
    vendor_name: str | None = None
    """Its name: "apple", or the string a third party's code was asked for with."""
    class_: int | None = Field(default=None, alias="class")
    """Event class."""
    class_name: str | None = None
    """Its word; null if it has none."""
    subclass: int | None = None
    """Event subclass within the class."""
    subclass_name: str | None = None
    """Its word; null if it has none."""
    code: int | None = None
    """Event code within the subclass; 0 is a code like any other."""
    code_name: str | None = None
    """Its word; null if it has none."""
    type: str
    """Dotted words: `network.dl.link-on`, `kevmond.loss`."""
    severity: Severity
    """How much it matters."""
    interface: str | None = None
    """BSD name of the interface that is meant ("en0"), where one is."""
    payload: SerializeAsAny[Payload] | None = None
    """The payload's named fields; null where none could be read."""
    decode: Decode = Decode.FULL
    """How far the decoder came."""
    reason: str | None = None
    """Why decoding stopped short; null when it did not."""
    extra: str | None = None
    """Hex of the bytes behind the declared payload (all of it, where no layout is known); null when
    there are none."""
    synthetic: bool = False
    """True if kevmond made this event (from a snapshot, say) and no kernel posted it."""
    raw: str | None = None
    """Hex of the whole message as read, header included; null for kevmond's own records."""

    def json_line(self) -> bytes:
        """One line of JSON, UTF-8, without the newline."""
        return to_json(self, by_alias=True)


class Kind(StrEnum):
    """What the body of a record is made of."""

    KERNEL = "k"
    """A kern_event_msg as read from the socket."""
    OWN = "o"
    """JSON of a record that kevmond itself wrote."""


@dataclass(frozen=True, slots=True)
class Context:
    """What must be known beside the bytes to make an event of them.

    The journal stores it once a run and each time it changes, so that old bytes decode the same.
    """

    host: str
    boot_id: str
    os_release: str = ""
    os_build: str = ""
    vendor_names: Mapping[int, str] = field(default_factory=dict)


class Decodes(Protocol):
    """What makes an event of a message (`kevmond.events.decoder.Decoder`)."""

    @property
    def context(self) -> Context:
        """Context of the messages."""
        ...

    def event(self, raw: bytes, *, seq: int, time: str) -> Event:
        """Decode one message as read; takes any bytes and never raises."""
        ...

    def line(self, raw: bytes, event: Event) -> bytes:
        """Return `event.json_line()` of an event that this very decoder made of `raw`."""
        ...


class Record:
    """An event on its way: position, bytes as stored, and, once asked for, model and JSON.

    A kernel event is decoded by the first consumer that looks at it and not while the socket is
    read: reading keeps up with a burst, and what waits takes little memory.  Model and JSON are
    shared by consumers that keep up with each other: the latest of them are kept, and a consumer
    far behind has them made again.  Threads may share a record.
    """

    __slots__ = ("_decoder", "_event", "_line", "body", "kind", "seq", "wall_ns")

    def __init__(
        self,
        seq: int,
        wall_ns: int,
        kind: Kind,
        body: bytes,
        *,
        event: Event | None = None,
        decoder: Decodes | None = None,
    ) -> None:
        """Either the event itself or a decoder that makes it of `body` is given."""
        self.seq = seq
        self.wall_ns = wall_ns
        self.kind = kind
        self.body = body
        self._event = event
        self._decoder = decoder
        self._line: bytes | None = None

    @property
    def decoded(self) -> bool:
        """Whether somebody has looked at it, and its event is still kept."""
        return self._event is not None

    @property
    def event(self) -> Event:
        """The decoded event."""
        event = self._event
        if event is None:
            assert self._decoder is not None, "a record is made with an event or a decoder"
            time = timestamp(self.wall_ns)
            event = self._event = self._decoder.event(self.body, seq=self.seq, time=time)
            _decoded.append(self)
            if len(_decoded) > DECODED_KEPT:
                oldest = _decoded.popleft()
                oldest._event = oldest._line = None  # noqa: SLF001 - a record like this one
        return event

    @property
    def context(self) -> Context:
        """What makes this record again of its bytes: of kevmond's own, only whose it is counts."""
        if self._decoder is not None:
            return self._decoder.context
        return Context(host=self.event.host, boot_id=self.event.boot_id)

    @property
    def line(self) -> bytes:
        """The event's JSON without newline, encoded once and shared by all sinks."""
        line = self._line
        if line is None:
            event, decoder = self.event, self._decoder
            line = event.json_line() if decoder is None else decoder.line(self.body, event)
            self._line = line
        return line


DECODED_KEPT: Final = 2048
"""Decoded events kept for other consumers; model and line of one take up to 4 KiB."""

_decoded: Final[deque[Record]] = deque()


@lru_cache(maxsize=16)
def timestamp(wall_ns: int) -> str:
    """RFC 3339 text, UTC, microseconds, of nanoseconds since the epoch."""
    seconds, rest = divmod(wall_ns, 1_000_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{rest // 1000:06d}Z"


def kernel_event_id(boot_id: str, kernel_id: int, raw: bytes) -> str:
    """Name an event for ever: boot session, kernel id, and a check sum of its bytes.

    The kernel's counter is raised without a lock and wraps at 2^32, so two events of one boot may
    share an id; their bytes then tell them apart.
    """
    return f"{boot_id}-{kernel_id}-{zlib.crc32(raw):08x}"

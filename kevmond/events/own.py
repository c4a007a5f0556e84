"""Records that kevmond itself writes into the stream: `kevmond.start`, `kevmond.loss` and so on.

They travel in the same envelope as the kernel's events.  Their stored body is JSON that holds
everything the envelope needs, the id included, so that a record read back is the same record.
"""

from __future__ import annotations

import itertools
import secrets
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

from pydantic import BaseModel, ConfigDict
from pydantic_core import to_json

from kevmond.events import control
from kevmond.events.event import Event, Kind, Record, Severity, timestamp
from kevmond.events.own_payload import OwnPayload

if TYPE_CHECKING:
    from kevmond.events.event import Context, Payload

_RUN: Final = secrets.token_hex(6)
"""Tells this process's records from those of every other run."""

_numbers: Final = itertools.count(1)

Value = str | int | float | bool | None | tuple[str, ...]
"""Anything a field of an interface may be."""


class _Part(BaseModel):
    """A piece of a payload."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class Start(OwnPayload):
    """The daemon began to run."""

    TYPE: ClassVar[str] = "kevmond.start"
    SEVERITY: ClassVar[Severity] = Severity.NOTICE

    version: str
    """Version of kevmond."""
    pid: int
    """Process id."""
    kernel: str
    """Where events come from: "darwin", "simulated", "replay"."""
    os_release: str = ""
    """Darwin release of that kernel; empty if unknown."""
    os_build: str = ""
    """Its build; empty if unknown."""
    receive_space: int | None = None
    """Receive buffer that the kernel granted, bytes; null if not yet known."""
    filter: tuple[str, ...] = ()
    """Rules of what is read; empty for everything."""
    journal_next_seq: int | None = None
    """First journal position of this run; null without a journal."""
    clean_stop: bool | None = None
    """Whether the run before ended with `kevmond.stop`; null if there was none."""
    missed: int | None = None
    """Events that were posted while no daemon ran; null if it cannot be known."""


class Stop(OwnPayload):
    """The daemon is about to end."""

    TYPE: ClassVar[str] = "kevmond.stop"
    SEVERITY: ClassVar[Severity] = Severity.NOTICE

    reason: str
    """Why: a signal's name, "end of recording", an error."""
    events: int = 0
    """Kernel events read in this run."""
    uptime: float = 0.0
    """Seconds this run lasted."""


class Boot(OwnPayload):
    """The system was booted since the run before: the kernel's ids begin anew."""

    TYPE: ClassVar[str] = "kevmond.boot"
    SEVERITY: ClassVar[Severity] = Severity.NOTICE

    previous_boot_id: str | None = None
    """Boot session of the run before; null if there was none."""


class Loss(OwnPayload):
    """Events were lost: posted to us, and never delivered."""

    TYPE: ClassVar[str] = "kevmond.loss"
    SEVERITY: ClassVar[Severity] = Severity.ERROR

    lost: int
    """Events lost since the last such record of this source and consumer."""
    total: int
    """Events lost since the start of this run, by this source and consumer."""
    late: int = 0
    """Events reported lost before that came after all; `total` no longer counts them."""
    source: Literal["id-gap", "socket-counter", "tail", "system-counter", "journal", "sink"]
    """How it was seen: a gap in the kernel's ids; the socket's own drop counter; a loss at the end
    of a burst, seen by asking for the last id; the system-wide counter, which says only that some
    listener lost something; a journal that could not keep or had to let go; a sink that could not
    deliver."""
    first_id: int | None = None
    """First kernel id lost, where it is known."""
    last_id: int | None = None
    """Last kernel id lost, where it is known."""
    consumer: str | None = None
    """Name of the consumer that lost them; null if they were lost to all."""
    detail: str | None = None
    """What a person may want to know or do."""

    def severity(self) -> Severity:
        """Warn only, where nothing of ours was lost."""
        return self.SEVERITY if self.lost else Severity.WARNING


class Missed(OwnPayload):
    """Events that were posted while the daemon did not run."""

    TYPE: ClassVar[str] = "kevmond.missed"
    SEVERITY: ClassVar[Severity] = Severity.WARNING

    count: int | None
    """How many; null if it cannot be known (a boot lies between, or nothing is remembered)."""
    previous_id: int | None = None
    """Last kernel id that the run before saw."""
    current_id: int | None = None
    """Last kernel id posted when this run began to read."""
    since: str | None = None
    """When the run before read its last event."""
    detail: str | None = None
    """Why the count is not known, where it is not."""

    def severity(self) -> Severity:
        """Nothing missed is no warning."""
        return Severity.INFO if self.count == 0 else self.SEVERITY


class InterfaceState(_Part):
    """State of one interface, as the system tells it."""

    name: str
    """BSD name."""
    index: int | None = None
    """Interface index."""
    up: bool | None = None
    """Whether it is marked up."""
    running: bool | None = None
    """Whether its driver says that it carries traffic."""
    mtu: int | None = None
    """Largest packet, bytes."""
    speed: int | None = None
    """Megabits a second; null or 0 if unknown."""
    duplex: str | None = None
    """"full", "half" or "unknown"."""
    addresses: tuple[str, ...] = ()
    """Addresses: MAC, IPv4 and IPv6 with prefix length."""


class Snapshot(OwnPayload):
    """State of one interface, taken by kevmond because no event tells what already is."""

    TYPE: ClassVar[str] = "kevmond.snapshot"

    cause: str
    """Why it was taken: "start", "loss", "wake", "resume"."""
    state: InterfaceState
    """The interface."""


class Change(_Part):
    """One difference between two snapshots."""

    interface: str
    """BSD name."""
    field: str
    """Field of the state; "interface" where the interface itself came or went."""
    before: Value = None
    """Value before; null if there was none."""
    after: Value = None
    """Value after; null if there is none."""


class Resync(OwnPayload):
    """What changed while events may have been missed."""

    TYPE: ClassVar[str] = "kevmond.resync"
    SEVERITY: ClassVar[Severity] = Severity.NOTICE

    cause: str
    """Why states were compared: "start", "loss", "wake", "reopened"."""
    changes: tuple[Change, ...] = ()
    """The differences; empty if nothing changed."""
    first: bool = False
    """True for the first snapshot of a run, which has none to be compared with."""

    def severity(self) -> Severity:
        """No difference is no news."""
        return self.SEVERITY if self.changes else Severity.INFO


class Capture(OwnPayload):
    """The event socket failed, or works again."""

    TYPE: ClassVar[str] = "kevmond.capture"
    SEVERITY: ClassVar[Severity] = Severity.ERROR

    state: Literal["error", "reopened"]
    """What happened."""
    call: str | None = None
    """The kernel call that failed."""
    symbol: str | None = None
    """Name of the error (Darwin's errno names)."""
    attempt: int = 0
    """Attempts to open the socket again, so far."""
    detail: str | None = None
    """What a person may want to know or do."""

    def severity(self) -> Severity:
        """Good news is a notice."""
        return Severity.NOTICE if self.state == "reopened" else self.SEVERITY


class Sink(OwnPayload):
    """A sink changed its state."""

    TYPE: ClassVar[str] = "kevmond.sink"
    SEVERITY: ClassVar[Severity] = Severity.WARNING

    sink: str
    """Name of the sink."""
    state: Literal[
        "healthy",
        "retrying",
        "failed",
        "recovered",
        "stopped",
        "paused",
        "resumed",
        "disabled",
    ]
    """Its new state: paused because a person wants it, disabled because its receiver wants no more
    or has taken nothing for too long; either until somebody resumes it."""
    detail: str | None = None
    """The error, or what a person may want to know or do."""
    attempts: int = 0
    """Attempts at the batch in hand."""
    dropped: int = 0
    """Events that this sink gave up for good, in this run."""
    dead_letters: int = 0
    """Events that went to its dead letters, in this run."""

    def severity(self) -> Severity:
        """Failure is an error, good news a notice."""
        if self.state in {"failed", "disabled"}:
            return Severity.ERROR
        return self.SEVERITY if self.state == "retrying" else Severity.NOTICE


class Journal(OwnPayload):
    """The journal changed its state."""

    TYPE: ClassVar[str] = "kevmond.journal"
    SEVERITY: ClassVar[Severity] = Severity.ERROR

    state: Literal["set-aside", "degraded", "recovered", "trimmed"]
    """Put aside as unreadable; kept in memory because the disk refuses; written again; cut to its
    size bound before every durable consumer had read."""
    detail: str | None = None
    """What a person may want to know or do."""
    lost: int = 0
    """Records that could not be kept."""

    def severity(self) -> Severity:
        """Trimming is a warning, recovery a notice."""
        if self.state == "recovered":
            return Severity.NOTICE
        return Severity.WARNING if self.state == "trimmed" else self.SEVERITY


class Config(OwnPayload):
    """The configuration was read again."""

    TYPE: ClassVar[str] = "kevmond.config"
    SEVERITY: ClassVar[Severity] = Severity.NOTICE

    state: Literal["applied", "refused", "needs-restart"]
    """What came of it."""
    changes: tuple[str, ...] = ()
    """Keys that changed, or what is wrong with the file."""
    file: str | None = None
    """The file that was read."""

    def severity(self) -> Severity:
        """Refusing a file is an error."""
        return Severity.ERROR if self.state == "refused" else self.SEVERITY


class Test(OwnPayload):
    """A test that somebody asked for: it goes to one receiver and stands in no journal."""

    TYPE: ClassVar[str] = "kevmond.test"

    sink: str
    """Name of the sink that is tested."""
    detail: str | None = None
    """What a person may want to know."""


_PAYLOADS: Final[tuple[type[OwnPayload], ...]] = (
    Start,
    Stop,
    Boot,
    Loss,
    Missed,
    Snapshot,
    Resync,
    Capture,
    Sink,
    Journal,
    Config,
    Test,
    *control.PAYLOADS,
)

OWN: Final[dict[str, type[OwnPayload]]] = {payload.TYPE: payload for payload in _PAYLOADS}
"""Payloads of kevmond's own records by type."""


def own_record(
    context: Context,
    payload: OwnPayload,
    *,
    seq: int,
    wall_ns: int,
    severity: Severity | None = None,
    interface: str | None = None,
) -> Record:
    """Make a record of kevmond's own, with an id that no other record ever has."""
    told = payload.severity() if severity is None else severity
    own_id = f"{context.boot_id}-own-{_RUN}-{next(_numbers)}"
    stored = {
        "id": own_id,
        "type": payload.TYPE,
        "severity": told.value,
        "interface": interface,
        "synthetic": payload.SYNTHETIC,
        "payload": payload,
    }
    event = envelope(context, stored, payload, seq=seq, wall_ns=wall_ns)
    return Record(seq, wall_ns, Kind.OWN, to_json(stored), event=event)


def envelope(
    context: Context, stored: dict[str, Any], payload: Payload | None, *, seq: int, wall_ns: int
) -> Event:
    """Event of a stored body and the payload read from it; pydantic's ValidationError if wrong."""
    return Event.model_validate(
        {
            "id": stored["id"],
            "seq": seq,
            "time": timestamp(wall_ns),
            "host": context.host,
            "boot_id": context.boot_id,
            "type": stored["type"],
            "severity": stored["severity"],
            "interface": stored["interface"],
            "synthetic": stored["synthetic"],
            "payload": payload,
        }
    )

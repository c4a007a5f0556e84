"""For tests of sinks, kevmond's own and plug-ins: records, a journal in memory, faulty files."""

from __future__ import annotations

import asyncio
import errno
import os
import struct
from collections import deque
from typing import TYPE_CHECKING, Literal

from kevmond.events.decoder import Decoder
from kevmond.events.event import Context
from kevmond.events.own import Loss, own_record
from kevmond.journal.cursor import CursorClosed
from kevmond.sinks.files import Files

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from kevmond.events.event import Record
    from kevmond.journal.letters import DeadLetter

CONTEXT = Context(
    host="mac.example",
    boot_id="4f1c0a52-9d0e-4c55-8c2f-6f0d2f7a0001",
    os_release="24.4.0",
    os_build="24E248",
)
START_NS = 1_795_507_771_123_456_000
"""2026-11-24T08:09:31.123456Z."""


def link_message(kernel_id: int, *, code: int = 12, interface: str = "en", unit: int = 0) -> bytes:
    """Return a kern_event_msg of the data-link subclass; code 12 is KEV_DL_LINK_OFF."""
    data = struct.pack("=II16s", 2, unit, interface.encode())
    return struct.pack("=IIIIII", 24 + len(data), 1, 1, 2, kernel_id & 0xFFFFFFFF, code) + data


def record(seq: int, *, raw: bytes | None = None, second: float | None = None) -> Record:
    """Return a record at a position; a millisecond lies between one position and the next."""
    wall_ns = START_NS + (seq * 1_000_000 if second is None else int(second * 1e9))
    decoder = Decoder(CONTEXT)
    message = link_message(seq) if raw is None else raw
    return decoder.record(message, seq=seq, wall_ns=wall_ns)


def records(first: int, last: int) -> list[Record]:
    """Return the records at positions `first` to `last`."""
    return [record(seq) for seq in range(first, last + 1)]


def odd_records(first: int) -> list[Record]:
    """Return a record of each kind that a sink may be surprised by, from position `first` on."""
    messages = [
        b"",  # malformed
        link_message(1)[:-10],  # too short for its payload
        link_message(1) + b"tail",  # more than it says
        link_message(2, interface="\x1b[31m\r\n"),  # a name that acts on a terminal
        struct.pack("=IIIIII", 24, 1001, 7, 7, 3, 7),  # a third party's, without payload
        struct.pack("=IIIIII", 224, 1001, 7, 7, 4, 8) + bytes(range(200)),  # the longest
    ]
    found = [record(first + index, raw=raw) for index, raw in enumerate(messages)]
    seq = first + len(found)
    loss = Loss(lost=3, total=3, source="id-gap", detail='"quotes", é, \u202e and \x00')
    found.append(own_record(CONTEXT, loss, seq=seq, wall_ns=START_NS + seq * 1_000_000))
    return found


class MemoryJournal:
    """A journal that holds its records in a list and its cursors' positions in a dict."""

    def __init__(self, held: Iterable[Record] = ()) -> None:
        self.records: list[Record] = list(held)
        self.positions: dict[str, int] = {}
        self.buried: list[tuple[str, DeadLetter]] = []
        """Dead letters, and whose they are."""
        self.values: dict[str, str] = {}
        """What `set_state` keeps."""
        self._next_seq = self.records[-1].seq + 1 if self.records else 1
        self._changed = asyncio.Event()
        self._closed = False

    @property
    def next_seq(self) -> int:
        """Position of the next record."""
        return self._next_seq

    def append(self, fresh: Sequence[Record]) -> None:
        """Take records, whose positions follow on from `next_seq`."""
        self.records += fresh
        self._next_seq = self.records[-1].seq + 1
        self._wake()

    def advance(self, seq: int) -> None:
        """Never give out a position up to `seq`."""
        self._next_seq = max(self._next_seq, seq + 1)

    def cursor(
        self,
        name: str,
        *,
        durable: bool = True,
        start: Literal["oldest", "newest"] | int = "newest",
    ) -> MemoryCursor:
        """Return a cursor; its position outlives it."""
        del durable
        if name not in self.positions:
            begin = {"oldest": 0, "newest": self._next_seq - 1}
            self.positions[name] = begin[start] if isinstance(start, str) else start
        return MemoryCursor(self, name)

    def bury(
        self, consumer: str, letters: Sequence[DeadLetter], acknowledge: tuple[str, int]
    ) -> None:
        """Keep letters and move a cursor."""
        name, seq = acknowledge
        self.buried += [(consumer, letter) for letter in letters]
        self.positions[name] = max(self.positions[name], seq)

    async def lasting(self) -> bool:
        """Return at once: nothing here outlives a crash."""
        return True

    def state(self, key: str) -> str | None:
        """Return a value."""
        return self.values.get(key)

    def set_state(self, key: str, value: str | None) -> None:
        """Keep a value, or forget it."""
        if value is None:
            self.values.pop(key, None)
        else:
            self.values[key] = value

    def close(self) -> None:
        """End every read."""
        self._closed = True
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def changed(self) -> None:
        """Wait for records; CursorClosed when there will be none."""
        if self._closed:
            raise CursorClosed("the journal is closed")
        await self._changed.wait()


class MemoryCursor:
    """A cursor over a MemoryJournal."""

    def __init__(self, journal: MemoryJournal, name: str) -> None:
        self._journal = journal
        self._name = name
        self._read_to = self.position
        self.missed = 0
        self.reads = 0
        """How often records were asked for."""
        self.closed = False

    @property
    def position(self) -> int:
        """Last position acknowledged."""
        return self._journal.positions[self._name]

    async def available(self, limit: int) -> list[Record]:
        """Return what is there behind the last read."""
        return self.read_now(limit)

    def read_now(self, limit: int) -> list[Record]:
        """Return what is there behind the last read."""
        found = [record for record in self._journal.records if record.seq > self._read_to][:limit]
        if found:
            self._read_to = found[-1].seq
        return found

    async def read(self, limit: int) -> list[Record]:
        """Wait for at least one record."""
        self.reads += 1
        while not (found := self.read_now(limit)):
            await self._journal.changed()
        return found

    def acknowledge(self, seq: int) -> None:
        """Remember the position."""
        self._journal.positions[self._name] = max(self.position, seq)
        self._read_to = max(self._read_to, seq)

    def lose(self, count: int) -> None:
        """Let the next `count` records go out of reach."""
        self.missed += count
        self._read_to += count

    def close(self) -> None:
        """Let go."""
        self.closed = True


class FaultyFiles(Files):
    """Real files whose next calls fail as planned; without a plan they work."""

    def __init__(self) -> None:
        self.plan: dict[str, deque[str | int]] = {}
        """Call -> what its next invocations do: an errno's name, or the bytes a write takes."""

    def fail(self, call: str, *faults: str | int) -> None:
        """Plan faults for the next invocations of a call; "" lets one through unharmed."""
        self.plan.setdefault(call, deque()).extend(faults)

    def heal(self) -> None:
        """Forget the plan."""
        self.plan.clear()

    def _next(self, call: str) -> str | int | None:
        faults = self.plan.get(call)
        fault = faults.popleft() if faults else None
        if isinstance(fault, str) and fault:
            number = getattr(errno, fault)
            raise OSError(number, os.strerror(number))
        return fault

    def open(self, path: Path, flags: int, mode: int = 0o600) -> int:
        """See `Files.open`."""
        self._next("open")
        return super().open(path, flags, mode)

    def write(self, fd: int, data: bytes | memoryview) -> int:
        """See `Files.write`."""
        fault = self._next("write")
        return super().write(fd, data[:fault] if isinstance(fault, int) else data)

    def ftruncate(self, fd: int, length: int) -> None:
        """See `Files.ftruncate`."""
        self._next("ftruncate")
        super().ftruncate(fd, length)

    def fsync(self, fd: int) -> None:
        """See `Files.fsync`."""
        self._next("fsync")
        super().fsync(fd)

    def rename(self, old: Path, new: Path) -> None:
        """See `Files.rename`."""
        self._next("rename")
        super().rename(old, new)

    def unlink(self, path: Path) -> None:
        """See `Files.unlink`."""
        self._next("unlink")
        super().unlink(path)

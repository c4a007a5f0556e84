"""The `unix` sink: events as lines of JSON over a Unix socket, whoever of the two listens.

With role "connect" it sends to a receiver that listens, and connects anew when that was away: what
it could not send waits in the journal.  With role "listen" it serves any number of readers
(kevmond/sinks/unix_readers.py), each from the moment it connects on.

That a socket took a line does not mean that the receiver did: it may die with lines unread.  A
receiver that wants every event therefore acknowledges (`acknowledge`): it writes back the `seq` of
the last event it is done with, as decimal digits and a newline, as often as it likes.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final, Literal

from pydantic import Field, model_validator

from kevmond.paths import StatePath
from kevmond.sinks.base import SinkSettings
from kevmond.sinks.unix_readers import SUFFIX, Readers
from kevmond.sinks.unix_sender import DatagramSender, StreamSender
from kevmond.units import Duration, Size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kevmond.events.event import Record

LONGEST_PATH: Final = 103
"""Bytes of a socket's path on macOS (sys/un.h); Linux has four more."""


class UnixSettings(SinkSettings):
    """A sink of type "unix"."""

    type: str = "unix"
    path: StatePath = Field(default=Path("events.sock"), validate_default=True)
    """The socket; at most 98 bytes long, with role connect 103: macOS takes no more."""
    role: Literal["listen", "connect"] = "listen"
    """listen: serve readers that connect; connect: send to a receiver that listens."""
    socket: Literal["stream", "datagram"] = "stream"
    """With role connect: the receiver's kind of socket; a datagram is one event without newline."""
    acknowledge: bool = False
    """With role connect, over a stream: events count as delivered when the receiver has written
    their `seq` (or a later one) back, one number a line, and not when they are sent."""
    mode: str = Field(default="0600", pattern=r"^0?[0-7]{3}$")
    """With role listen: permissions of the socket, as octal text; who may write it may connect."""
    max_readers: int = Field(default=64, ge=1, le=1024)
    """With role listen: most readers at once; one more is told so and sent away."""
    reader_buffer: Size = Field(default=1 << 20, ge=1 << 17)
    """With role listen: most bytes that wait for one reader."""
    patience: Duration = Field(default=1.0, gt=0)
    """With role listen: how long a reader whose buffer is full may hold up the others before it is
    cut off, unless it takes a whole buffer in that time."""

    @model_validator(mode="after")
    def _fits(self) -> UnixSettings:
        longest = LONGEST_PATH - (len(SUFFIX) + 1 if self.role == "listen" else 0)
        if len(os.fsencode(self.path)) > longest:
            raise ValueError(f"{self.path}: too long for a socket; at most {longest} bytes")
        if self.role == "listen" and (self.acknowledge or self.socket != "stream"):
            raise ValueError('acknowledge and socket = "datagram" need role = "connect"')
        if self.acknowledge and self.socket != "stream":
            raise ValueError('acknowledge needs socket = "stream"')
        return self


class UnixSink:
    """Writes the stable JSON of each event to a socket."""

    Settings: ClassVar[type[SinkSettings]] = UnixSettings

    def __init__(self, name: str, settings: UnixSettings) -> None:
        self._way: Readers | StreamSender | DatagramSender
        if settings.role == "listen":
            self._way = Readers(
                name,
                settings.path,
                mode=int(settings.mode, 8),
                most=settings.max_readers,
                buffer=settings.reader_buffer,
                patience=settings.patience,
            )
        else:
            sender = StreamSender if settings.socket == "stream" else DatagramSender
            self._way = sender(
                settings.path,
                acknowledged=settings.acknowledge,
                seconds=settings.write_timeout / 2,  # back before the runner's patience ends
            )

    async def open(self) -> None:
        """Connect, or begin to listen."""
        await self._way.open()

    async def write(self, batch: Sequence[Record]) -> int | None:
        """Send the batch; tell how many events are delivered."""
        return await self._way.write(batch)

    async def reopen(self) -> None:
        """Connect anew at the next write; or listen anew if the socket's file is not there."""
        await self._way.reopen()

    async def aclose(self) -> None:
        """Let go of the socket; readers get what waits for them if they take it quickly."""
        await self._way.aclose()

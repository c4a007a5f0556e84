"""What can be set for the journal: the `[journal]` table of the configuration."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from kevmond.paths import StatePath
from kevmond.units import Duration, Size


class Durability(StrEnum):
    """What a record that was handed to a consumer survives."""

    PROCESS = "process"
    """The death of kevmond by any signal (WAL, synchronous=NORMAL)."""
    POWER = "power"
    """A power cut or a panic as well: every commit waits for the platter (synchronous=FULL,
    fullfsync)."""


class JournalSettings(BaseModel):
    """[journal]: how events are kept."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    path: StatePath = Field(default=Path("journal.sqlite"), validate_default=True)
    """The database; beside it stand its -wal and -shm files and a .lock file."""
    durability: Durability = Durability.PROCESS
    """process: what was committed survives `kill -9`; power: also a power cut, at the price of one
    full flush to the disk for every commit."""
    max_age: Duration = Field(default=7 * 86400.0, gt=0)
    """Older records are given up, but none that a sink has still to take.  Looked at when records
    are written: an idle journal stays as it is."""
    max_bytes: Size = Field(default=256 << 20, ge=1 << 20)
    """Size of the database.  Beyond it the oldest records are given up even if a sink has still to
    take them; that is counted and said.  The -wal file takes about 4 MiB more."""
    window_records: int = Field(default=65536, ge=0)
    """Newest records kept in memory for the sinks that have still to take them; a sink further
    behind reads from the disk."""
    window_bytes: Size = Field(default=32 << 20, ge=0)
    """Memory that those may take."""
    held_records: int = Field(default=262144, ge=1)
    """Records kept in memory while the disk is slow or refuses to take them (it is full, say);
    beyond it the oldest of them are lost, which is counted and said."""
    held_bytes: Size = Field(default=256 << 20, ge=1 << 16)
    """Memory that those may take."""

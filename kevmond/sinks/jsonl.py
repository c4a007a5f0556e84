"""The `jsonl` sink: every event as one line of JSON in a file that rotates and never tears.

What it promises, each with a test:
- every line is whole and every event is there once, over all files, whatever kills the daemon and
  whenever (with `sync` also when the power fails);
- the files hold together at most `total_bytes` (kevmond/sinks/rotation.py says what counts);
- a file that is moved, deleted or cut by somebody else is noticed at the next batch.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from pydantic import Field, model_validator

from kevmond.paths import StatePath
from kevmond.sinks.base import SinkSettings
from kevmond.sinks.files import Files, refused
from kevmond.sinks.linefile import LineFile
from kevmond.sinks.rotation import Shelf
from kevmond.units import Duration, Size
from kevmond.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kevmond.events.event import Record

T = TypeVar("T")


class JsonlSettings(SinkSettings):
    """A sink of type "jsonl"."""

    type: str = "jsonl"
    path: StatePath = Field(default=Path("events.jsonl"), validate_default=True)
    """The file that is written; rotated ones stand beside it, named by position and time."""
    mode: str = Field(default="0600", pattern=r"^0?[0-7]{3}$")
    """Permissions of every file, as octal text."""
    directory_mode: str = Field(default="0700", pattern=r"^0?[0-7]{3}$")
    """Permissions of the folder, where it has to be made."""
    max_bytes: Size = Field(default=16 << 20, ge=0)
    """Size at which a new file is begun; 0 leaves rotation to another program (and SIGHUP)."""
    max_age: Duration = Field(default=86400.0, ge=0)
    """Time span of events in one file, looked at when an event arrives; 0 for no limit."""
    keep: int = Field(default=14, ge=0)
    """How many rotated files are kept."""
    total_bytes: Size = Field(default=256 << 20, ge=0)
    """Most bytes in all files together, the unfinished compressed one included; 0 for no limit."""
    compress: bool = True
    """Whether rotated files are compressed by gzip."""
    sync: bool = False
    """Whether each batch is brought to the medium before it counts as written: what the file holds
    then outlives a power failure too, at the price of a wait for the disk with every batch."""

    @model_validator(mode="after")
    def _bounds_fit(self) -> JsonlSettings:
        if self.total_bytes and not self.max_bytes:
            raise ValueError("total_bytes needs max_bytes: set total_bytes = 0 as well")
        if self.total_bytes and self.total_bytes < 2 * self.max_bytes:
            raise ValueError(
                f"total_bytes must be at least twice max_bytes ({2 * self.max_bytes} bytes)"
            )
        return self


class JsonlSink:
    """Writes the stable JSON of each event, one line each."""

    Settings: ClassVar[type[SinkSettings]] = JsonlSettings

    def __init__(self, name: str, settings: JsonlSettings, *, files: Files | None = None) -> None:
        files = files or Files()
        self._path = settings.path
        self._worker = Worker(f"sink-{name}")
        self._shelf = Shelf(
            settings.path,
            files=files,
            mode=int(settings.mode, 8),
            keep=settings.keep,
            total_bytes=settings.total_bytes,
            compress=settings.compress,
            trouble=self._say,
        )
        self._file = LineFile(
            settings.path,
            self._shelf,
            files=files,
            mode=int(settings.mode, 8),
            directory_mode=int(settings.directory_mode, 8),
            max_bytes=settings.max_bytes,
            max_age=settings.max_age,
            sync=settings.sync,
        )

    async def open(self) -> int | None:
        """Take the file over, cut a torn line off, and tell the last event it holds."""
        return await self._worker.run(self._do, self._file.open)

    async def write(self, batch: Sequence[Record]) -> None:
        """Append the batch in one write."""
        await self._worker.run(self._do, self._file.write, batch)

    async def reopen(self) -> None:
        """Let go of the file and open what is at the path now."""
        await self._worker.run(self._do, self._file.reopen)

    async def aclose(self) -> None:
        """Let go of all files; compression that is not finished is done by the next start."""
        await self._worker.end(self._file.close)

    def _do(self, job: Callable[..., T], *args: Any) -> T:
        try:
            return job(*args)
        except OSError as error:
            raise refused(self._path, "cannot be used", error) from error

    def _say(self, trouble: str) -> None:
        import structlog  # noqa: PLC0415 - only in trouble

        structlog.get_logger("kevmond.sinks").warning(
            "jsonl", file=str(self._path), trouble=trouble
        )

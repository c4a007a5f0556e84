"""The whole configuration as models; what belongs to a room is declared in that room."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Self

from pydantic import BaseModel, ConfigDict, Field, SerializeAsAny, field_validator, model_validator

from kevmond.api.settings import ApiSettings
from kevmond.capture.settings import CaptureSettings
from kevmond.control.settings import ControlSettings
from kevmond.errors import ConfigError
from kevmond.journal.settings import JournalSettings
from kevmond.kernel.select import check_spec
from kevmond.paths import default_state_dir
from kevmond.sinks.base import SinkSettings
from kevmond.units import Duration

if TYPE_CHECKING:
    from collections.abc import Mapping


class Section(BaseModel):
    """A table of the configuration: frozen, and strict about unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class LogLevel(StrEnum):
    """How much the daemon says of itself on stderr."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class DaemonSettings(Section):
    """[daemon]: the process itself."""

    state_dir: Path = Field(default_factory=default_state_dir)
    """Folder of the journal and of every file named by a relative path; made with mode 0700."""
    user: str | None = Field(default=None, min_length=1)
    """User to go on as when started as root: the state folder becomes that user's, and root is
    given up for good before anything is opened."""
    group: str | None = Field(default=None, min_length=1)
    """Group to go on with, beside the user's others; without it the user's own."""
    drain_deadline: Duration = Field(default=5.0, gt=0)
    """How long a stopping daemon lets its sinks finish; what is left stays in the journal."""
    log_level: LogLevel = LogLevel.WARNING
    """How much the daemon says of itself on stderr; what happens to events is in the stream."""

    @field_validator("state_dir")
    @classmethod
    def _at_home(cls, state_dir: Path) -> Path:
        try:
            return state_dir.expanduser()
        except RuntimeError as error:  # a home folder that does not exist
            raise ValueError(str(error)) from None

    @model_validator(mode="after")
    def _group_of_a_user(self) -> Self:
        if self.group is not None and self.user is None:
            raise ValueError("group is for the user to go on as: name daemon.user, too")
        return self


class KernelSettings(Section):
    """[kernel]: where events come from."""

    source: str = "auto"
    """auto (the real kernel on macOS, else the simulated one), darwin, simulated,
    simulated:PATH (one served by `kevmond simulate`), or replay:FILE (a recording)."""
    story: str = "tour"
    """What the embedded simulated kernel tells: a name (`kevmond simulate --list`) or a file."""
    loop: bool = True
    """Whether the embedded simulated kernel tells its story again when it ends."""
    speed: float = Field(default=1.0, gt=0)
    """How fast the embedded simulated kernel tells it; 2 is twice as fast."""

    @field_validator("source")
    @classmethod
    def _known(cls, source: str) -> str:
        try:
            check_spec(source)
        except ConfigError as error:
            raise ValueError(str(error)) from None
        return source


class Settings(Section):
    """Everything that can be set."""

    daemon: DaemonSettings = Field(default_factory=DaemonSettings)
    """The process itself."""
    kernel: KernelSettings = Field(default_factory=KernelSettings)
    """Where events come from."""
    capture: CaptureSettings = Field(default_factory=CaptureSettings)
    """How they are read, and what loss is watched for."""
    journal: JournalSettings = Field(default_factory=JournalSettings)
    """How they are kept."""
    api: ApiSettings = Field(default_factory=ApiSettings)
    """How the daemon can be asked."""
    control: dict[str, ControlSettings] = Field(default_factory=dict)
    """Kernel controls to keep a channel to: one table a channel, [control.NAME]."""
    sinks: dict[str, SerializeAsAny[SinkSettings]] = Field(default_factory=dict)
    """Where they go: one table a sink, [sinks.NAME]."""

    @field_validator("control")
    @classmethod
    def _reachable(cls, channels: dict[str, ControlSettings]) -> dict[str, ControlSettings]:
        for name, channel in channels.items():
            try:
                channel.target(name)
            except ConfigError as error:
                raise ValueError(str(error)) from None
        return channels


DEFAULT_SINKS: Mapping[str, Mapping[str, str]] = {
    "log": {"type": "log"},
    "jsonl": {"type": "jsonl", "path": "events.jsonl"},
}
"""The sinks of a configuration that names none at all."""

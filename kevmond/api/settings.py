"""What can be set for the API: the `[api]` tables of the configuration."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

HTTP_PORT = 8631
"""Port of the live page on loopback, unless another is set."""


class HttpSettings(BaseModel):
    """[api.http]: the live page and the API on this machine's loopback address, by token."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    enabled: bool = False
    """Whether it listens all the time; if not, `kevmond open` has it listen at a port that the
    system chooses, for as long as somebody looks."""
    port: int = Field(default=HTTP_PORT, ge=1, le=65535)
    """TCP port at 127.0.0.1 and ::1, where it listens all the time."""


class MetricsSettings(BaseModel):
    """[api.metrics]: GET /metrics for Prometheus on this machine's loopback address."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    port: int | None = Field(default=None, ge=1, le=65535)
    """TCP port at 127.0.0.1 and ::1; without one there is no such listener.  Every user of this
    machine can read it: it tells figures and the names of sinks, no event."""


class ApiSettings(BaseModel):
    """[api]: the API on a Unix socket in the state folder."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    group: str | None = Field(default=None, min_length=1)
    """Group whose members may ask, and change, all that the daemon's own user may; without one,
    only that user and root."""
    http: HttpSettings = Field(default_factory=HttpSettings)
    """The live page on loopback."""
    metrics: MetricsSettings = Field(default_factory=MetricsSettings)
    """Metrics on loopback."""

    @model_validator(mode="after")
    def _two_ports(self) -> Self:
        if self.http.enabled and self.http.port == self.metrics.port:
            raise ValueError(f"http.port and metrics.port are both {self.metrics.port}")
        return self

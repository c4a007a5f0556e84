"""What can be set for a control channel: a `[control.NAME]` table of the configuration."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from kevmond.control.target import ControlTarget
from kevmond.errors import ConfigError
from kevmond.units import Duration, Size


class ControlSettings(BaseModel):
    """[control.NAME]: a kernel control to keep a channel to; its messages enter the stream."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    enabled: bool = True
    """Whether it is connected to."""
    control: str = ""
    """Name of the kernel control, or "id:unit" for one with a static id; the section's own name if
    this is empty."""
    protocol: Literal["raw", "sample"] = "raw"
    """What it speaks: raw (bytes as they are), or sample (that of the sample kernel extension)."""
    type: Literal["auto", "dgram", "stream"] = "auto"
    """Messages or a byte stream; auto finds out."""
    send_space: Size | None = Field(default=None, ge=1, le=1 << 30)
    """Longest message that can be sent, where the control's own bound is too low."""
    receive_space: Size | None = Field(default=None, ge=1, le=1 << 30)
    """What the kernel queues for us, where the control's own bound is too low; beyond it, messages
    to us are lost."""
    subscribe: tuple[Literal["clients", "commands", "events"], ...] = ()
    """Notices to ask for, with the sample protocol."""
    retry_initial: Duration = Field(default=0.2, gt=0)
    """Upper bound of the first wait after a failed attempt to connect; it doubles."""
    retry_maximum: Duration = Field(default=30.0, gt=0)
    """Upper bound of every such wait."""
    poll: Duration = Field(default=60.0, gt=0)
    """How often a control that is not there is looked for though the kernel told of none."""
    goodbye_wait: Duration = Field(default=30.0, gt=0)
    """After a goodbye, how long to stay away from a control that is not unloaded after all."""
    max_text: int = Field(default=4096, ge=0)
    """Most bytes of a message that are shown; its size is always told."""

    @field_validator("control")
    @classmethod
    def _known(cls, control: str) -> str:
        if control:
            try:
                ControlTarget.parse(control)
            except ConfigError as error:
                raise ValueError(str(error)) from None
        return control

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.protocol == "raw" and self.subscribe:
            raise ValueError('subscribe: needs protocol = "sample"')
        if self.protocol == "sample" and self.type == "stream":
            raise ValueError('type: the sample protocol is one of messages, not "stream"')
        if self.retry_initial > self.retry_maximum:
            raise ValueError("retry_initial: larger than retry_maximum")
        return self

    def target(self, name: str) -> ControlTarget:
        """Return the control that a section of this name means; ConfigError if it can be none."""
        try:
            return ControlTarget.parse(self.control or name)
        except ConfigError as error:
            raise ConfigError(f"control.{name}: {error}") from None

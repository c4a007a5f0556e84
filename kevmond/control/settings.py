"""What can be set for a control channel: a `[control.NAME]` table of the configuration."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from kevmond.control.sample_abi import CONTROL_NAME, speaks_sample
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
    protocol: Literal["auto", "raw", "sample"] = "auto"
    """What it speaks: raw (bytes as they are), or sample (that of the sample kernel extension);
    auto is sample for the sample's own name, else raw."""
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

    @model_validator(mode="before")
    @classmethod
    def _table(cls, given: Any) -> Any:
        if not isinstance(given, (dict, ControlSettings)):
            raise ValueError("write a table: [control.NAME]")  # noqa: TRY004 - pydantic's own
        return given

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
        if self.control or self.protocol != "auto":
            self._check_protocol(self.control)
        if self.retry_initial > self.retry_maximum:
            raise ValueError("retry_initial: larger than retry_maximum")
        return self

    def target(self, name: str) -> ControlTarget:
        """Return the control that a section of this name means; ConfigError if it can be none."""
        try:
            target = ControlTarget.parse(self.control or name)
            self._check_protocol(target.name)
        except (ConfigError, ValueError) as error:
            raise ConfigError(f"control.{name}: {error}") from None
        return target

    def speaks_sample(self, control: str) -> bool:
        """Whether the control of this name is spoken to in the sample protocol."""
        return speaks_sample(control, self.protocol)

    def _check_protocol(self, control: str) -> None:
        sample = self.speaks_sample(control)
        if self.subscribe and not sample:
            raise ValueError(
                f'subscribe: needs protocol = "sample", which "auto" means for {CONTROL_NAME} alone'
            )
        if sample and self.type == "stream":
            raise ValueError('type: the sample protocol is one of messages, not "stream"')

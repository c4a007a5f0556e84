"""What can be set for capture: the `[capture]` table of the configuration."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from kevmond.units import Duration, Size


class CaptureSettings(BaseModel):
    """[capture]: how events are read from the kernel, and what loss is watched for."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    receive_space: Size = Field(default=8 << 20, ge=1024, le=1 << 30)
    """Receive buffer to ask the kernel for; it grants what it can, and what it granted is said.
    The kernel drops events, silently, while the buffer is full."""
    narrow: bool = True
    """Set the narrowest kernel filter that covers what the sinks want.  With `false` the kernel
    delivers every event whatever they want, so that the ids prove every loss."""
    vendors: tuple[str, ...] = ()
    """Vendor strings of third-party kernel extensions ("org.mklinux.nke"), so that their codes can
    be shown by name: the kernel tells the code of a name, never the name of a code."""
    batch_size: int = Field(default=256, ge=1, le=4096)
    """Most messages read before other work gets its turn."""
    loss_age: Duration = Field(default=0.25, gt=0, le=60)
    """How long a missing id is waited for, once the socket is empty, before it counts as lost."""
    loss_window: int = Field(default=1024, ge=1)
    """After how many later messages it counts as lost though the socket is never empty."""
    loss_report_interval: Duration = Field(default=10.0, gt=0)
    """A loss is reported at once, and then no more often than this while it goes on."""
    heartbeat: Duration = Field(default=60.0, ge=10)
    """How often an idle daemon looks at the clocks and counters."""
    wake_jump: Duration = Field(default=20.0, gt=0)
    """By how much the wall clock must run ahead of the monotonic one to mean that we slept."""
    snapshot: bool = True
    """Take the state of all interfaces at start, and again after a loss, a sleep or a reopening."""
    snapshot_timeout: Duration = Field(default=5.0, gt=0)
    """How long the system may take to tell the state of the interfaces."""
    resync_interval: Duration = Field(default=10.0, gt=0)
    """The state is taken again no more often than this, however long a loss goes on."""
    reopen_initial: Duration = Field(default=0.2, gt=0)
    """Upper bound of the first wait before a failed socket is opened again; it doubles."""
    reopen_maximum: Duration = Field(default=30.0, gt=0)
    """Upper bound of every such wait."""

"""What a sink is: the Protocol it answers, and the settings every sink has.

A sink is one class in one file (docs/adding-a-sink.md).  It opens, takes batches, reopens and
closes; cursors, filters, retries, health and counters are the runner's (`kevmond.sinks.runner`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Protocol

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from kevmond.errors import FilterError
from kevmond.events.filters import Rule, parse_rule
from kevmond.units import Duration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kevmond.events.event import Record


def _read_rule(given: object) -> object:
    """Take a rule as text too; pydantic wants a ValueError where it is wrong."""
    if not isinstance(given, str):
        return given
    try:
        return parse_rule(given)
    except FilterError as error:
        raise ValueError(str(error)) from error


class SinkSettings(BaseModel):
    """What can be set for every sink; a sink's own `Settings` adds to it."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    type: str = ""
    """Which kind of sink: a name registered under the entry points `kevmond.sinks`."""
    enabled: bool = True
    """Whether it runs; a sink that does not keeps no place in the journal."""
    filter: tuple[Annotated[Rule, BeforeValidator(_read_rule)], ...] = ()
    """Rules, as tables or as text ("class=network severity>=notice"): an event passes if one of
    them matches it and no dropping one does; without any, every event passes."""
    start: Literal["newest", "oldest"] = "newest"
    """Where a sink with a new name begins: with what comes, or with all that the journal holds."""
    batch_size: int = Field(default=256, ge=1, le=10_000)
    """Most records handed over at once."""
    write_timeout: Duration = Field(default=30.0, gt=0)
    """How long one batch may take before it counts as refused."""
    drain_deadline: Duration | None = Field(default=None, ge=0)
    """How long a stopping daemon lets this sink finish, where that is to be less than
    `daemon.drain_deadline`; what is left waits in the journal."""
    retry_initial: Duration = Field(default=0.5, gt=0)
    """Upper bound of the first wait after a refusal; it doubles with each one that follows.  There
    is no last attempt: what waits, waits in the journal, whose retention is the bound."""
    retry_maximum: Duration = Field(default=60.0, gt=0)
    """Upper bound of every such wait, and of the wait that a receiver may ask for."""


class Sink(Protocol):
    """A way out for events.

    The runner never calls two methods at once, with one exception: `aclose` may come after a
    `write` that was cancelled (deadline or timeout).  Blocking work belongs in a thread
    (`kevmond.worker.Worker`), never on the event loop.
    """

    Settings: ClassVar[type[SinkSettings]]
    """The model of its table in the configuration."""

    def __init__(self, name: str, settings: Any) -> None:
        """Take the sink's name in the configuration and an instance of its own `Settings`.

        The outside world is not touched before `open`.
        """
        ...

    async def open(self) -> int | None:
        """Get ready; return the last position (`seq`) that this sink surely holds, None if unknown.

        Raises RetryableError (tried again) or PermanentError (this sink stays failed).
        """
        ...

    async def write(self, batch: Sequence[Record]) -> None:
        """Take a batch (never empty, `seq` rising), all or nothing as far as that is possible.

        Returning means taken: the records are acknowledged.  RetryableError offers the same batch
        again, after `after` seconds if it is given; PermanentError gives the batch up, counted and
        said.  Any other exception counts as retryable.
        """
        ...

    async def reopen(self) -> None:
        """SIGHUP: let go of what is open and open it again (a file that was moved away, say)."""
        ...

    async def aclose(self) -> None:
        """Finish and let go; also right without `open`, and twice."""
        ...

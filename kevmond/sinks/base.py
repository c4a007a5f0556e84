"""What a sink is: the Protocol it answers, and the settings every sink has.

A sink is one class in one file (docs/adding-a-sink.md).  It opens, takes batches, reopens and
closes; cursors, filters, retries, health and counters are the runner's (`kevmond.sinks.runner`).
"""

from __future__ import annotations

from dataclasses import dataclass
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
    linger: Duration = Field(default=0.0, ge=0)
    """How long a batch that is not full yet waits for more records; 0 hands over what is there."""
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


@dataclass(frozen=True, slots=True)
class DeliveryPolicy:
    """How long a sink's receiver is waited for, and what becomes of records it never takes.

    A sink whose class or instance has one as `policy` is driven by it instead of by the settings
    `retry_initial` and `retry_maximum`, and what it never takes goes to the dead letters of the
    journal instead of being dropped.  Seconds throughout.
    """

    schedule: tuple[float, ...]
    """Waits before the second attempt, the third and so on, as published; the last one repeats.
    Each is drawn evenly between half of it and all of it."""
    give_up_after: float | None = None
    """A batch that has failed for longer, since its first attempt, goes to the dead letters, and
    the next one is tried.  Time in which nothing could be tried does not count."""
    disable_after: float | None = None
    """A sink that has taken nothing for longer than this is disabled; None: never.  Time in which
    there was nothing to take, or nothing could be tried, does not count."""

    def __post_init__(self) -> None:
        """Refuse a schedule that is none."""
        if not self.schedule:
            raise ValueError("a schedule has at least one wait")
        if min(self.schedule) < 0:
            raise ValueError("a schedule has no negative waits")


def policy_of(sink: Sink) -> DeliveryPolicy | None:
    """Return the sink's own policy; None if it has none, which is as good as any sink's."""
    policy = getattr(sink, "policy", None)
    return policy if isinstance(policy, DeliveryPolicy) else None


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

    async def write(self, batch: Sequence[Record]) -> int | None:
        """Take a batch (never empty, `seq` rising), all or nothing as far as that is possible.

        Returning means taken, and acknowledged: all of it, or as many records from the front as the
        number returned (at least one), and the rest is offered again.  RetryableError offers the
        same batch again, after `after` seconds if it is given; UnreachableError too, and it was no
        attempt; PermanentError gives the batch up, counted and said; GoneError disables the sink.
        Any other exception counts as retryable.
        """
        ...

    async def reopen(self) -> None:
        """SIGHUP: let go of what is open and open it again (a file that was moved away, say)."""
        ...

    async def aclose(self) -> None:
        """Finish and let go; also right without `open`, and twice."""
        ...

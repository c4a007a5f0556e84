"""What stands in for a plug-in that cannot be used: a sink that fails, and says why.

So a plug-in that does not import stops neither the daemon nor another sink, its events stay in the
journal, and the reason is in the stream like that of any other failure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import ConfigDict

from kevmond.errors import PermanentError
from kevmond.sinks.base import SinkSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kevmond.events.event import Record
    from kevmond.sinks.base import Sink


class BrokenSettings(SinkSettings):
    """Settings that cannot be checked, because whoever could does not import."""

    model_config = ConfigDict(extra="allow")


class UnreadableSettings(SinkSettings):
    """What stands in for settings, kept by a run before, that this version does not understand."""

    why: str
    """What is wrong with them."""


def broken(why: str) -> type[Sink]:
    """Return a sink's class that takes any settings and never opens."""

    class BrokenSink:
        Settings: ClassVar[type[SinkSettings]] = BrokenSettings

        def __init__(self, name: str, settings: Any) -> None:
            pass

        async def open(self) -> None:
            raise PermanentError(why)

        async def write(self, batch: Sequence[Record]) -> None:  # noqa: ARG002 - never called
            raise PermanentError(why)

        async def reopen(self) -> None:
            pass

        async def aclose(self) -> None:
            pass

    return BrokenSink

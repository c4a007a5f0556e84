"""One call of a sink, bounded in time; whatever comes of it is one of two kinds of error."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from kevmond.errors import KevmondError, PermanentError, RetryableError
from kevmond.timelimit import TimeLimit

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

P = ParamSpec("P")
T = TypeVar("T")


class Caller:
    """Calls a sink's methods, never two at once."""

    def __init__(self, seconds: float) -> None:
        """Take how long one call may last."""
        self._limit = TimeLimit(seconds)
        self._turn = asyncio.Lock()

    @property
    def busy(self) -> bool:
        """Whether a call is under way."""
        return self._turn.locked()

    async def call(self, method: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call the sink.

        What it raises becomes PermanentError or RetryableError (GoneError and UnreachableError are
        such), with a text of one line.
        """
        try:
            async with self._turn:
                with self._limit:
                    return await method(*args, **kwargs)
        except (PermanentError, RetryableError):
            raise
        except TimeoutError as error:
            late = f"no answer within {self._limit.seconds:g} s"
            raise RetryableError(late if self._limit.expired else text_of(error)) from error
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise RetryableError("it cancelled itself") from error
        except Exception as error:  # a sink may fail in any way
            raise RetryableError(text_of(error)) from error


def text_of(error: BaseException) -> str:
    """Return what went wrong in one line; an error not of kevmond's own with its name."""
    text = " ".join(str(error).split())
    if isinstance(error, KevmondError) and text:
        return text
    name = type(error).__name__
    return f"{name}: {text}" if text else name

"""A story made of a recording: its messages, at their recorded distances."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kevmond.kernel import abi
from kevmond.kernel.recording import Recorded, read_recording
from kevmond.stories.model import Inject, Post, Step, Story

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator
    from pathlib import Path

_UNKNOWN_PAUSE_S: Final = 0.1
"""Between messages whose times were not recorded."""


def read(path: Path) -> Story:
    """Read a recording; raises RecordingError, naming file and line."""
    messages = list(read_recording(path))

    def steps(_: random.Random) -> Iterator[Step]:
        before: Recorded | None = None
        for message in messages:
            news = before is None or message.trigger != before.trigger
            yield Step(
                _after(before, message), _action(message.raw), (news and message.trigger) or ""
            )
            before = message

    return Story(path.name, f"{len(messages)} recorded messages", steps)


def _after(before: Recorded | None, message: Recorded) -> float:
    if before is None:
        return 0.0
    if before.wall_ns is None or message.wall_ns is None:
        return _UNKNOWN_PAUSE_S
    return max(0.0, (message.wall_ns - before.wall_ns) / 1e9)


def _action(raw: bytes) -> Post | Inject:
    """Let the kernel post a sound message anew, so that ids follow on; inject any other."""
    sound = len(raw) >= abi.KEV_MSG_HEADER_SIZE and abi.HEADER.unpack_from(raw)[0] == len(raw)
    return Post(raw) if sound else Inject(raw)

"""How a run begins in the stream: what started, and first of all what it missed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from kevmond import __version__
from kevmond.events import own
from kevmond.events.event import timestamp

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kevmond.capture.position import Position
    from kevmond.capture.socket import Opened
    from kevmond.events.filters import EventFilter
    from kevmond.events.own_payload import OwnPayload
    from kevmond.journal.journal import Journal


def first_words(
    kernel: str,
    opened: Opened,
    journal: Journal,
    *,
    filters: Sequence[EventFilter],
    before: Position | None,
) -> Iterator[OwnPayload]:
    """Yield the first records of a run; `before` is how far the run before had come, if known."""
    identity = opened.identity
    missed = before.missed(identity.boot_id, opened.last_id) if before is not None else None
    yield own.Start(
        version=__version__,
        pid=os.getpid(),
        kernel=kernel,
        os_release=identity.os_release,
        os_build=identity.os_build,
        receive_space=opened.sock.receive_space,
        filter=[str(rule) for one in filters for rule in one.rules],
        journal_next_seq=journal.next_seq,
        clean_stop=None if journal.first_run else journal.clean_stop_ns is not None,
        missed=missed,
    )
    if before is None:
        return
    if before.boot_id != identity.boot_id:
        yield own.Boot(previous_boot_id=before.boot_id)
    yield own.Missed(
        count=missed,
        previous_id=before.last_id,
        current_id=opened.last_id,
        since=timestamp(before.wall_ns),
        detail=_what_is_not_known(missed, narrow=not opened.kernel_filter.is_open),
    )


def _what_is_not_known(missed: int | None, *, narrow: bool) -> str | None:
    if missed is None:
        return "another boot: its events are not known"
    if narrow:
        return "of all events of the machine, not only of those that are asked for"
    return None

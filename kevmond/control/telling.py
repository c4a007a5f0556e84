"""A control's messages as records of the stream."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from kevmond.control.sample import Message, fields
from kevmond.events.control import ControlLoss, ControlMessage

if TYPE_CHECKING:
    from collections.abc import Callable

LOSS_INTERVAL: Final = 1.0
"""Seconds; a loss is told at once, and then no more often than this while it goes on."""

UNREAD: Final = "more came while the channel was closed, and was not read"
"""What to say where that much is known, and not how much it was."""

_WHITE: Final = str.maketrans("", "", "\n\r\t")


def raw_message(channel: str, control: str, unit: int, data: bytes, limit: int) -> ControlMessage:
    """Make the record of bytes as they came; `limit` is how many of them are shown."""
    return ControlMessage(
        channel=channel, control=control, unit=unit, size=len(data), **_shown(data, limit)
    )


def sample_message(
    channel: str, control: str, unit: int, message: Message, limit: int
) -> ControlMessage:
    """Make the record of a message of the sample protocol."""
    known = fields(message)
    return ControlMessage(
        channel=channel,
        control=control,
        unit=unit,
        message=message.word,
        sequence=message.sequence,
        reply_to=message.reply_to or None,
        size=len(message.payload),
        fields=known,
        **({} if known is not None else _shown(message.payload, limit)),
    )


def _shown(data: bytes, limit: int) -> dict[str, Any]:
    """Return text or hex of the beginning of `data`, and whether there is more of it."""
    if not data:
        return {}
    truncated = len(data) > limit
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = None
    if text is None or not text.translate(_WHITE).isprintable():
        return {"data": data[:limit].hex(), "truncated": truncated}
    if truncated:
        text = data[:limit].decode(errors="ignore")  # it may end within a character
    return {"text": text, "truncated": truncated}


_FULL: Final = "the kernel's queue for this channel was full: raise receive_space"


class LossTeller:
    """Tells the losses of one connection, rarely enough not to add to what causes them."""

    def __init__(
        self,
        tell: Callable[[ControlLoss], None],
        channel: str,
        control: str,
        unit: int,
    ) -> None:
        self._tell = tell
        self._names = {"channel": channel, "control": control, "unit": unit}
        self._total = 0
        self._told = 0
        self._timer: asyncio.TimerHandle | None = None

    def note(self, total: int) -> None:
        """Take note of how many messages are lost by now."""
        self._total = max(self._total, total)
        if self._total > self._told and self._timer is None:
            self._report()
            self._timer = asyncio.get_running_loop().call_later(LOSS_INTERVAL, self._again)

    def flush(self) -> None:
        """Tell what is not told yet; the connection is over."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._report()

    def unread(self, total: int) -> None:
        """Tell, last of all, what was left unread: at least so much."""
        self._total = total
        self._report(UNREAD)

    def _again(self) -> None:
        self._timer = None
        self.note(self._total)

    def _report(self, detail: str = _FULL) -> None:
        lost, self._told = self._total - self._told, self._total
        if lost:
            self._tell(
                ControlLoss(
                    **self._names,
                    lost=lost,
                    total=self._total,
                    detail=detail,
                )
            )

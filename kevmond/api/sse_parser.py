"""Server-sent events, read from bytes as they come (HTML Living Standard, section 9.2.6)."""

from __future__ import annotations

from typing import Final, NamedTuple

_MARK: Final = b"\xef\xbb\xbf"
"""Byte order mark, which may stand before the first line."""


class ServerEvent(NamedTuple):
    """One server-sent event."""

    id: str | None
    """The cursor behind it: the last id that came, with it or before; None if none did."""
    event: str
    data: bytes
    """UTF-8; of kevmond's daemon JSON on one line."""


class Parser:
    """Takes bytes cut anywhere; an event that the end cuts off is none."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []  # of a line without its end so far
        self._begun = False
        self._after_cr = False
        self._id: str | None = None
        self._kind = b""
        self._data: list[bytes] = []

    def feed(self, data: bytes) -> list[ServerEvent]:
        """Take the next bytes; return the events that are whole by now."""
        if self._after_cr and data:
            data = data.removeprefix(b"\n")
        self._after_cr = data.endswith(b"\r") or (self._after_cr and not data)
        if b"\r" in data:
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        self._pieces.append(data)
        if b"\n" not in data:
            return []
        lines = b"".join(self._pieces).split(b"\n")
        self._pieces = [lines.pop()]
        if not self._begun:
            self._begun = True
            lines[0] = lines[0].removeprefix(_MARK)
        return [event for line in lines if (event := self._take(line)) is not None]

    def _take(self, line: bytes) -> ServerEvent | None:
        if not line:
            return self._end()
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
        elif name == b"event":
            self._kind = value
        elif name == b"id" and b"\0" not in value:
            self._id = value.decode("utf-8", "replace")
        return None

    def _end(self) -> ServerEvent | None:
        kind, data = self._kind or b"message", self._data
        self._kind, self._data = b"", []
        if not data:
            return None
        return ServerEvent(self._id, kind.decode("utf-8", "replace"), b"\n".join(data))

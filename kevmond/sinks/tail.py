"""The end of a JSON-lines file: where the last whole line stops, and which event it holds."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pydantic_core import from_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kevmond.sinks.files import Files

_BLOCK: Final = 1 << 16
_LONGEST: Final = 1 << 24
"""No line of kevmond is longer; what is, is no file of kevmond's."""
_BEGINNING: Final = b'{"schema":"kevmond/'


class Tail(NamedTuple):
    """What was found at the end of a file."""

    whole: int
    """Bytes up to and including the newline of the last whole line."""
    seq: int | None
    """Position of the last event; None if there is none."""
    foreign: bool
    """True if the file holds something, and none of it is an event of kevmond's."""


def read_tail(files: Files, fd: int, size: int) -> Tail:
    """Look at the last lines of an open file of `size` bytes.

    Behind the last whole line there may be a torn one (killed while writing), or zero bytes (the
    power went before the data reached the medium); both lie behind `whole`.
    """
    if size == 0:
        return Tail(0, None, foreign=False)
    lines = _backwards(lambda length, offset: files.pread(fd, length, offset), size)
    torn = next(lines)
    whole = size - len(torn)
    for end, line in _with_ends(lines, whole):
        found = sequence_of(line)
        if found is not None:
            return Tail(end if b"\0" in _between(files, fd, end, whole) else whole, found, False)
        if size - end > _LONGEST:
            break
    if whole == 0 and (torn.startswith(_BEGINNING) or _BEGINNING.startswith(torn.rstrip(b"\0"))):
        return Tail(0, None, foreign=False)
    return Tail(whole, None, foreign=True)


def sequence_of(line: bytes) -> int | None:
    """Return the position of the event in a line, None if the line is no event."""
    event = _event(line)
    return None if event is None else event["seq"]


def first_time(files: Files, fd: int) -> str | None:
    """Return the time of the first event of a file, None if it cannot be read."""
    head = files.pread(fd, _BLOCK, 0)
    line, newline, _ = head.partition(b"\n")
    event = _event(line) if newline else None
    time = None if event is None else event.get("time")
    return time if isinstance(time, str) else None


def last_sequence_gzip(read: Callable[[int], bytes]) -> int | None:
    """Return the position of the last event in a gzip stream, as far as the stream is whole."""
    unzip = zlib.decompressobj(wbits=31)
    line = b""
    last = None
    while True:
        block = read(_BLOCK)
        try:
            text = unzip.decompress(block) if block else b""
        except zlib.error:
            text = b""
            block = b""
        before, newline, rest = text.rpartition(b"\n")
        if newline:
            last = (line + before).rpartition(b"\n")[2]
            line = rest
        else:
            line += rest
        if not block or unzip.eof:
            return None if last is None else sequence_of(last)


def is_whole_gzip(read: Callable[[int], bytes]) -> bool:
    """Tell whether a gzip stream can be read to its end, check sum included."""
    unzip = zlib.decompressobj(wbits=31)
    try:
        while not unzip.eof:
            block = read(_BLOCK)
            if not block:
                return False
            unzip.decompress(block)
    except zlib.error:
        return False
    return True


def _event(line: bytes) -> dict[str, Any] | None:
    try:
        found = from_json(line)
    except ValueError:
        return None
    if isinstance(found, dict) and type(found.get("seq")) is int:
        return found
    return None


def _backwards(pread: Callable[[int, int], bytes], end: int) -> Iterator[bytes]:
    """Yield what stands behind the last newline, then the lines before it, the last one first."""
    head = b""
    while end > 0:
        start = max(0, end - _BLOCK)
        block = pread(end - start, start) + head
        end = start
        head, *lines = block.split(b"\n")
        yield from reversed(lines)
        if len(head) > _LONGEST:
            break
    yield head


def _with_ends(lines: Iterator[bytes], end: int) -> Iterator[tuple[int, bytes]]:
    """Give each line of `_backwards` the offset behind its newline."""
    for line in lines:
        yield end, line
        end -= len(line) + 1


def _between(files: Files, fd: int, start: int, end: int) -> bytes:
    return files.pread(fd, end - start, start) if end > start else b""

"""Recordings: raw kernel messages in a text file, one JSON object a line.

    {"time": "2026-11-24T08:19:00.000000Z", "boot_id": "...", "os_release": "20.6.0",
     "os_build": "20G1427", "hex": "3000000001000000..."}

`hex` is one message (struct kern_event_msg, sys/kern_event.h) as it was read; the rest is what
must be known to decode it and may be missing.  `trigger` may tell in words what caused it.  Also
read: lines of the JSON sink (the message is in `raw` there), lines of bare hex, blank lines and
`#` comments.
"""

from __future__ import annotations

import gzip
import json
import logging
import os
import stat
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Self

from kevmond.errors import RecordingError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from kevmond.kernel.base import KernelIdentity

_LOG: Final = logging.getLogger(__name__)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_SHOWN: Final = 40
_TAIL: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class Recorded:
    """One message of a recording, and what the recording tells of it (None: it does not)."""

    raw: bytes
    wall_ns: int | None = None
    """When it was read: nanoseconds since the epoch."""
    boot_id: str | None = None
    os_release: str | None = None
    os_build: str | None = None
    trigger: str | None = None
    """What made the kernel post it, in words."""
    line: int = 0
    """Line of the file, from 1."""


def recording_line(raw: bytes, wall_ns: int, identity: KernelIdentity) -> bytes:
    """One line of a recording, newline included."""
    seconds, rest = divmod(wall_ns, 1_000_000_000)
    moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    fields = {
        "time": f"{moment}.{rest // 1000:06d}Z",
        "boot_id": identity.boot_id,
        "os_release": identity.os_release,
        "os_build": identity.os_build,
        "hex": raw.hex(),
    }
    return json.dumps(fields).encode() + b"\n"


class RecordingWriter:
    """Appends messages to a recording, whole lines only; `-` is standard output.

    A new file is readable by its owner only: addresses of this machine stand in it.  Raises
    RecordingError where the file is something else than a recording, OSError where it cannot be
    written.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.name = os.fspath(path)
        self.count = 0
        """Messages written."""
        self._regular = False
        if self.name == "-":
            self.name = "standard output"
            self._fd = os.dup(sys.stdout.fileno())
            return
        if self.name.endswith(".gz"):
            raise RecordingError(
                f"{self.name}: a recording is written plain, so that a crash leaves whole lines;"
                " name it without .gz and compress it afterwards"
            )
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        self._fd = os.open(self.name, flags, 0o600)
        try:
            self._regular = stat.S_ISREG(os.fstat(self._fd).st_mode)
            if self._regular:
                _make_whole(self.name, self._fd)
        except BaseException:
            self.close()
            raise

    def write(self, messages: Iterable[tuple[bytes, int]], identity: KernelIdentity) -> None:
        """Append messages, each given as its bytes and wall-clock ns.

        Where the disk refuses part of it, that part is taken out again before OSError is raised,
        so that the file still ends with a whole line.
        """
        lines = [recording_line(raw, wall_ns, identity) for raw, wall_ns in messages]
        left = memoryview(b"".join(lines))
        size = len(left)
        try:
            while left:
                left = left[os.write(self._fd, left) :]
        except OSError as error:
            if self._regular and len(left) != size:
                os.ftruncate(self._fd, os.fstat(self._fd).st_size - (size - len(left)))
            raise OSError(error.errno, error.strerror, self.name) from error
        self.count += len(lines)

    def close(self) -> None:
        """Close the file; closing twice is harmless."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _make_whole(name: str, fd: int) -> None:
    """Take out the torn line that a crash may have left at the end of a recording."""
    size = os.fstat(fd).st_size
    if size == 0:
        return
    with Path(name).open("rb") as file:
        try:
            _parse(file.readline(), name, 1)
        except RecordingError as error:
            raise RecordingError(f"{error}; give a new file, or one that is a recording") from error
        start = max(0, size - _TAIL)
        file.seek(start)
        tail = file.read()
    if tail.endswith(b"\n"):
        return
    end = start + tail.rfind(b"\n") + 1
    try:
        _parse(tail[end - start :], name, 0)
    except RecordingError:
        _LOG.warning("%s: a torn last line (%d bytes) was taken out", name, size - end)
        os.ftruncate(fd, end)
    else:
        os.write(fd, b"\n")


def read_recording(
    source: str | os.PathLike[str] | Iterable[bytes],
    *,
    name: str | None = None,
    warn: Callable[[str], None] | None = None,
    on_error: Callable[[RecordingError], None] | None = None,
) -> Iterator[Recorded]:
    """Messages of a recording in order; `source` is a path (`-`: standard input) or its lines.

    A path ending in .gz is decompressed.  A torn last line, as a crash leaves one, is told to
    `warn` (default: a log line) and passed over.  Any other malformed line raises RecordingError
    naming file and line; with `on_error` it is told to that instead and passed over.
    """
    warn = warn or _LOG.warning
    if isinstance(source, str | os.PathLike):
        path = os.fspath(source)
        name = name or ("standard input" if path == "-" else path)
        with _opened(path, name) as file:
            yield from _messages(file, name, warn, on_error)
    else:
        yield from _messages(source, name or "recording", warn, on_error)


@contextmanager
def _opened(path: str, name: str) -> Iterator[BinaryIO]:
    if path == "-":
        yield sys.stdin.buffer
        return
    try:
        file: Any = gzip.open(path, "rb") if path.endswith(".gz") else Path(path).open("rb")  # noqa: SIM115 - closed below
    except OSError as error:
        raise RecordingError(f"{name}: cannot be read: {error.strerror}") from error
    with file:
        yield file


def _messages(
    lines: Iterable[bytes],
    name: str,
    warn: Callable[[str], None],
    on_error: Callable[[RecordingError], None] | None,
) -> Iterator[Recorded]:
    number = 0
    rest = iter(lines)
    while True:
        try:
            line = next(rest, None)
        except EOFError:  # gzip: the file stops inside its compressed data
            warn(f"{name}: the compressed file is cut short after line {number}")
            return
        except OSError as error:
            reason = error.strerror or str(error)
            raise RecordingError(f"{name}: cannot be read: {reason}") from error
        if line is None:
            return
        number += 1
        try:
            recorded = _parse(line, name, number)
        except RecordingError as error:
            if not line.endswith(b"\n") and line.startswith(b"{"):
                warn(f"{name}:{number}: the last line is torn and was passed over")
            elif on_error is not None:
                on_error(error)
            else:
                raise
            continue
        if recorded is not None:
            yield recorded


def _parse(line: bytes, name: str, number: int) -> Recorded | None:
    """Read one line; None where it holds no message (blank, comment, kevmond's own record)."""
    where = f"{name}:{number}"
    text = line.strip()
    if not text or text.startswith(b"#"):
        return None
    if not text.startswith(b"{"):
        return Recorded(_bytes(text.decode("utf-8", "replace"), where), line=number)
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RecordingError(f"{where}: not JSON: {error}") from None
    if "hex" not in fields and "schema" in fields and fields.get("raw", "") is None:
        return None
    found = fields.get("hex", fields.get("raw"))
    if not isinstance(found, str):
        raise RecordingError(f'{where}: no message: the line has no text under "hex"')
    texts = {key: fields.get(key) for key in ("boot_id", "os_release", "os_build", "trigger")}
    for key, value in texts.items():
        if value is not None and not isinstance(value, str):
            raise RecordingError(f'{where}: "{key}" is not text: {value!r}')
    for key in ("boot_id", "os_release", "os_build"):
        # The same few values stand in every line: kept once.
        texts[key] = sys.intern(texts[key]) if texts[key] else None
    return Recorded(
        raw=_bytes(found, where), wall_ns=_nanoseconds(fields, where), line=number, **texts
    )


def _bytes(text: str, where: str) -> bytes:
    try:
        raw = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        shown = text if len(text) <= _SHOWN else text[:_SHOWN] + "..."
        raise RecordingError(f"{where}: not hex: {shown!r}") from None
    if not raw:
        raise RecordingError(f"{where}: the message is empty")
    return raw


def _nanoseconds(fields: dict[str, Any], where: str) -> int | None:
    text = fields.get("time")
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            raise ValueError
    except (TypeError, ValueError):
        raise RecordingError(f'{where}: "time" is not an RFC 3339 time: {text!r}') from None
    return (moment - _EPOCH) // _MICROSECOND * 1000

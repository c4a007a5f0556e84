"""The `log` sink: every event as a line for people, or as its JSON, to a stream or to syslog.

structlog carries it: each event is one log entry at the event's severity, and a final processor of
our own renders it.  A batch is rendered whole and written at once, in the sink's own thread, so a
terminal that was stopped or a pipe nobody reads holds up nobody else.
"""

from __future__ import annotations

import errno
import os
import select
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

import structlog
from pydantic import Field

from kevmond.errors import PermanentError, RetryableError
from kevmond.sinks.base import SinkSettings
from kevmond.sinks.console import Console, coloured
from kevmond.sinks.syslog import SyslogFormat, SyslogSocket, default_path
from kevmond.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, MutableMapping, Sequence

    from kevmond.events.event import Record

    Render = Callable[[Record], bytes]

_GONE = frozenset({errno.EPIPE, errno.EBADF, errno.EIO, errno.ENXIO})
"""The stream has no other end any more, and will not have one again."""


class LogSettings(SinkSettings):
    """A sink of type "log"."""

    type: str = "log"
    format: Literal["console", "json"] = "console"
    """A line to read, or the event's JSON as every sink has it."""
    output: Literal["stderr", "stdout", "syslog"] = "stderr"
    """Where the lines go."""
    colour: Literal["auto", "always", "never"] = "auto"
    """auto: on a terminal, unless the environment says NO_COLOR or TERM=dumb."""
    syslog_path: Path | None = None
    """Socket of the syslog daemon; by default /dev/log, on macOS /var/run/syslog."""
    syslog_format: Literal["rfc3164", "rfc5424"] = "rfc3164"
    """Form of the header; every local daemon understands the first."""
    syslog_facility: Literal[
        "user",
        "daemon",
        "local0",
        "local1",
        "local2",
        "local3",
        "local4",
        "local5",
        "local6",
        "local7",
    ] = "daemon"
    """Facility; the severity is the event's."""
    syslog_tag: str = Field(default="kevmond", pattern=r"^[!-Z\\^-~]{1,48}$")
    """Name of the program in each message."""


class LogSink:
    """Writes events to where logs go."""

    Settings: ClassVar[type[SinkSettings]] = LogSettings

    def __init__(self, name: str, settings: LogSettings, *, fd: int | None = None) -> None:
        """Take the settings; `fd` is a descriptor to use in place of stderr's or stdout's own."""
        self._worker = Worker(f"sink-{name}")
        syslog = settings.output == "syslog"
        self._out: _Out = _Syslog(settings) if syslog else _Stream(settings, fd)

    async def open(self) -> None:
        """Find the stream, or connect to syslog."""
        await self._worker.run(self._out.open)

    async def write(self, batch: Sequence[Record]) -> None:
        """Render the batch and write it."""
        await self._worker.run(self._out.write, batch)

    async def reopen(self) -> None:
        """Connect to syslog anew; a stream cannot be reopened."""
        await self._worker.run(self._out.reopen)

    async def aclose(self) -> None:
        """Let go of the stream or the socket."""
        await self._worker.end(self._out.close)


# ---------------------------------------------------------------------- structlog


class EventLogger(structlog.BoundLoggerBase):
    """A structlog logger for events: severity and text of an entry are the event's."""

    def event(self, record: Record) -> None:
        """Log one event."""
        event = record.event
        self._proxy_to_logger(event.severity.value, event.type, record=record)


class Lines:
    """The end of the logger: collects rendered entries until the batch is whole."""

    def __init__(self) -> None:
        self.collected: list[bytes] = []
        self.debug = self.info = self.notice = self.collected.append
        self.warning = self.error = self.critical = self.collected.append


def event_logger(lines: Lines, render: Render) -> EventLogger:
    """Return a structlog logger whose final processor renders the record."""

    def final(
        _logger: Any, _method: str, entry: MutableMapping[str, Any]
    ) -> bytes | Mapping[str, Any]:
        return render(entry["record"])

    logger: EventLogger = structlog.wrap_logger(
        lines, processors=[final], wrapper_class=EventLogger, context_class=dict
    ).bind()
    return logger


# ---------------------------------------------------------------------- ways out


class _Out(Protocol):
    """A blocking way out; all of it runs in the sink's thread."""

    def open(self) -> None: ...
    def write(self, batch: Sequence[Record]) -> None: ...
    def reopen(self) -> None: ...
    def close(self) -> None: ...


class _Stream:
    """stderr or stdout, by file descriptor."""

    def __init__(self, settings: LogSettings, given: int | None) -> None:
        self._settings = settings
        self._given = given
        self._fd: int | None = None
        self._lines = Lines()
        self._logger: EventLogger | None = None
        self._rendered_to = -1
        """Last position whose line is in `_rest` or out already."""
        self._rest = b""
        """Rendered and not written yet: a retried batch goes on in the middle of its line."""

    def open(self) -> None:
        name = self._settings.output
        given = self._given
        if given is None:
            if getattr(sys, f"__{name}__") is None:  # another file may have its number by now
                raise PermanentError(f"{name} is closed; give the log sink another output")
            given = 2 if name == "stderr" else 1
        try:
            if self._fd is None:
                self._fd = os.dup(given)
            self._logger = event_logger(self._lines, self._renderer(os.isatty(self._fd)))
        except OSError as error:
            raise self._refused(error) from error

    def _renderer(self, terminal: bool) -> Render:
        if self._settings.format == "json":
            return lambda record: record.line
        console = Console(colour=self._coloured(terminal), short_time=terminal)
        return lambda record: console.line(record).encode("utf-8", "backslashreplace")

    def _coloured(self, terminal: bool) -> bool:
        if self._settings.colour != "auto":
            return self._settings.colour == "always"
        return coloured(terminal)

    def write(self, batch: Sequence[Record]) -> None:
        assert self._logger is not None
        log, collected = self._logger.event, self._lines.collected
        for record in batch:
            if record.seq > self._rendered_to:
                log(record)
        self._rendered_to = max(self._rendered_to, batch[-1].seq)
        if collected:
            self._rest = b"\n".join([self._rest + collected[0], *collected[1:], b""])
            collected.clear()
        self._flush()

    def _flush(self) -> None:
        assert self._fd is not None
        while self._rest:
            try:
                written = os.write(self._fd, self._rest)
            except BlockingIOError:  # a terminal shared with a program that made it so
                select.select([], [self._fd], [])
            except OSError as error:
                raise self._refused(error) from error
            else:
                self._rest = self._rest[written:]

    def _refused(self, error: OSError) -> PermanentError | RetryableError:
        symbol = errno.errorcode.get(error.errno or 0, str(error.errno))
        text = f"{self._settings.output}: {symbol} ({error.strerror})"
        if error.errno in _GONE:
            self._rest = b""
            return PermanentError(f"{text}; nobody reads it any more")
        return RetryableError(text)

    def reopen(self) -> None:
        pass

    def close(self) -> None:
        if self._fd is not None:
            fd, self._fd = self._fd, None
            os.close(fd)


class _Syslog:
    """The local syslog daemon."""

    def __init__(self, settings: LogSettings) -> None:
        self._json = settings.format == "json"
        self._console = Console(colour=False, short_time=False)
        self._format = SyslogFormat(
            rfc5424=settings.syslog_format == "rfc5424",
            facility=settings.syslog_facility,
            tag=settings.syslog_tag,
        )
        self._socket = SyslogSocket(settings.syslog_path or default_path())
        self._lines = Lines()
        self._logger = event_logger(self._lines, self._render)
        self._sent_to = -1
        """Last position that is out: a retried batch goes on behind it."""

    def _render(self, record: Record) -> bytes:
        return self._format(record, record.line if self._json else self._message(record))

    def _message(self, record: Record) -> bytes:
        return self._console.message(record.event).encode("utf-8", "backslashreplace")

    def _shorter(self, record: Record) -> bytes:
        """Return what says nearly the same in fewer bytes: the JSON without the raw ones."""
        if not self._json:
            return self._render(record)
        event = record.event.model_copy(update={"raw": None, "extra": None})
        return self._format(record, event.json_line())

    def open(self) -> None:
        self._socket.connect()

    def write(self, batch: Sequence[Record]) -> None:
        collected = self._lines.collected
        for record in batch:
            if record.seq > self._sent_to:
                self._logger.event(record)
                self._socket.send(collected.pop(), partial(self._shorter, record))
                self._sent_to = record.seq

    def reopen(self) -> None:
        self._socket.connect()

    def close(self) -> None:
        self._socket.close()

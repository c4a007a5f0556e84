"""Messages to the local syslog daemon: one datagram each, to its Unix socket.

RFC 3164 (as local daemons expect it: no host name) or RFC 5424; the priority comes from the event's
severity (RFC 5424, section 6.2.1).  A daemon that was started anew is found again at once.

Blocks; runs in the sink's thread.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from kevmond.errors import RetryableError
from kevmond.events.event import Severity

if TYPE_CHECKING:
    from collections.abc import Callable

    from kevmond.events.event import Record

FACILITIES: Final = {"user": 1, "daemon": 3, **{f"local{n}": 16 + n for n in range(8)}}
"""Facilities that make sense for a service, and their numbers (RFC 5424, table 1)."""

_LEVELS: Final = {
    Severity.CRITICAL: 2,
    Severity.ERROR: 3,
    Severity.WARNING: 4,
    Severity.NOTICE: 5,
    Severity.INFO: 6,
    Severity.DEBUG: 7,
}
_MONTHS: Final = "JanFebMarAprMayJunJulAugSepOctNovDec"
_TIMEOUT: Final = 5.0
_MSGID: Final = 32
_LOST_CONNECTION: Final = frozenset(
    {errno.ECONNREFUSED, errno.ECONNRESET, errno.ENOTCONN, errno.EPIPE, errno.ENOENT}
)


def default_path() -> Path:
    """Where this system's syslog daemon listens."""
    return Path("/var/run/syslog" if sys.platform == "darwin" else "/dev/log")


class SyslogFormat:
    """Makes a syslog message of an event's text."""

    def __init__(self, *, rfc5424: bool, facility: str, tag: str) -> None:
        self._rfc5424 = rfc5424
        self._facility = FACILITIES[facility] * 8
        self._tag = tag
        self._pid = os.getpid()

    def __call__(self, record: Record, text: bytes) -> bytes:
        """Return the datagram: header and text."""
        event = record.event
        priority = self._facility + _LEVELS[event.severity]
        if self._rfc5424:
            kind = _word(event.type, _MSGID)
            host = _word(event.host, 255)
            header = f"<{priority}>1 {event.time} {host} {self._tag} {self._pid} {kind} - "
        else:
            moment = time.localtime(record.wall_ns // 1_000_000_000)
            month = _MONTHS[3 * moment.tm_mon - 3 : 3 * moment.tm_mon]
            clock = time.strftime("%H:%M:%S", moment)
            header = f"<{priority}>{month} {moment.tm_mday:2d} {clock} {self._tag}[{self._pid}]: "
        return header.encode("ascii") + text


def _word(text: str, longest: int) -> str:
    """Return printable ASCII without spaces, as RFC 5424 wants it; "-" for nothing."""
    kept = "".join(char if "!" <= char <= "~" else "?" for char in text)
    return kept[:longest] or "-"


class SyslogSocket:
    """The connection, made when it is needed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._socket: socket.socket | None = None
        self.shortened = 0
        """Messages of which only the beginning could be sent."""

    def connect(self) -> None:
        """Connect anew; RetryableError naming the socket if nobody listens."""
        self.close()
        fresh = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        fresh.settimeout(_TIMEOUT)
        try:
            fresh.connect(str(self._path))
        except OSError as error:
            fresh.close()
            raise self._refused(error) from error
        self._socket = fresh

    def send(self, message: bytes, shorter: Callable[[], bytes]) -> None:
        """Send a datagram; if it is longer than the system takes, what `shorter` returns."""
        try:
            self._send(message)
        except OSError as error:
            if error.errno != errno.EMSGSIZE:
                raise self._refused(error) from error
            self._send_shorter(shorter())

    def _send_shorter(self, message: bytes) -> None:
        """Send as much of a message as the system takes, at least a little."""
        self.shortened += 1
        length = len(message)
        while True:
            cut = message[:length].decode("utf-8", "ignore").encode()
            try:
                self._send(cut)
            except OSError as error:
                if error.errno != errno.EMSGSIZE or length <= 1:
                    raise self._refused(error) from error
                length = length * 3 // 4
            else:
                return

    def _send(self, message: bytes) -> None:
        """Send; once more on a new connection if this one's other end is gone."""
        if self._socket is not None:
            try:
                self._socket.send(message)
            except OSError as error:
                if error.errno not in _LOST_CONNECTION:
                    raise
            else:
                return
        self.connect()
        assert self._socket is not None
        self._socket.send(message)

    def close(self) -> None:
        """Let go of the connection; harmless twice."""
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.close()
            self._socket = None

    def _refused(self, error: OSError) -> RetryableError:
        if isinstance(error, TimeoutError):
            return RetryableError(f"{self._path}: syslog has taken nothing for {_TIMEOUT:g} s")
        symbol = errno.errorcode.get(error.errno or 0, str(error.errno))
        return RetryableError(
            f"{self._path}: {symbol} ({error.strerror}); is a syslog daemon listening there? "
            "its socket is set by syslog_path"
        )

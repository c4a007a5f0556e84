"""A small blocking client of the daemon's API, for the command line."""

from __future__ import annotations

import http
import http.client
import json
import os
import socket
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode

from kevmond.api.listener import ApiError

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence
    from pathlib import Path

    from kevmond.api.sse_parser import ServerEvent

TIMEOUT: Final = 60.0
"""Seconds without a byte after which the daemon counts as hung."""
SILENCE: Final = 45.0
"""The same for a stream, which shows a sign of life every 15 seconds."""
_PIECE: Final = 1 << 16
"""Most bytes of a stream that are read at once."""

_Answer = tuple[int, bytes]
"""Status and body."""


class ApiRefusal(ApiError):  # noqa: N818 - an answer
    """The daemon said no; `hint` says what to do."""

    def __init__(self, status: int, message: str, hint: str = "") -> None:
        super().__init__(f"{message}; {hint}" if hint else message)
        self.status = status
        self.message = message
        self.hint = hint

    @property
    def exit_code(self) -> int:
        """Exit code of a command that was refused (sysexits.h)."""
        return os.EX_CONFIG if self.status in {400, 422} else 1


class ApiUnreachable(ApiError):  # noqa: N818 - a state
    """There is no daemon to be asked, or it does not answer."""

    exit_code = os.EX_UNAVAILABLE


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("kevmond", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class ApiClient:
    """Asks the daemon whose socket is at `path`."""

    def __init__(
        self, path: Path, *, elsewhere: Path | None = None, timeout: float = TIMEOUT
    ) -> None:
        """`elsewhere` is the socket of another daemon that may have been meant."""
        self.path = path
        self._elsewhere = elsewhere
        self._timeout = timeout

    def ask(
        self,
        method: str,
        *where: str,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Ask for /v1/WHERE...; raises ApiUnreachable, and ApiRefusal with what the daemon said."""
        return self._read(*self._exchange(method, _target(where, query), body))

    def text(self, *where: str, query: Mapping[str, Any] | None = None) -> str:
        """GET /v1/WHERE... and return the JSON as it was written; raises as `ask` does."""
        status, data = self._exchange("GET", _target(where, query), None)
        if status != http.HTTPStatus.OK:
            self._read(status, data)
        return data.decode("utf-8", "replace")

    def stream(
        self,
        *where: str,
        query: Mapping[str, Any] | None = None,
        cursor: str | None = None,
    ) -> Generator[list[ServerEvent]]:
        """Follow the server-sent events of /v1/WHERE..., until the daemon ends them.

        Yields what comes at once; [] where that is no more than a sign of life.  `cursor` is the id
        of the last event that was had.  Raises as `ask` does, and ApiUnreachable where the
        connection breaks or is silent for longer than the daemon ever is.
        """
        from kevmond.api.sse_parser import Parser  # noqa: PLC0415 - few commands follow

        headers = {"Accept": "text/event-stream"}
        if cursor is not None:
            headers["Last-Event-ID"] = cursor
        silence = min(self._timeout, SILENCE)
        connection = _Connection(self.path, silence)
        parser = Parser()
        try:
            connection.request("GET", _target(where, query), headers=headers)
            answer = connection.getresponse()
            if answer.status != http.HTTPStatus.OK:
                self._read(answer.status, answer.read())
            if answer.headers.get_content_type() != "text/event-stream":
                raise ApiUnreachable(f"{self.path}: the answer is not that of a kevmond daemon")
            while data := answer.read1(_PIECE):
                yield parser.feed(data)
        except (OSError, http.client.HTTPException) as error:
            raise ApiUnreachable(self._why(error, silence)) from error
        finally:
            connection.close()

    def _exchange(self, method: str, target: str, body: Mapping[str, Any] | None) -> _Answer:
        data = None if body is None else json.dumps(body).encode()
        headers = {} if data is None else {"Content-Type": "application/json"}
        connection = _Connection(self.path, self._timeout)
        try:
            connection.request(method, target, body=data, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise ApiUnreachable(self._why(error, self._timeout)) from error
        finally:
            connection.close()

    def _read(self, status: int, data: bytes) -> dict[str, Any]:
        try:
            facts = json.loads(data)
        except ValueError as error:
            raise ApiUnreachable(f"{self.path}: the answer is not JSON") from error
        if not isinstance(facts, dict):
            raise ApiUnreachable(f"{self.path}: the answer is not that of a kevmond daemon")
        if status >= 400:  # noqa: PLR2004 - RFC 9110, section 15
            raise ApiRefusal(status, str(facts.get("error", status)), str(facts.get("hint", "")))
        return facts

    def _why(self, error: Exception, timeout: float) -> str:
        if isinstance(error, (FileNotFoundError, ConnectionRefusedError)):
            other = self._elsewhere
            if other is not None and _may_be_there(other):
                return (
                    f"no daemon of yours runs ({self.path}); for the system's run this with sudo, "
                    f"or with --state-dir '{other.parent}'"
                )
            return (
                f"no daemon runs here ({self.path}): start it with `kevmond run`, or say where it "
                "is with --state-dir or --config"
            )
        if isinstance(error, PermissionError):
            return f"{self.path}: the daemon belongs to another user; run this with sudo"
        if isinstance(error, TimeoutError):
            return f"{self.path}: the daemon does not answer within {timeout:g} s"
        if isinstance(error, (ConnectionResetError, BrokenPipeError, http.client.HTTPException)):
            return (
                f"{self.path}: the daemon closed the connection; it may be stopping, or belong to "
                "another user, or has too many callers (its log says so)"
            )
        what = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        return f"{self.path}: {what}; --state-dir names the folder of the daemon"


def _target(where: Sequence[str], query: Mapping[str, Any] | None) -> str:
    target = "/v1/" + "/".join(quote(part, safe="") for part in where)
    return f"{target}?{urlencode(query, doseq=True)}" if query else target


def _may_be_there(path: Path) -> bool:
    """Whether there is something, or may be: a private folder cannot be looked into."""
    try:
        path.stat()
    except PermissionError:
        return True
    except OSError:
        return False
    return True

"""What a receiver's answer means."""

from __future__ import annotations

import re
from datetime import UTC
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urlsplit

from kevmond.errors import GoneError, PermanentError, RetryableError, SinkError

if TYPE_CHECKING:
    from collections.abc import Mapping

SHORT: Final = 200
"""Most characters of what a receiver says in a message."""
EXCERPT: Final = 1024
"""Most characters of an answer's body that are kept beside it."""
_SECONDS: Final = re.compile(r"\d{1,9}(\.\d{0,9})?")


class Answer(NamedTuple):
    """What the receiver said."""

    status: int
    headers: Mapping[str, str]
    """By name, in whatever case it is asked for."""
    body: bytes
    """Its first 4 KiB at most; nothing where it was slow to come."""
    seconds: float
    """From the request's beginning to here."""

    @property
    def taken(self) -> bool:
        """Whether the receiver took the request."""
        return 200 <= self.status < 300  # noqa: PLR2004 - RFC 9110, section 15.3

    @property
    def outcome(self) -> str:
        """The status in words."""
        try:
            return f"{self.status} {HTTPStatus(self.status).phrase}"
        except ValueError:
            return str(self.status)


def judge(answer: Answer, where: str, count: int, now: float) -> None:
    """Return if the receiver took the request with `count` records; else raise what it said.

    `now` is the wall clock, in seconds, for a Retry-After that names a time.  Raises GoneError,
    PermanentError for a single record that is too large, and RetryableError for everything else.
    """
    if answer.taken:
        return
    error = _meaning(answer, f"{where} answered {answer.outcome}", count, now)
    if not _redirects(answer.status):  # its body says again where to
        error.excerpt = printable(answer.body, EXCERPT) or None
    raise error


def _meaning(answer: Answer, text: str, count: int, now: float) -> SinkError:
    status, after = answer.status, retry_after(answer.headers, now)
    if _redirects(status):
        to = _origin(answer.headers.get("location", ""))
        text += f" (to {to})" if to else ""
        return RetryableError(
            f"{text}; redirects are not followed: set url to where it shall go", after
        )
    said = printable(answer.body, SHORT)
    text += f": {said}" if said else ""
    if status == HTTPStatus.GONE:
        return GoneError(text)
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE and count == 1:
        return PermanentError(text, count=1)
    return RetryableError(text, after)


def _redirects(status: int) -> bool:
    return 300 <= status < 400  # noqa: PLR2004 - RFC 9110, section 15.4


def _origin(location: str) -> str:
    """Return what may be shown of a URL: path and query may be the secret, as in our own."""
    try:
        parts = urlsplit(location)
    except ValueError:
        return ""
    if not parts.netloc:
        return "another path there" if location else ""
    host = parts.netloc.rpartition("@")[2]
    return printable(f"{parts.scheme}://{host}" if parts.scheme else host, SHORT)


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Return the wait that a receiver asks for, in seconds; None if it does not, or not sensibly.

    RFC 9110, section 10.2.3: a number of seconds, or a date.
    """
    value = headers.get("retry-after", "").strip()
    if not value:
        return None
    if _SECONDS.fullmatch(value):
        return float(value)
    try:
        date = parsedate_to_datetime(value)
        if date.tzinfo is None:
            date = date.replace(tzinfo=UTC)
        return max(0.0, date.timestamp() - now)
    except (ValueError, TypeError, OverflowError):
        return None


def printable(said: bytes | str, most: int) -> str:
    """Return what comes from elsewhere as one short line that does no harm to a terminal."""
    text = said[: most * 4]
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    clean = "".join(char if char.isprintable() else "?" for char in " ".join(text.split()))
    return clean if len(clean) <= most else clean[: most - 3] + "..."

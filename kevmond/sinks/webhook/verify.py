"""Whether a request that arrived is genuine: for the authors of receivers (Standard Webhooks).

The signature itself is the library's (`standardwebhooks`).  Around it stands what its own `verify`
does not say: which of several secrets fits, which header is missing, by how much a clock is off,
and the usual ways in which a body is changed before it is looked at.

    https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import binascii
import hmac
import time
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Literal

from standardwebhooks import Webhook

from kevmond.errors import KevmondError
from kevmond.sinks.webhook.signing import check_secret

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    Reason = Literal["header", "time", "signature", "body"]

TOLERANCE: Final = 300.0
"""Seconds by which the time of a request may be off, as the specification's libraries have it."""
LONGEST: Final = 64 << 20
"""Bytes that a compressed body may have when it is decompressed."""

_NEEDED: Final = ("webhook-id", "webhook-timestamp", "webhook-signature")
_LAST_SECOND: Final = 253_402_300_799
"""9999-12-31T23:59:59Z, the last that a datetime holds."""


class VerifyError(KevmondError):
    """A request is not genuine, or that cannot be told; its text says what is wrong."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        """What it is about, for programs."""


@dataclass(frozen=True, slots=True)
class Verified:
    """A request that is genuine."""

    webhook_id: str
    """Names it; the same in every attempt."""
    timestamp: int
    """When this attempt was signed: seconds since 1970."""
    age: float
    """Seconds since then; negative if the sender's clock is ahead."""
    secret: int
    """Which of the secrets fits, counted from 0."""
    signature: int
    """Which of the signatures it fits, counted from 0."""
    body: bytes
    """What was signed: the body, decompressed if that was needed."""


def verify(
    headers: Mapping[str, str],
    body: bytes,
    secrets: Sequence[str],
    *,
    tolerance: float | None = TOLERANCE,
    now: float | None = None,
) -> Verified:
    """Return what is known of a genuine request; VerifyError saying what is wrong with another.

    `headers` may be written in any case.  `tolerance` is how far its time may be from `now`
    (seconds since 1970; the present if None); None: any time.  Raises ConfigError for a secret
    that is none.
    """
    if not secrets:
        raise VerifyError("signature", "there is no secret to verify with")
    hooks = [Webhook(check_secret(secret, f"secret {n}")) for n, secret in enumerate(secrets, 1)]
    given = {name.lower(): value.strip() for name, value in headers.items()}
    missing = [name for name in _NEEDED if not given.get(name)]
    if missing:
        there = ", ".join(sorted(given)) or "none"
        raise VerifyError(
            "header", f"missing header{'s' * (len(missing) > 1)} {', '.join(missing)}; got: {there}"
        )
    webhook_id, timestamp = given["webhook-id"], _timestamp(given["webhook-timestamp"])
    signatures = _signatures(given["webhook-signature"])
    content = _content(given, body)
    found = _match(hooks, webhook_id, timestamp, content, signatures)
    if found is None:
        raise VerifyError("signature", _why_not(hooks, webhook_id, timestamp, content, signatures))
    age = (time.time() if now is None else now) - timestamp
    if tolerance is not None and abs(age) > tolerance:
        raise VerifyError("time", _off(age, tolerance))
    return Verified(webhook_id, timestamp, age, *found, content)


def _timestamp(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(_LAST_SECOND))):
        wrong = f"webhook-timestamp is {text[:40]!r}: not a number of whole seconds since 1970"
        raise VerifyError("header", wrong)
    seconds = int(text)
    if seconds > _LAST_SECOND:
        raise VerifyError("header", f"webhook-timestamp {seconds} is in milliseconds or less")
    return seconds


def _signatures(text: str) -> list[tuple[int, bytes]]:
    """Return the signatures of the version that a shared secret makes, each with its place."""
    found = []
    versions = []
    for place, one in enumerate(text.split()):
        version, comma, encoded = one.partition(",")
        versions.append(version if comma else "no version")
        if version == "v1" and comma:
            try:
                found.append((place, base64.b64decode(encoded, validate=True)))
            except (binascii.Error, ValueError) as error:
                wrong = f"webhook-signature: what follows v1, is no base64 ({encoded[:60]!r})"
                raise VerifyError("header", wrong) from error
    if not found:
        raise VerifyError(
            "header",
            f"webhook-signature has no signature of version v1, but: {', '.join(versions)}; "
            "it is to look like v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        )
    return found


def _content(headers: Mapping[str, str], body: bytes) -> bytes:
    """Return what was signed: the body before it was compressed."""
    if headers.get("content-encoding", "").lower() in {"gzip", "x-gzip"}:
        unzip = zlib.decompressobj(wbits=31)
        try:
            content = unzip.decompress(body, LONGEST)
        except zlib.error:
            content = body  # a framework has decompressed it and left the header
        else:
            if unzip.unconsumed_tail:
                raise VerifyError("body", f"the body is longer than {LONGEST} bytes")
            if not unzip.eof:
                raise VerifyError("body", "the compressed body is not whole: its end is missing")
        body = content
    try:
        body.decode()
    except UnicodeDecodeError as error:
        raise VerifyError(
            "body",
            f"the body is no UTF-8 text (byte {error.start}); if it is compressed, the header "
            "content-encoding: gzip is missing",
        ) from error
    return body


def _match(
    hooks: Sequence[Webhook],
    webhook_id: str,
    timestamp: int,
    content: bytes,
    signatures: Sequence[tuple[int, bytes]],
) -> tuple[int, int] | None:
    """Return which secret fits which signature."""
    at = datetime.fromtimestamp(timestamp, UTC)
    text = content.decode()
    for number, hook in enumerate(hooks):
        expected = base64.b64decode(hook.sign(webhook_id, at, text).removeprefix("v1,"))
        for place, signature in signatures:
            if hmac.compare_digest(expected, signature):
                return number, place
    return None


def _why_not(
    hooks: Sequence[Webhook],
    webhook_id: str,
    timestamp: int,
    content: bytes,
    signatures: Sequence[tuple[int, bytes]],
) -> str:
    """Say why no signature fits, as far as it can be guessed."""
    tried = "the secret" if len(hooks) == 1 else f"any of the {len(hooks)} secrets"
    text = f"no signature fits {tried}"
    for other, what in _alterations(content):
        if _match(hooks, webhook_id, timestamp, other, signatures) is not None:
            return f"{text}, but one does if {what}: verify the bytes as they came"
    if not content:
        return f"{text}: the body is empty; was it read before?"
    return (
        f"{text}: it is another secret, or the body, webhook-id or webhook-timestamp was changed "
        "on its way (was the body parsed and written anew?)"
    )


def _alterations(content: bytes) -> Iterator[tuple[bytes, str]]:
    """Yield what the body may have been before tools and editors had their way."""
    bare = content.rstrip(b"\r\n")
    if bare != content:
        yield bare, "the line break at the body's end is taken away"
    else:
        yield content + b"\n", "the body ends with a line break"
    if b"\r\n" in content:
        yield content.replace(b"\r\n", b"\n"), "its line breaks are LF and not CRLF"
    if content.startswith(b"\xef\xbb\xbf"):
        yield content[3:], "the byte order mark before the body is taken away"


def _off(age: float, tolerance: float) -> str:
    if age > 0:
        return (
            f"the signature fits, but the request is {age:.0f} s old, and {tolerance:g} s are "
            "allowed: it is repeated, was long on its way, or this machine's clock is ahead"
        )
    return (
        f"the signature fits, but the request is from {-age:.0f} s in the future, and "
        f"{tolerance:g} s are allowed: this machine's clock is behind, or the sender's ahead"
    )

"""Requests that got no answer: what that says of the receiver and of the network, in words.

Part of the client: imported by it alone, for it needs aiohttp.
"""

from __future__ import annotations

import errno
import re
import ssl
from typing import Final

import aiohttp

from kevmond.errors import RetryableError, UnreachableError
from kevmond.sinks.webhook import target
from kevmond.sinks.webhook.answer import SHORT, printable

_ERRNO: Final = re.compile(r"\[Errno (-?\d+)\]")

_PLAIN: Final[tuple[tuple[type[Exception], str], ...]] = (
    (aiohttp.ConnectionTimeoutError, "no connection in time (connect_timeout, timeout)"),
    (TimeoutError, "no answer in time (timeout)"),
    (aiohttp.ServerDisconnectedError, "it closed the connection without an answer"),
)


def failure(
    error: Exception, where: str, refused: str | None, pending: str | None = None
) -> RetryableError:
    """Return what a request without an answer means.

    `where` names the receiver; `refused` is the address, with the reason, that the gate refused;
    `pending` the name whose look-up goes on.
    """
    if isinstance(error, aiohttp.ClientConnectorError):
        return _no_connection(error, where, refused)
    if pending is not None and isinstance(error, TimeoutError):
        return _tried(f"{where}: the look-up of {pending} hangs (connect_timeout, timeout)")
    for kind, text in _PLAIN:
        if isinstance(error, kind):
            return RetryableError(f"{where}: {text}")
    if isinstance(error, OSError) and target.without_route(error.errno):
        return _tried(f"{where}: the way to it went away ({_symbol(error.errno)})")
    return RetryableError(f"{where}: {_broken(error)}")


def _tried(text: str) -> RetryableError:
    """Return a failure that the network may be to blame for: if there is none, it was none."""
    return RetryableError(text) if target.online() else UnreachableError(f"{text}; no network")


def _broken(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return f"the proxy answered {error.status} {printable(error.message, SHORT)}"
    if isinstance(error, aiohttp.ClientResponseError):
        return f"its answer is not HTTP as it should be: {printable(error.message, SHORT)}"
    if isinstance(error.__cause__, ssl.SSLError):  # its numbers are not the system's
        return f"TLS broke: {error.__cause__.reason or printable(str(error), SHORT)}"
    if isinstance(error, OSError) and error.errno is not None:
        return f"the connection broke: {_symbol(error.errno)}"
    return f"{type(error).__name__}: {printable(str(error), SHORT)}"


def _no_connection(
    error: aiohttp.ClientConnectorError, where: str, refused: str | None
) -> RetryableError:
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        why = f"its name is not resolved: {error.os_error.strerror or error.os_error}"
        return _tried(f"{where}: {why}")
    if isinstance(error, aiohttp.ClientSSLError):
        return RetryableError(f"{where}: {_tls(error)}")
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        where += ": the proxy"
    return _socket(error.os_error, where, refused)


def _tls(error: aiohttp.ClientSSLError) -> str:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        cause: Exception = error.certificate_error
        why = getattr(cause, "verify_message", None) or cause
        return f"its certificate is not accepted: {why}"
    return f"TLS cannot be agreed on: {getattr(error.os_error, 'reason', None) or error.os_error}"


def _socket(cause: OSError, where: str, refused: str | None) -> RetryableError:
    # Where several addresses were tried, there is one error made of theirs, which has their texts.
    numbers = [cause.errno] if cause.errno else [int(one) for one in _ERRNO.findall(str(cause))]
    if refused is not None and not numbers:
        return RetryableError(
            f"{where}: {refused}; set allow_private = true if that is meant to be reached"
        )
    told = ", ".join(dict.fromkeys(_symbol(one) for one in numbers)) or str(cause)
    if refused is not None:
        told += f"; not tried: {refused}"
    if numbers and all(target.without_route(one) for one in numbers):
        return _tried(f"{where}: no route ({told})")
    return RetryableError(f"{where}: no connection: {told}")


def _symbol(number: int | None) -> str:
    return errno.errorcode.get(number or 0, f"errno {number}")

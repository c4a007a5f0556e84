"""Which hosts of a URL can be looked up at all (RFC 1123, section 2.1; RFC 5890 for others)."""

from __future__ import annotations

import re
from typing import Final

from kevmond.sinks.webhook.target import is_address

LABEL: Final = 63
"""Most characters between two dots (RFC 1035, section 2.3.4)."""
NAME: Final = 253
"""Most characters of a whole name, without a dot at its end."""
_NUMERIC: Final = re.compile(r"(^|\.)(\d+|0[xX][0-9a-fA-F]*)$")
"""A last label that makes some systems read a host as an address, however it is spelled."""
_WRONG: Final = re.compile(r"[^a-z0-9._-]")


def look_up_form(host: str, *, bracketed: bool) -> str:
    """Return a host of a URL, in lower case, as it is looked up: in ASCII, no dot at its end.

    ValueError says why it can never be reached.  `bracketed`: the URL has it in [ ].
    """
    if bracketed or is_address(host):
        if not (is_address(host) and bracketed == (":" in host)):
            raise ValueError(f"[{host}] is no IPv6 address")
        return host
    name = host if host.isascii() and "xn--" not in host else _ascii(host)
    name = name.removesuffix(".")
    if _NUMERIC.search(name) and not (is_address(name) and name == host):
        raise ValueError(f"{host} is neither a name nor a whole IPv4 address")
    wrong = _WRONG.search(name)
    if wrong:
        raise ValueError(f"{host} is no name of a host: {wrong.group()!r} is in it")
    for label in name.split("."):
        if not label:
            raise ValueError(f"{host} is no name of a host: nothing stands between two dots")
        if len(label) > LABEL:
            raise ValueError(
                f"{label[:8]}... is no name of a host: a part has {len(label)} characters, "
                f"and {LABEL} are the most"
            )
    if len(name) > NAME:
        raise ValueError(f"the host has {len(name)} characters, and {NAME} are the most")
    return name


def _ascii(host: str) -> str:
    """Return the name that the client makes of one that is not plain, or says that it is."""
    from yarl import URL  # noqa: PLC0415 - the client's, for the few who need it

    try:
        url = URL.build(scheme="https", host=host)
        if url.host is None or url.raw_host is None:  # decoded once more: it does that as well
            raise ValueError("it is empty")
    except ValueError as error:
        why = str(error.__cause__ or error)
        raise ValueError(f"{host} is no internationalized name of a host ({why})") from error
    return url.raw_host

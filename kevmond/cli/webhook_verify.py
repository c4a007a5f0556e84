"""`kevmond webhook verify`: whether a request that a receiver got is genuine, and if not, why."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from kevmond.sinks.webhook.verify import Verified


@click.command(
    epilog="""\b
Examples:
  kevmond webhook verify --secret-file hook.secret request.txt
  kevmond webhook verify --secret-env HOOK_SECRET --headers headers.txt body.json
  nc -l 8000 | kevmond webhook verify --secret-file hook.secret -
  kevmond webhook verify --secret-file new --secret-file old --any-age request.txt

\b
Without --headers and -H, REQUEST is a whole request as it came over the wire: request line,
headers, an empty line, the body.  With them it is the body, byte for byte.  Headers are lines
"Name: value" or one JSON object.  A file of secrets may hold several, one a line.
Exit code 0 if the request is genuine, 1 if not, 65 if it makes no sense, 78 for a bad secret.
"""
)
@click.argument("request_file", metavar="[REQUEST|-]", default="-")
@click.option(
    "--secret-file",
    "files",
    multiple=True,
    metavar="FILE",
    help="File with a secret (whsec_...); may be repeated.",
)
@click.option(
    "--secret-env",
    "names",
    multiple=True,
    metavar="NAME",
    help="Variable of the environment with a secret; may be repeated.",
)
@click.option("--headers", "headers_file", metavar="FILE", help="File with the request's headers.")
@click.option(
    "--header", "-H", "more", multiple=True, metavar="NAME:VALUE", help="A header; may be repeated."
)
@click.option(
    "--tolerance",
    default="5m",
    show_default=True,
    metavar="TIME",
    help="How far the request's time may be from now.",
)
@click.option("--any-age", is_flag=True, help="Accept a request of any time.")
@click.option("--json", "as_json", is_flag=True, help="JSON, for programs.")
def verify(
    request_file: str,
    *,
    files: tuple[str, ...],
    names: tuple[str, ...],
    headers_file: str | None,
    more: tuple[str, ...],
    tolerance: str,
    any_age: bool,
    as_json: bool,
) -> int:
    """Check the signature of a request that kevmond, or any Standard Webhooks sender, has sent."""
    from kevmond.cli.values import seconds
    from kevmond.sinks.webhook.verify import VerifyError
    from kevmond.sinks.webhook.verify import verify as verified

    secrets = _secrets(files, names)
    if not secrets:
        raise click.UsageError("Give the secret: --secret-file FILE or --secret-env NAME.")
    if headers_file == "-" and request_file == "-":
        raise click.UsageError("Only one of headers and body can come from standard input.")
    given = _read(request_file)
    if headers_file is None and not more:
        request = whole_request(given)
    else:
        listed = [] if headers_file is None else headers_of(_read(headers_file))
        request = Request(_joined([*listed, *headers_of("\n".join(more).encode())]), given)
    allowed = None if any_age else seconds(tolerance, "--tolerance")
    try:
        found = verified(
            request.headers, request.body, [secret for _, secret in secrets], tolerance=allowed
        )
    except VerifyError as error:
        if as_json:
            click.echo(json.dumps({"genuine": False, "reason": error.reason, "told": str(error)}))
        else:
            click.echo(f"not genuine: {error}", err=True)
        return 1
    _show(found, [label for label, _ in secrets], request, as_json=as_json)
    return 0


command = verify
"""The same under the name that every file of a command has."""


def _secrets(files: Sequence[str], names: Sequence[str]) -> list[tuple[str, str]]:
    """Return all secrets, each with where it is from."""
    from kevmond.secret import Secret

    found = []
    for reference in (*(f"file:{file}" for file in files), *(f"env:{name}" for name in names)):
        held = Secret(reference).reveal().split()
        for number, secret in enumerate(held, 1):
            found.append((f"{reference} line {number}" if len(held) > 1 else reference, secret))
    return found


def _read(name: str) -> bytes:
    from kevmond.errors import RecordingError

    if name == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise RecordingError(f"{name}: cannot be read ({error.strerror})") from error


def _show(found: Verified, labels: Sequence[str], request: Request, *, as_json: bool) -> None:
    from kevmond.cli.pretty import printable
    from kevmond.events.event import timestamp

    label = labels[found.secret]
    if as_json:
        facts: dict[str, Any] = {
            "genuine": True,
            "webhook_id": found.webhook_id,
            "timestamp": found.timestamp,
            "age": round(found.age, 3),
            "secret": label,
            "signature": found.signature + 1,
            "bytes": len(found.body),
        }
        click.echo(json.dumps(facts))
        return
    when = "ago" if found.age >= 0 else "in the future"
    size = f"{len(found.body)} bytes"
    if len(found.body) != len(request.body):
        size += f", compressed {len(request.body)}"
    click.echo(f"{click.style('genuine', fg='green')}: signed with the secret of {label}")
    click.echo(f"  webhook-id  {printable(found.webhook_id)}")
    click.echo(f"  signed at   {timestamp(found.timestamp * 10**9)}, {abs(found.age):.0f} s {when}")
    click.echo(f"  signature   number {found.signature + 1} of the header")
    click.echo(f"  body        {size}")


# ---------------------------------------------------------------------- what arrived


class Request(NamedTuple):
    """A request as far as it is signed."""

    headers: dict[str, str]
    body: bytes


def whole_request(data: bytes) -> Request:
    """Take a request as it came over the wire apart; RecordingError if it is none, or not whole.

    Line breaks may be LF, as an editor leaves them, and the lines may be those of `curl -v`.
    """
    from kevmond.errors import RecordingError

    head, mark, body = _halves(data)
    lines = head.splitlines()
    if lines and b":" not in lines[0].partition(b" ")[0]:
        lines = lines[1:]  # POST /path HTTP/1.1
    headers = _joined(headers_of(b"\n".join(lines)))
    if not mark or not headers:
        raise RecordingError(
            "this is no whole request: headers, an empty line, then the body; "
            "give the headers with --headers FILE if this is the body"
        )
    if "chunked" in headers.get("transfer-encoding", "").lower():
        return Request(headers, _unchunked(body))
    length = headers.get("content-length", "")
    if length.isdigit():
        if len(body) < int(length):
            raise RecordingError(
                f"the body has {len(body)} bytes, and content-length says {length}: it is cut off"
            )
        body = body[: int(length)]  # what follows was added by a tool
    return Request(headers, body)


def _halves(data: bytes) -> tuple[bytes, bytes, bytes]:
    """Split behind the headers, at the first empty line."""
    candidates = [data.partition(mark) for mark in (b"\r\n\r\n", b"\n\n", b"\n> \n", b"\n> \r\n")]
    return min(candidates, key=lambda parts: len(parts[0]))


def headers_of(data: bytes) -> list[tuple[str, str]]:
    """Return the headers in lines "Name: value", or in one JSON object."""
    from kevmond.errors import RecordingError

    text = data.decode("utf-8", "replace").strip()
    if text.startswith("{"):
        try:
            table = json.loads(text)
        except ValueError as error:
            raise RecordingError(f"the headers look like JSON, but are not: {error}") from error
        return [(str(name), _text(value)) for name, value in table.items()]
    found = []
    for line in text.splitlines():
        name, colon, value = line.removeprefix("> ").partition(":")
        if colon and name.strip():
            found.append((name.strip(), value.strip()))
        elif line.strip(" >"):
            raise RecordingError(f"the headers have a line that is none: {line[:60]!r}")
    return found


def _text(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _joined(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return headers by name in small letters; several signatures are as good as one header."""
    found: dict[str, str] = {}
    for name, value in headers:
        key = name.lower()
        both = key == "webhook-signature" and key in found
        found[key] = f"{found[key]} {value}" if both else value
    return found


def _unchunked(body: bytes) -> bytes:
    """Return the content of a chunked body (RFC 9112, section 7.1)."""
    from kevmond.errors import RecordingError

    content = b""
    while True:
        line, mark, body = body.partition(b"\r\n")
        try:
            size = int(line.partition(b";")[0], 16)
        except ValueError as error:
            raise RecordingError("the chunked body is cut off, or no chunked one") from error
        if size == 0:
            return content
        if not mark or len(body) < size + 2:
            raise RecordingError("the chunked body is cut off")
        content += body[:size]
        body = body[size + 2 :]

"""One webhook request off a connection, and all that a wary receiver checks of it.

Written against RFC 9112 (HTTP/1.1), Standard Webhooks and CloudEvents 1.0, and not against the
sender's code: only the signature is left to the `standardwebhooks` library.
"""

import asyncio
import gzip
import hashlib
import json

from standardwebhooks.webhooks import Webhook

LARGEST = 8 << 20
PIECE = 64
PAUSE = 0.002


class Head:
    """The request line and the header fields, whose names are in lower case."""

    def __init__(self, data):
        line, *fields = data.decode("latin-1").rstrip("\r\n").split("\r\n")
        self.method, self.target, self.version = line.split(" ")
        self.fields = {}
        for field in fields:
            name, _, value = field.partition(":")
            self.fields[name.lower()] = value.strip()


class Delivery:
    """What a request carried, and what it was answered."""

    def __init__(self, run, identity, events):
        self.run = run
        """Which start of the daemon sent it."""
        self.identity = identity
        """Its webhook-id."""
        self.ids = [event["id"] for event in events]
        self.seqs = [event["seq"] for event in events]
        self.digests = [digest(event) for event in events]
        self.kernel_ids = [event["kernel_id"] for event in events]
        self.verdict = "refused"
        """taken: a whole 2xx was sent in good time; unsure: the sender may think so or not."""
        self.fault = None

    def __repr__(self):
        span = f"{self.seqs[0]}-{self.seqs[-1]}"
        return f"<run {self.run}: {span} {self.verdict} ({self.fault})>"


def digest(event):
    """Tell events apart by all they hold, in few bytes."""
    text = json.dumps(event, sort_keys=True).encode()
    return hashlib.blake2b(text, digest_size=8).digest()


async def read_head(reader):
    """Read up to the empty line; None at the end of the connection."""
    try:
        return Head(await reader.readuntil(b"\r\n\r\n"))
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise
        return None


async def read_body(reader, head, *, slowly=False):
    """Read the body, by length or in chunks; slowly if this receiver is to be a slow one."""
    if head.fields.get("transfer-encoding", "") != "chunked":
        length = int(head.fields.get("content-length", "0"))
        assert length <= LARGEST, f"a body of {length} bytes"
        return await _read(reader, length, slowly=slowly)
    body = b""
    while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        body += await _read(reader, size, slowly=slowly)
        await reader.readexactly(2)
        assert len(body) <= LARGEST, "a body without end"
    await reader.readuntil(b"\r\n")
    return body


async def _read(reader, length, *, slowly):
    if not slowly:
        return await reader.readexactly(length)
    body = b""
    for _ in range(20):
        body += await reader.readexactly(min(PIECE, length - len(body)))
        await asyncio.sleep(PAUSE)
    return body + await reader.readexactly(length - len(body))


def understand(head, body, secrets):
    """Check a request as its receiver should; AssertionError or ValueError where it is wrong."""
    fields = head.fields
    assert head.method == "POST", head.method
    assert "kevmond/" in fields["user-agent"], fields["user-agent"]
    if fields.get("content-encoding") == "gzip":
        body = gzip.decompress(body)
    for secret in secrets:  # each of two has signed, so that a receiver may still have the old one
        Webhook(secret).verify(body, fields, json_parse=False)
    events = _events(fields["content-type"].split(";")[0], json.loads(body))
    assert events, "no event in it"
    delivery = Delivery(int(fields.get("x-run", 0)), fields["webhook-id"], events)
    assert delivery.seqs == sorted(set(delivery.seqs)), f"out of order: {delivery.seqs}"
    if len(events) == 1 and not delivery.identity.startswith("batch-"):
        assert delivery.identity == delivery.ids[0]
    return delivery


def _events(content_type, content):
    match content_type:
        case "application/json":
            return content if isinstance(content, list) else [content]
        case "application/cloudevents+json":
            return [_cloud_event(content)]
        case "application/cloudevents-batch+json":
            return [_cloud_event(one) for one in content]
    raise AssertionError(f"content-type {content_type}")


def _cloud_event(cloud):
    assert cloud["specversion"] == "1.0"
    assert cloud["source"]
    assert cloud["type"]
    event = cloud["data"]
    assert cloud["id"] == event["id"]
    return event

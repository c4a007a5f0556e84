"""From records to the body of a request.

CloudEvents: https://github.com/cloudevents/spec (core and JSON format 1.0, HTTP batched mode).  The
event is their `data`; the attributes say again what a router wants to know without looking in.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from pydantic_core import to_json

from kevmond.sinks.webhook.signing import webhook_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kevmond.events.event import Record
    from kevmond.sinks.webhook.settings import WebhookSettings

TYPES: Final = {
    "event": "application/json",
    "cloudevents": "application/cloudevents+json; charset=utf-8",
    "cloudevents-batch": "application/cloudevents-batch+json; charset=utf-8",
}
"""Format -> content type."""


@dataclass(frozen=True, slots=True)
class Body:
    """What one request says."""

    content: bytes
    """The bytes before compression."""
    count: int
    """How many records are in it."""
    webhook_id: str
    """Names the request; the same for the same events, always."""
    content_type: str


def compose(batch: Sequence[Record], settings: WebhookSettings, limit: int) -> Body:
    """Make a body of as many records from the front as `limit` bytes hold, and of one at least."""
    cloud = settings.format != "event"
    array = settings.format == "cloudevents-batch" or settings.batch_size > 1
    parts: list[bytes] = []
    ids: list[str] = []
    size = 2
    for record in batch[: settings.batch_size]:
        part = cloud_event(record) if cloud else record.line
        size += len(part) + 1
        if parts and size - 1 > limit:
            break
        parts.append(part)
        ids.append(record.event.id)
    content = b"[" + b",".join(parts) + b"]" if array else parts[0]
    return Body(content, len(parts), webhook_id(ids), TYPES[settings.format])


def cloud_event(record: Record) -> bytes:
    """Return a record as one CloudEvent in JSON."""
    event = record.event
    attributes = {
        "specversion": "1.0",
        "id": event.id,
        "source": _source(event.host),
        "type": event.type,
        "time": event.time,
        "datacontenttype": "application/json",
        "sequence": f"{event.seq:020d}",
    }
    if event.interface:
        attributes["subject"] = event.interface
    return to_json(attributes)[:-1] + b',"data":' + record.line + b"}"


@lru_cache(maxsize=16)
def _source(host: str) -> str:
    """Return the machine's kevmond as a URI; it and an event's id name the event for ever."""
    return f"kevmond://{quote(host, safe='')}/"

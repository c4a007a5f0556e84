"""One test event to one webhook, and what its receiver makes of it."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING, Any, Final

from kevmond.errors import SinkError
from kevmond.events import own
from kevmond.events.event import Context

if TYPE_CHECKING:
    from kevmond.sinks.base import SinkSettings

EXCERPT: Final = 1024
"""Most characters of an answer's body that are shown."""
NO_BOOT: Final = "00000000-0000-0000-0000-000000000000"


async def trial(name: str, settings: SinkSettings) -> dict[str, Any]:
    """POST a `kevmond.test` event and return the answer as JSON has it.

    With `ok` false either `status`, headers and body tell what the receiver said, or `error` why
    there was no answer.
    """
    from kevmond.sinks.webhook.settings import WebhookSettings  # noqa: PLC0415 - only for a test
    from kevmond.sinks.webhook.sink import probe  # noqa: PLC0415 - as above

    if not isinstance(settings, WebhookSettings):
        return {"name": name, "ok": False, "error": "its settings are not understood"}
    told = own.Test(sink=name, detail="a test, asked for by hand; it may be thrown away")
    context = Context(host=socket.gethostname(), boot_id=NO_BOOT)
    record = own.own_record(context, told, seq=0, wall_ns=time.time_ns())
    facts: dict[str, Any] = {"name": name, "url": settings.url, "event_id": record.event.id}
    try:
        answer = await probe(settings, record)
    except SinkError as error:
        return {**facts, "ok": False, "error": str(error)}
    return {
        **facts,
        "ok": answer.taken,
        "status": answer.status,
        "outcome": answer.outcome,
        "seconds": round(answer.seconds, 3),
        "headers": dict(answer.headers),
        "body": answer.body.decode("utf-8", "replace")[:EXCERPT],
    }

"""/v1/status and its kin."""

from __future__ import annotations

from typing import Final

from kevmond.api.operations.shapes import (
    ANYTHING,
    NUMBER,
    TEXT,
    TIME,
    WHOLE,
    YES,
    Answer,
    Operation,
    Shape,
    many,
    maybe,
    one,
    record,
    ref,
    table,
    told,
    words,
)

HEALTH: Final = words("ok", "degraded", "failing")

_FINDINGS: Final = many(ref("Finding"))
_REPORT: Final[dict[str, Shape]] = {
    "state": words("applied", "refused"),
    "applied": told(many(TEXT), "Keys that hold from now on."),
    "needs_restart": told(many(TEXT), "Keys that changed and hold from the next start on."),
    "problems": told(many(TEXT), "What could not be done, or why it was refused."),
    "file": maybe(TEXT),
}

SCHEMAS: Final[dict[str, Shape]] = {
    "Finding": record(
        what=told(TEXT, "Kind of finding; docs/status.md has all of them."),
        text=TEXT,
        hint=told(TEXT, "What to do about it."),
        about=told(maybe(TEXT), "Name of the consumer, where it is one's."),
        events=told(maybe(WHOLE), "How many events it is about, where that can be told."),
    ),
    "Health": record(health=HEALTH, problems=_FINDINGS),
    "Consumer": record(
        {
            "peer": told(TEXT, "Who reads a stream."),
            "filter": told(TEXT, "What a stream asked for."),
            "sent": told(WHOLE, "Events that a stream was sent."),
        },
        name=TEXT,
        kind=words("sink", "webhook", "stream"),
        type=TEXT,
        state=TEXT,
        since=maybe(TIME),
        lag=told(WHOLE, "Records behind the newest."),
        position=WHOLE,
        delivered=WHOLE,
        filtered=WHOLE,
        held=WHOLE,
        dropped=WHOLE,
        missed=WHOLE,
        retried=WHOLE,
        buried=WHOLE,
        dead_letters=WHOLE,
        last_error=maybe(TEXT),
        attempts=WHOLE,
        failing_since=maybe(TIME),
        next_attempt=maybe(TIME),
    ),
    "Server": record(
        socket=maybe(TEXT),
        group=maybe(TEXT),
        page_port=told(maybe(WHOLE), "Port of the live page, while it listens."),
        metrics_port=maybe(WHOLE),
        callers=told(WHOLE, "Connections now."),
        most_callers=WHOLE,
        requests=WHOLE,
        refused=told(table(WHOLE), "How often what was refused."),
        problems=told(many(TEXT), "What of [api] does not work."),
    ),
    "Status": record(
        health=HEALTH,
        problems=_FINDINGS,
        warnings=_FINDINGS,
        daemon=record(
            version=TEXT,
            pid=WHOLE,
            user=TEXT,
            started=TIME,
            uptime=told(NUMBER, "Seconds."),
            rss_bytes=maybe(WHOLE),
            cpu_seconds=NUMBER,
            cpu_percent=told(NUMBER, "Of one processor, over the last `cpu_percent_over` seconds."),
            cpu_percent_over=NUMBER,
            threads=maybe(WHOLE),
            open_files=maybe(WHOLE),
        ),
        kernel=record(
            name=TEXT,
            connected=YES,
            receive_space=told(maybe(WHOLE), "Receive buffer that the kernel granted, bytes."),
            asked_space=told(WHOLE, "Receive buffer that was asked for, bytes."),
            filter=told(
                {
                    **record(vendor=WHOLE, subclass=WHOLE, open=YES),
                    "properties": {"vendor": WHOLE, "class": WHOLE, "subclass": WHOLE, "open": YES},
                    "required": ["vendor", "class", "subclass", "open"],
                },
                "What the kernel is asked for; 0 is everything.",
            ),
            reopened=WHOLE,
            errors=WHOLE,
            host=TEXT,
            boot_id=TEXT,
            os_release=maybe(TEXT),
            os_build=maybe(TEXT),
        ),
        events=told(ANYTHING, "Figures of what was read, known, unknown and lost; docs/loss.md."),
        journal=told(ANYTHING, "Figures of the journal."),
        consumers=many(ref("Consumer")),
        api=ref("Server"),
        config=record(file=maybe(TEXT)),
    ),
    "Report": record(**_REPORT),
    "RefusedReport": record(error=TEXT, hint=TEXT, **_REPORT),
}

OPERATIONS: Final = {
    ("GET", "/v1/status"): Operation(one("How it is, and all figures", ref("Status"))),
    ("GET", "/v1/health"): Operation(
        {
            200: Answer("All is well", ref("Health")),
            503: Answer("It is not, and this is why", ref("Health")),
        }
    ),
    ("GET", "/v1/metrics"): Operation(
        {
            200: Answer(
                "Metrics (docs/metrics.md)",
                TEXT,
                ("text/plain", "application/openmetrics-text"),
            )
        }
    ),
    ("GET", "/v1/config"): Operation(
        one("What is in force", record(file=maybe(TEXT), settings=ANYTHING))
    ),
    ("POST", "/v1/reload"): Operation(
        {
            200: Answer("It was taken over", ref("Report")),
            422: Answer("Nothing was changed", ref("RefusedReport")),
        }
    ),
}

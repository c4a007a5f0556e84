"""/v1/events: history, counts, the stream, and what became of one event."""

from __future__ import annotations

from typing import Final

from kevmond.api.operations.shapes import (
    NUMBER,
    TEXT,
    TIME,
    WHOLE,
    YES,
    Answer,
    Operation,
    Parameter,
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

FILTER: Final = Parameter(
    "filter",
    "A rule of the filter language (docs/filters.md); several are alternatives, as in a sink.",
    many(TEXT),
)
CONDITION: Final = (
    FILTER,
    Parameter("type", "Type of event, or a pattern such as `network.dl.*`; several by commas."),
    Parameter("interface", "Name of an interface, or a pattern such as `en*`; several by commas."),
    Parameter("text", "What stands somewhere in the event's JSON, in upper or lower case."),
)
SINCE: Final = Parameter("since", "Not before this time: RFC 3339, or how long ago, such as `10m`.")
UNTIL: Final = Parameter("until", "Not after this time, in the same forms.")
SPAN: Final = (
    Parameter("after", "Behind this position (`seq`).", WHOLE),
    Parameter("before", "Before this position.", WHOLE),
    SINCE,
    UNTIL,
)
ID: Final = Parameter("id", "The event's `id`, or its position (`seq`).", TEXT, "path")

_GONE: Final = {404: "the event is not in the journal (any more)"}

SCHEMAS: Final[dict[str, Shape]] = {
    "Page": record(
        events=many(ref("Event")),
        first=told(maybe(WHOLE), "Position of the first event of this page."),
        last=told(maybe(WHOLE), "Position up to which was looked: `after` of the next page."),
        more=told(YES, "Whether there may be more behind it."),
        oldest=told(WHOLE, "Position of the oldest record in the journal."),
        newest=told(WHOLE, "Position of the newest."),
    ),
    "Counts": record(
        bucket=told(WHOLE, "Seconds that are counted together."),
        total=WHOLE,
        by=table(WHOLE),
        buckets=told(
            many(record(time=TIME, count=WHOLE, by=table(WHOLE))),
            "Those in which something was, the oldest first.",
        ),
        cut=told(YES, "Whether there were more events than are looked at."),
        looked_at=told(WHOLE, "Records that were looked at."),
        looked_from=told(maybe(TIME), "How far back was looked."),
    ),
    "Explanation": record(
        event=ref("Event"),
        consumers=many(
            record(
                name=TEXT,
                kind=words("sink", "webhook", "stream"),
                type=maybe(TEXT),
                verdict=words(
                    "delivered",
                    "waiting",
                    "filtered",
                    "dead-letter",
                    "before-it-began",
                    "missed",
                    "paused",
                ),
                why=TEXT,
                at=told(maybe(WHOLE), "Position up to which this consumer has come."),
            )
        ),
    ),
}

_STREAM: Final = """\
Server-sent events: `hello` first; `event` with `id: SEQ` and an event as its data; `caught-up` once
all that was there is told; `missed` where the journal no longer has what was asked for; `position`
now and then, where a filter holds much back; `bye` when the daemon stops.  A comment every 15 s."""

OPERATIONS: Final = {
    ("GET", "/v1/events"): Operation(
        one("A page of events", ref("Page")),
        (
            *CONDITION,
            *SPAN,
            Parameter("limit", "Most events in the answer: 100, and no more than 1000.", WHOLE),
            Parameter("order", "The oldest first, or the newest.", words("asc", "desc")),
        ),
    ),
    ("GET", "/v1/events/stream"): Operation(
        {200: Answer(_STREAM, TEXT, ("text/event-stream",))},
        (
            *CONDITION,
            Parameter("after", "Begin behind this position; without, with what comes.", WHOLE),
            SINCE,
            Parameter("Last-Event-ID", "The same, and it wins over `after`.", WHOLE, "header"),
        ),
        refusals={503: "too many streams are open"},
    ),
    ("GET", "/v1/events/counts"): Operation(
        one("Figures", ref("Counts")),
        (
            *CONDITION,
            *SPAN,
            Parameter("bucket", "Seconds that are counted together: 60; 0 for none.", NUMBER),
            Parameter("by", "What is told apart.", words("type", "interface", "severity")),
        ),
    ),
    ("GET", "/v1/events/{id}"): Operation(one("The event", ref("Event")), (ID,), refusals=_GONE),
    ("GET", "/v1/events/{id}/explain"): Operation(
        one("Every consumer's verdict", ref("Explanation")), (ID,), refusals=_GONE
    ),
}

"""/v1/interfaces: as they are, and as they were."""

from __future__ import annotations

from typing import Final

from kevmond.api.operations.events import SINCE
from kevmond.api.operations.shapes import (
    TEXT,
    TIME,
    WHOLE,
    YES,
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

LOOKED_FROM: Final = told(maybe(TIME), "How far back in the journal was looked.")

SCHEMAS: Final[dict[str, Shape]] = {
    "Interface": record(
        name=TEXT,
        state=words("up", "down", "unknown", "gone"),
        up=maybe(YES),
        running=maybe(YES),
        addresses=many(record(address=TEXT, since=TIME, since_seq=WHOLE)),
        link_address=maybe(TEXT),
        mtu=maybe(WHOLE),
        link_quality=maybe(WHOLE),
        link_quality_word=maybe(TEXT),
        since=told(table(TIME), "Since when what is as it is, as far as is known."),
        unsure=told(many(TEXT), "What may be different by now: the kernel did not say to what."),
        gone=YES,
        last_event=maybe(record(seq=WHOLE, type=TEXT, time=TIME)),
    ),
    "Interfaces": record(interfaces=many(ref("Interface")), looked_from=LOOKED_FROM),
    "Timeline": record(
        since=TIME,
        until=TIME,
        lanes=many(
            record(
                interface=TEXT,
                kind=words("interface", "link", "address"),
                label=TEXT,
                cut=told(YES, "Whether there were more spans, older ones."),
                spans=many(
                    record(
                        from_=TIME,
                        to=told(maybe(TIME), "null: it is so still."),
                        state=words("up", "down", "present"),
                    )
                ),
            )
        ),
        looked_from=LOOKED_FROM,
    ),
}

OPERATIONS: Final = {
    ("GET", "/v1/interfaces"): Operation(one("All of them", ref("Interfaces"))),
    ("GET", "/v1/interfaces/timeline"): Operation(one("Lanes", ref("Timeline")), (SINCE,)),
}

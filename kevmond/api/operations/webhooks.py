"""/v1/webhooks: subscriptions, and the care of all webhooks."""

from __future__ import annotations

from typing import Final

from kevmond.api.operations.shapes import (
    ANYTHING,
    NUMBER,
    TEXT,
    TIME,
    WHOLE,
    YES,
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
from kevmond.api.webhook_routes import AddBody, DisableBody, ReplayBody, RotateBody

NAME: Final = Parameter("name", "Name of the webhook.", TEXT, "path")

_UNKNOWN: Final = {404: "there is no webhook of this name"}
_CONFLICT: Final = {**_UNKNOWN, 409: "as the webhook stands, that cannot be done"}

_REPLAY: Final = record(
    what=TEXT,
    state=words("running", "done", "stopped", "interrupted"),
    taken=WHOLE,
    refused=WHOLE,
    event_id=told(maybe(TEXT), "Event that was tried last."),
    error=maybe(TEXT),
    started=TIME,
)
_FIGURES: Final[dict[str, Shape]] = {
    "position": WHOLE,
    "delivered": WHOLE,
    "filtered": WHOLE,
    "retried": WHOLE,
    "buried": WHOLE,
    "dropped": WHOLE,
    "missed": WHOLE,
    "last_error": maybe(TEXT),
    "attempts": WHOLE,
    "failing_since": maybe(TIME),
    "next_attempt": maybe(TIME),
}
_OVERVIEW: Final[dict[str, Shape]] = {
    "name": TEXT,
    "origin": words("configuration", "subscription"),
    "url": maybe(TEXT),
    "format": maybe(TEXT),
    "filter": many(TEXT),
    "signed": YES,
    "rotation_ends": maybe(TIME),
    "created": maybe(TIME),
    "standing": words("active", "paused", "disabled"),
    "reason": maybe(TEXT),
    "since": maybe(TIME),
    "dead_letters": WHOLE,
    "replay": maybe(ref("Replay")),
    "state": TEXT,
    "lag": WHOLE,
}
_SETTINGS: Final = told(ANYTHING, "Its settings (docs/webhooks.md); secrets stand as references.")
_MADE: Final = told(TEXT, "The secret, if one was made: told this once.")

SCHEMAS: Final[dict[str, Shape]] = {
    "Replay": _REPLAY,
    "Webhook": record(_FIGURES, **_OVERVIEW),
    "WebhookDetails": record(_FIGURES, **_OVERVIEW, settings=_SETTINGS),
    "WebhookMade": record({**_FIGURES, "secret": _MADE}, **_OVERVIEW, settings=_SETTINGS),
    "Trial": record(
        {
            "url": TEXT,
            "event_id": TEXT,
            "error": told(TEXT, "Why there was no answer."),
            "status": WHOLE,
            "outcome": TEXT,
            "seconds": NUMBER,
            "headers": table(TEXT),
            "body": TEXT,
        },
        name=TEXT,
        ok=YES,
    ),
    "DeadLetter": record(
        number=told(WHOLE, "`after` of the next page."),
        seq=WHOLE,
        event_id=TEXT,
        buried=TIME,
        story=told({}, "Its attempts."),
        event=told({}, "The event, as it would have been delivered."),
    ),
}

_ONE: Final = "/v1/webhooks/{name}"
_DETAILS: Final = one("The webhook, as it is now", ref("WebhookDetails"))

OPERATIONS: Final = {
    ("GET", "/v1/webhooks"): Operation(
        one("All of them", record(webhooks=many(ref("Webhook")))),
    ),
    ("POST", "/v1/webhooks"): Operation(
        one("It is subscribed, and on the disk", ref("WebhookMade"), 201),
        body=AddBody,
        refusals={409: "the name is taken"},
    ),
    ("GET", _ONE): Operation(_DETAILS, (NAME,), refusals=_UNKNOWN),
    ("DELETE", _ONE): Operation(
        one(
            "It is gone",
            record(
                name=TEXT,
                removed=YES,
                waiting=told(WHOLE, "Events that it had still to get."),
                dead_letters=WHOLE,
            ),
        ),
        (NAME, Parameter("force", "1: give its dead letters up.", words("1", "true"))),
        refusals=_CONFLICT,
    ),
    ("POST", f"{_ONE}/test"): Operation(
        one("What the receiver said", ref("Trial")), (NAME,), refusals=_UNKNOWN
    ),
    ("POST", f"{_ONE}/pause"): Operation(_DETAILS, (NAME,), refusals=_CONFLICT),
    ("POST", f"{_ONE}/resume"): Operation(_DETAILS, (NAME,), refusals=_CONFLICT),
    ("POST", f"{_ONE}/disable"): Operation(_DETAILS, (NAME,), DisableBody, _CONFLICT),
    ("POST", f"{_ONE}/rotate-secret"): Operation(
        one("The webhook, and a secret that was made", ref("WebhookMade")),
        (NAME,),
        RotateBody,
        _CONFLICT,
    ),
    ("POST", f"{_ONE}/replay"): Operation(
        one(
            "It has begun; `GET` tells how far it is", record(name=TEXT, replay=ref("Replay")), 202
        ),
        (NAME,),
        ReplayBody,
        _CONFLICT,
    ),
    ("GET", f"{_ONE}/failures"): Operation(
        one(
            "Dead letters, the oldest first",
            record(name=TEXT, failures=many(ref("DeadLetter")), more=YES),
        ),
        (
            NAME,
            Parameter("after", "Behind the letter of this number.", WHOLE),
            Parameter("limit", "Most letters in the answer: 100, and no more than 1000.", WHOLE),
        ),
        refusals=_UNKNOWN,
    ),
}

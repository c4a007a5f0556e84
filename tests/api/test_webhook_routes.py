"""What each webhook route asks the daemon's subscriptions for, and how refusals are told."""

import pytest

from kevmond.api.client import ApiRefusal
from kevmond.errors import ConfigError
from kevmond.sinks.replay import Wanted
from kevmond.sinks.webhookbook import ConflictError, UnknownWebhookError

ROUTES = [
    (("GET", "webhooks", "a"), {}, ("show", ("a",), {})),
    (("DELETE", "webhooks", "a"), {}, ("remove", ("a",), {"force": False})),
    (("DELETE", "webhooks", "a"), {"query": {"force": 1}}, ("remove", ("a",), {"force": True})),
    (("POST", "webhooks", "a", "test"), {}, ("test", ("a",), {})),
    (("POST", "webhooks", "a", "pause"), {}, ("pause", ("a",), {})),
    (("POST", "webhooks", "a", "resume"), {}, ("resume", ("a",), {})),
    (("POST", "webhooks", "a", "disable"), {}, ("disable", ("a", None), {})),
    (
        ("POST", "webhooks", "a", "disable"),
        {"body": {"reason": "why"}},
        ("disable", ("a", "why"), {}),
    ),
    (
        ("POST", "webhooks", "a", "rotate-secret"),
        {"body": {"overlap": "2h"}},
        ("rotate_secret", ("a",), {"secret": None, "overlap": 7200.0}),
    ),
    (
        ("POST", "webhooks"),
        {"body": {"settings": {"url": "https://x.example/"}, "generate": True}},
        (
            "add",
            ({"url": "https://x.example/"},),
            {"name": None, "secret": None, "generate": True},
        ),
    ),
    (
        ("GET", "webhooks", "a b/c", "failures"),
        {"query": {"after": 3, "limit": 5000}},
        ("failures", ("a b/c",), {"after": 3, "limit": 1000}),
    ),
    (
        ("POST", "webhooks", "a", "replay"),
        {"body": {"event_id": "17"}},
        ("replay", ("a", Wanted(event_id="17")), {}),
    ),
    (
        ("POST", "webhooks", "a", "replay"),
        {"body": {"failed": True}},
        ("replay", ("a", Wanted(failed=True)), {}),
    ),
    (
        ("POST", "webhooks", "a", "replay"),
        {"body": {"since": "1970-01-01T00:00:01Z"}},
        ("replay", ("a", Wanted(since_ns=1_000_000_000)), {}),
    ),
]


@pytest.mark.parametrize(("request_", "rest", "call"), ROUTES)
async def test_route_asks_for_what_it_says(ask, subscriptions, request_, rest, call):
    """Every route turns into one call, with its body and query checked."""
    await ask(*request_, **rest)
    assert subscriptions.calls == [call]


WRONG = [
    (("POST", "webhooks"), {"body": {}}, "settings: Field required"),
    (("POST", "webhooks"), {"body": {"settings": {}, "nam": "x"}}, "nam: Extra inputs"),
    (("POST", "webhooks", "a", "replay"), {"body": {}}, "say what to replay"),
    (
        ("POST", "webhooks", "a", "replay"),
        {"body": {"event_id": "1", "failed": True}},
        "say what to replay",
    ),
    (("POST", "webhooks", "a", "replay"), {"body": {"since": "noon"}}, "not a time: 'noon'"),
    (
        ("POST", "webhooks", "a", "replay"),
        {"body": {"since": "1h", "until": "2h"}},
        "since is later than until",
    ),
    (("POST", "webhooks", "a", "rotate-secret"), {"body": {"overlap": "x"}}, "overlap: not a dur"),
    (("GET", "webhooks", "a", "failures"), {"query": {"after": "x"}}, "after: not a number"),
]


@pytest.mark.parametrize(("request_", "rest", "text"), WRONG)
async def test_wrong_request_is_explained(ask, subscriptions, request_, rest, text):
    """What cannot be understood reaches no subscription, and says what is wrong."""
    with pytest.raises(ApiRefusal, match=text) as refusal:
        await ask(*request_, **rest)
    assert refusal.value.status == 422
    assert subscriptions.calls == []


@pytest.mark.parametrize(
    ("error", "status", "hint"),
    [
        (UnknownWebhookError("no", "did you mean b?"), 404, "did you mean b?"),
        (ConflictError("no", "first resume it"), 409, "first resume it"),
        (ConfigError("no"), 422, ""),
        (ZeroDivisionError("no"), 500, "a bug: please report it"),
    ],
)
async def test_refusal_has_its_status_and_its_hint(ask, subscriptions, error, status, hint):
    """Errors travel as JSON with what to do."""
    subscriptions.error = error
    with pytest.raises(ApiRefusal) as refusal:
        await ask("GET", "webhooks", "a")
    assert (refusal.value.status, refusal.value.hint) == (status, hint)

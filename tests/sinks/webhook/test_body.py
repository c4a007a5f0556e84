"""Bodies in each format, read back by whoever receives them."""

import json
from datetime import UTC, datetime

import pytest
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from kevmond.events.event import Context
from kevmond.sinks.testing import odd_records, record, records
from kevmond.sinks.webhook.body import compose
from kevmond.sinks.webhook.settings import WebhookSettings

LIMIT = 1 << 20


def settings(**more):
    """Return settings for a body."""
    return WebhookSettings(url="https://hooks.example/", **more)


def read_cloud_event(data):
    """Read one CloudEvent as its SDK does; that checks it against the specification."""
    return JSONFormat().read(CloudEvent, data)


def test_single_event_is_its_json():
    """One event a request: the body is the very line that every sink writes."""
    batch = records(1, 3)
    body = compose(batch, settings(), LIMIT)
    assert (body.content, body.count) == (batch[0].line, 1)
    assert (body.webhook_id, body.content_type) == (batch[0].event.id, "application/json")


def test_batched_events_are_an_array_whatever_their_number():
    """With batch_size above one a receiver gets an array each time, of one event as well."""
    batch = records(1, 3)
    body = compose(batch, settings(batch_size=50), LIMIT)
    assert json.loads(body.content) == [json.loads(one.line) for one in batch]
    alone = compose(batch[:1], settings(batch_size=50), LIMIT)
    assert json.loads(alone.content) == [json.loads(batch[0].line)]
    assert alone.webhook_id == batch[0].event.id


def test_batch_size_bounds_a_body():
    """No more events than asked for are in a body."""
    assert compose(records(1, 9), settings(batch_size=4), LIMIT).count == 4


@pytest.mark.parametrize("form", ["event", "cloudevents-batch"])
def test_bytes_bound_a_body(form):
    """A body has as many events as its bytes allow, and never fewer than one."""
    batch = records(1, 9)
    chosen = settings(batch_size=9, format=form)
    whole = compose(batch, chosen, LIMIT)
    size = len(whole.content)
    assert whole.count == 9
    assert compose(batch, chosen, size).count == 9
    assert compose(batch, chosen, size - 1).count == 8
    for limit in range(1, size, 97):
        body = compose(batch, chosen, limit)
        assert len(body.content) <= limit or body.count == 1


@pytest.mark.parametrize("odd", odd_records(1), ids=lambda odd: odd.event.type)
def test_cloud_event_is_one(odd):
    """The CloudEvents SDK takes each of our events, with id, source, type, time and data."""
    body = compose([odd], settings(format="cloudevents"), LIMIT)
    assert body.content_type == "application/cloudevents+json; charset=utf-8"
    event, read = odd.event, read_cloud_event(body.content)
    assert read.get_id() == body.webhook_id == event.id
    assert read.get_source() == "kevmond://mac.example/"
    assert read.get_type() == event.type
    assert read.get_time() == datetime.fromisoformat(event.time).astimezone(UTC)
    assert read.get_subject() == (event.interface or None)
    assert read.get_extension("sequence") == f"{event.seq:020d}"
    assert read.get_data() == json.loads(odd.line)


def test_batch_of_cloud_events():
    """Each element of a batch is a CloudEvent."""
    batch = records(1, 5)
    body = compose(batch, settings(format="cloudevents-batch", batch_size=9), LIMIT)
    assert body.content_type == "application/cloudevents-batch+json; charset=utf-8"
    read = [read_cloud_event(json.dumps(one)) for one in json.loads(body.content)]
    assert [one.get_id() for one in read] == [one.event.id for one in batch]
    assert [one.get_subject() for one in read] == ["en0"] * 5


def test_source_is_a_uri_whatever_the_host_is_called():
    """A machine's name with odd characters is quoted."""
    from kevmond.events.decoder import Decoder

    context = Context(host="Müller's Mac/1", boot_id="b")
    odd = Decoder(context).record(record(1).body, seq=1, wall_ns=1)
    read = read_cloud_event(compose([odd], settings(format="cloudevents"), LIMIT).content)
    assert read.get_source() == "kevmond://M%C3%BCller%27s%20Mac%2F1/"

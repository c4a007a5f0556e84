"""The judge is judged: each kind of wrong that the account is there to find, it finds."""

import json
import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest

HERE = Path(__file__).parent
ACCOUNT = runpy.run_path(str(HERE / "account.py"))
DELIVERY = runpy.run_path(str(HERE / "request.py"))["Delivery"]


def event(seq, kernel_id=None, kind="network.dl.link-on", **payload):
    """Make an event as far as the account looks at it."""
    raw = None if kernel_id is None else bytes(24).hex() + f"{kernel_id:08x}"
    return {
        "id": f"id-{seq}",
        "seq": seq,
        "kernel_id": kernel_id,
        "type": kind,
        "payload": payload,
        "raw": raw,
    }


def issued(*kernel_ids):
    """Return what the kernel posted."""
    return {number: number.to_bytes(4, "big") for number in kernel_ids}


def missed(seq, count, current_id):
    """Make a kevmond.missed."""
    return event(seq, kind="kevmond.missed", count=count, current_id=current_id)


def loss(seq, lost, late=0):
    """Make a kevmond.loss of the kernel's."""
    return event(seq, kind="kevmond.loss", lost=lost, late=late, source="id-gap", consumer=None)


GOOD = {
    "all delivered": [event(1, 1), event(2, 2), event(3, 3)],
    "missed": [event(1, 1), missed(2, 1, 2), event(3, 3)],
    "lost": [event(1, 1), loss(2, 1), event(3, 3)],
    "lost, and one came late": [loss(1, 2), event(2, 1), loss(3, 0, late=1), event(4, 3)],
    "before the filter": [event(1, 1), missed(2, 0, 1), event(3, 3)],
}
BAD = {
    "one vanished": [event(1, 1), event(2, 3)],
    "counted twice": [event(1, 1), missed(2, 1, 2), loss(3, 1), event(4, 3)],
    "delivered and counted": [event(1, 1), event(2, 2), event(3, 3), loss(4, 1)],
    "there twice": [event(1, 1), event(2, 2), event(3, 2), event(4, 3)],
    "one position twice": [event(1, 1), event(1, 2), event(3, 3)],
    "out of order": [event(1, 2), event(2, 1), event(3, 3)],
    "another payload": [event(1, 1), {**event(2, 2), "raw": bytes(28).hex()}, event(3, 3)],
}


@pytest.mark.parametrize("case", GOOD)
def test_lines_that_account_for_all(case):
    """Delivered, missed, lost, or posted before the filter was set: all is told."""
    assert ACCOUNT["check_lines"](GOOD[case], issued(1, 2, 3))["posted"] == 3


@pytest.mark.parametrize("case", BAD)
def test_lines_that_do_not(case):
    """Whatever does not add up is found."""
    with pytest.raises(AssertionError):
        ACCOUNT["check_lines"](BAD[case], issued(1, 2, 3))


def test_torn_line_is_found(tmp_path):
    """A file that ends in the middle of a line is an error, wherever it is."""
    (tmp_path / "events-1.jsonl").write_text(json.dumps(event(1, 1)) + "\n")
    assert len(ACCOUNT["read_lines"](tmp_path)) == 1
    (tmp_path / "events.jsonl").write_text(json.dumps(event(2, 2))[:-3])
    with pytest.raises(AssertionError, match="middle of a line"):
        ACCOUNT["read_lines"](tmp_path)


EVENTS = [event(seq, seq) for seq in range(1, 7)]


def delivered(*steps):
    """Make an endpoint of what it was sent: (run, first, last, verdict)."""
    deliveries = []
    for run, first, last, verdict in steps:
        batch = EVENTS[first - 1 : last]
        delivery = DELIVERY(run, f"batch-{first}-{last}" if last > first else f"id-{first}", batch)
        delivery.verdict = verdict
        deliveries.append(delivery)
    return SimpleNamespace(name="one", complaints=[], deliveries=deliveries)


def check(*steps, **more):
    """Hold an endpoint against the six events."""
    return ACCOUNT["check_endpoint"](
        delivered(*steps), EVENTS, wants=more.pop("wants", lambda event: True), **more
    )


def test_endpoints_that_got_everything():
    """Refused ones are tried again, a death repeats a stretch, a dead letter is passed over."""
    assert check((1, 1, 6, "taken")) == 0
    assert check((1, 1, 2, "refused"), (1, 1, 4, "taken"), (1, 5, 6, "taken")) == 2
    assert check((1, 1, 4, "taken"), (2, 2, 6, "taken")) == 3
    assert check((1, 1, 4, "unsure"), (1, 1, 4, "taken"), (1, 5, 6, "taken")) == 4
    assert (
        check((1, 1, 2, "taken"), (1, 3, 3, "refused"), (1, 4, 6, "taken"), letters=["id-3"]) == 0
    )
    odd = {"wants": lambda event: event["seq"] % 2}
    assert check((1, 1, 1, "taken"), (1, 3, 3, "taken"), (1, 5, 5, "taken"), **odd) == 0


@pytest.mark.parametrize(
    "steps",
    [
        [(1, 1, 4, "taken")],
        [(1, 1, 2, "taken"), (1, 4, 6, "taken")],
        [(1, 1, 4, "taken"), (1, 5, 6, "refused")],
        [(1, 1, 6, "taken"), (1, 3, 6, "taken")],
        [(1, 1, 3, "refused"), (1, 4, 6, "taken"), (2, 1, 3, "taken")],
        [(1, 4, 6, "taken"), (1, 1, 3, "taken")],
        [(1, 1, 3, "taken"), (2, 5, 6, "taken"), (3, 4, 6, "taken")],
    ],
    ids=[
        "the end is missing",
        "one is missing",
        "never taken",
        "repeated without a death",
        "passed over for a while",
        "the wrong way round",
        "passed over by a run",
    ],
)
def test_endpoints_that_did_not(steps):
    """What is missing, repeated or out of order is found."""
    with pytest.raises(AssertionError):
        check(*steps)


def test_repetition_after_a_clean_stop_is_found():
    """A stop in order leaves nothing to be repeated but the request that it may have cut short."""
    steps = [(1, 1, 2, "taken"), (1, 3, 4, "taken"), (2, 1, 6, "taken")]
    check(*steps)
    with pytest.raises(AssertionError, match="clean stop"):
        check(*steps, clean_stops=[1])
    check(*steps[:2], (2, 3, 6, "taken"), clean_stops=[1])


def test_an_event_that_was_not_asked_for_is_found():
    """A filter lets through what it was told to, and no more."""
    with pytest.raises(AssertionError, match="not asked for"):
        check((1, 1, 6, "taken"), wants=lambda event: event["seq"] != 3)


def test_another_content_is_found():
    """The same id must be the same event, to the last field."""
    endpoint = delivered((1, 1, 6, "taken"))
    endpoint.deliveries[0].digests[2] = b"another"
    with pytest.raises(AssertionError, match="differs"):
        ACCOUNT["check_endpoint"](endpoint, EVENTS, wants=lambda event: True)


def test_one_webhook_id_for_two_batches_is_found():
    """A receiver drops what bears an id that it knows: no other batch may bear it."""
    endpoint = delivered((1, 1, 4, "taken"), (1, 5, 6, "taken"))
    endpoint.deliveries[1].identity = endpoint.deliveries[0].identity
    with pytest.raises(AssertionError, match="names two batches"):
        ACCOUNT["check_endpoint"](endpoint, EVENTS, wants=lambda event: True)

"""What must hold whatever was killed and whatever failed: posted = delivered + counted.

Three steps.  Of what the kernel posted, each event is in the JSON lines or counted there by
kevmond.missed or kevmond.loss.  Of what is in the JSON lines, each event that an endpoint asked
for was taken by it, is in its dead letters, or is counted there as that endpoint's loss.  And each
endpoint got them in order.
"""

import gzip
import itertools
import json
import runpy
from pathlib import Path

DIGEST = runpy.run_path(str(Path(__file__).parent / "request.py"))["digest"]
HEADER = 24
"""Bytes of a kern_event_msg before its payload."""
OF_KERNEL = ("id-gap", "tail", "socket-counter")
"""Sources of kevmond.loss that speak of events which never reached the journal."""


def read_lines(folder):
    """Return the events of all JSON lines files in order; every line must be whole."""
    events = []
    for path in folder.glob("events*.jsonl*"):
        data = path.read_bytes()
        if path.suffix == ".gz":
            data = gzip.decompress(data)
        assert data.endswith(b"\n") or not data, f"{path.name} ends in the middle of a line"
        found = [json.loads(line) for line in data.splitlines()]
        positions = [event["seq"] for event in found]
        assert positions == sorted(positions), f"{path.name} is out of order"
        events += found
    events.sort(key=lambda event: event["seq"])
    return events


def check_lines(events, issued):
    """Hold the JSON lines against what the kernel posted: {kernel id: payload}.

    Returns {what happened: how often}.
    """
    positions = [event["seq"] for event in events]
    assert len(set(positions)) == len(positions), "a position is there twice"
    assert len({event["id"] for event in events}) == len(events), "an id is there twice"
    from_kernel = [event for event in events if event["kernel_id"] is not None]
    order = [event["kernel_id"] for event in from_kernel]
    assert order == sorted(set(order)), "kernel events are not in the order they were posted in"
    for event in from_kernel:
        payload = issued[event["kernel_id"]]
        assert event["raw"][2 * HEADER :] == payload.hex(), f"another payload: {event}"

    missed = _payloads(events, "kevmond.missed")
    losses = [one for one in _payloads(events, "kevmond.loss") if one["source"] in OF_KERNEL]
    counted = sum(one["count"] for one in missed)
    lost = sum(one["lost"] - one["late"] for one in losses)
    gone = issued.keys() - set(order)
    rest = len(gone) - counted - lost
    # What is posted between the asking for the last id and the setting of the filter nobody hears.
    deaf = sum(_run_behind(gone, one["current_id"]) for one in missed) if rest else 0
    assert 0 <= rest <= deaf, (
        f"posted {len(issued)}, delivered {len(order)}, missed {counted}, lost {lost}: "
        f"{rest} are not accounted for, of which {deaf} may have come before the filter"
    )
    return {"posted": len(issued), "delivered": len(order), "missed": counted, "lost": lost}


def _payloads(events, kind):
    return [event["payload"] for event in events if event["type"] == kind]


def _run_behind(gone, kernel_id):
    count = 0
    while kernel_id + count + 1 in gone:
        count += 1
    return count


def check_endpoint(endpoint, events, *, wants, letters=(), clean_stops=(), ordered=True):
    """Hold what an endpoint took against the JSON lines; return the number of repeated events.

    `events` are those that it must have by now, `wants(event)` is its filter, `letters` the ids in
    its dead letters, `clean_stops` the runs that ended in order.  An endpoint to which something
    was replayed is not `ordered`.
    """
    name = endpoint.name
    assert endpoint.complaints == [], f"{name}: {endpoint.complaints[:3]}"
    known = {event["id"]: event for event in events}
    newest = events[-1]["seq"]
    taken, shown = set(), set()
    identities = {}
    for delivery in endpoint.deliveries:
        for event_id, seq, digest in zip(
            delivery.ids, delivery.seqs, delivery.digests, strict=True
        ):
            if seq > newest:
                continue
            event = known.get(event_id)
            assert event is not None, f"{name}: {event_id} at {seq} is in no file"
            assert (seq, digest) == (event["seq"], DIGEST(event)), f"{name}: {event_id} differs"
            assert wants(event), f"{name}: {event['type']} was not asked for"
        shown.update(delivery.ids)
        if delivery.verdict != "refused":
            taken.update(delivery.ids)
        whole = identities.setdefault(delivery.identity, delivery.ids)
        assert whole == delivery.ids, f"{name}: {delivery.identity} names two batches"

    letters = set(letters)
    wanted = {event["id"]: event["seq"] for event in events if wants(event)}
    absent = sorted(seq for one, seq in wanted.items() if one not in taken and one not in letters)
    counted = sum(
        one["lost"]
        for one in _payloads(events, "kevmond.loss")
        if one["consumer"] in {name, f"sink.{name}"}
    )
    assert len(absent) <= counted, (
        f"{name}: {len(absent)} events are neither delivered nor counted ({counted} are), "
        f"at {absent[:20]}"
    )
    order = sorted(wanted[one] for one in letters if one in wanted)
    if ordered:
        _check_order(endpoint, {*order, *absent}, sorted(wanted.values()), clean_stops)
    return sum(len(delivery.ids) for delivery in endpoint.deliveries) - len(shown)


def _check_order(endpoint, excused, wanted, clean_stops):
    """Within a run nothing goes back or is passed over; after a clean stop nothing is repeated."""
    place = {seq: index for index, seq in enumerate(wanted)}
    runs = {}
    for delivery in endpoint.deliveries:
        if delivery.seqs[0] in place and delivery.seqs[-1] in place:
            runs.setdefault(delivery.run, []).append(delivery)
    newest = -1
    for run, deliveries in sorted(runs.items()):
        first = place[deliveries[0].seqs[0]]
        skipped = [seq for seq in wanted[newest + 1 : first] if seq not in excused]
        assert not skipped, f"{endpoint.name}: run {run} begins behind {skipped[:10]}"
        if run - 1 in clean_stops and run - 1 in runs:
            last = runs[run - 1][-1]  # which alone may have been cut short
            assert deliveries[0].seqs[0] >= last.seqs[0], (
                f"{endpoint.name}: {deliveries[0]} follows {last} after a clean stop"
            )
        for before, after in itertools.pairwise(deliveries):
            _check_step(endpoint, before, after, place, wanted, excused)
        newest = max([newest, *(place[one.seqs[-1]] for one in deliveries)])


def _check_step(endpoint, before, after, place, wanted, excused):
    step = f"{endpoint.name}: {after} follows {before}"
    next_up = after.seqs[0]
    if before.verdict == "taken":
        assert next_up > before.seqs[-1], step
        passed = wanted[place[before.seqs[-1]] + 1 : place[next_up]]
    elif before.verdict == "unsure" and next_up > before.seqs[-1]:
        passed = wanted[place[before.seqs[-1]] + 1 : place[next_up]]
    else:
        assert next_up >= before.seqs[0], step
        passed = wanted[place[before.seqs[0]] : place[next_up]]
    over = [seq for seq in passed if seq not in excused]
    assert not over, f"{step}, and {over[:10]} are passed over"

"""What kevmond makes of the records that XNU's own code delivered."""

import os
from collections import Counter
from pathlib import Path

from kevmond.events.decoder import Decoder
from kevmond.events.event import Decode

GOLDEN = Path(__file__).parents[1] / "captures/xnu-7195-events.golden.jsonl"
TIME = "2026-11-24T08:09:10.123456Z"


def lines(captures, context):
    """One line of JSON for each record."""
    decoder = Decoder(context)
    return [
        decoder.event(raw, seq=seq, time=TIME).json_line().decode()
        for seq, (_, raw) in enumerate(captures, 1)
    ]


def test_every_record_gives_the_golden_json(captures, context):
    """The JSON of each record is what it was when the golden file was written."""
    made = lines(captures, context)
    if os.environ.get("KEVMOND_WRITE_GOLDEN"):
        GOLDEN.write_text("\n".join(made) + "\n")
    assert made == GOLDEN.read_text().splitlines()


def test_every_record_of_apples_is_decoded_in_full(captures, context):
    """Nothing that XNU posted is malformed, unknown, too long, or has bytes left over."""
    decoder = Decoder(context)
    events = [decoder.event(raw, seq=1, time=TIME) for _, raw in captures]
    assert {event.decode for event in events if event.vendor == 1} == {Decode.FULL}
    assert all(event.payload is not None for event in events if event.vendor == 1)
    assert all(event.payload.residue is None for event in events if event.vendor == 1)
    assert Counter(event.decode for event in events if event.vendor != 1) == {Decode.UNKNOWN: 9}


def test_every_record_of_an_interface_names_it(captures, context):
    """The interface of the call that caused an event is the one that the event is about."""
    decoder = Decoder(context)
    for trigger, raw in captures:
        event = decoder.event(raw, seq=1, time=TIME)
        call, _, words = trigger.partition(" ")
        if call in {"SIOCSIFFLAGS", "SIOCSIFMTU", "SIOCSIFADDR", "SIOCSIFMETRIC"}:
            assert event.interface == words.split()[0], trigger


def test_each_event_has_its_own_id(captures, context):
    """No two records of the capture are taken for the same event."""
    decoder = Decoder(context)
    ids = [decoder.event(raw, seq=1, time=TIME).id for _, raw in captures]
    assert len(set(ids)) == len(ids)

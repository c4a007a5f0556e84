"""Random and mutated messages: whatever the bytes are, an event comes of them.

20,000 messages as a rule; KEVMOND_FUZZ_MESSAGES=1000000 (`make fuzz`) for a long run.  The seed is
fixed, so that a failure comes again; KEVMOND_FUZZ_SEED sets another.
"""

import json
import os
import random
from pathlib import Path

import pytest

from kevmond.events import catalogue
from kevmond.events.codec import codec
from kevmond.events.decoder import Decoder
from kevmond.events.encoder import encode
from kevmond.events.event import Context, Decode, Event
from kevmond.kernel.abi import HEADER

MESSAGES = int(os.environ.get("KEVMOND_FUZZ_MESSAGES", "20000"))
SEED = int(os.environ.get("KEVMOND_FUZZ_SEED", "20361"))
CAPTURE = Path(__file__).parents[1] / "captures/xnu-7195-events.jsonl"
RELEASES = ("", "9.8.0", "14.5.0", "18.7.0", "20.6.0", "24.4.0")
FIELDS = {field.alias or name for name, field in Event.model_fields.items()}


def seeds():
    """Messages to begin from: the capture, and zeros of every layout."""
    found = [bytes.fromhex(json.loads(line)["hex"]) for line in CAPTURE.read_text().splitlines()]
    for kind in catalogue.kinds():
        for size in {variant.payload.SIZE for variant in kind.variants} or {0}:
            head = HEADER.pack(24 + size, 1, kind.kev_class, kind.subclass, 1, kind.code)
            found.append(head + bytes(size))
    return found


def mutated(dice, raw):
    """Change a message in one of the ways that damage happens."""
    data = bytearray(raw)
    match dice.randrange(7):
        case 0:
            return dice.randbytes(dice.randrange(300))
        case 1:
            return bytes(data[: dice.randrange(len(data) + 1)])
        case 2:
            data += dice.randbytes(dice.randrange(1, 40))
        case 3:
            for _ in range(dice.randrange(1, 8)):
                data[dice.randrange(len(data))] = dice.randrange(256)
        case 4:
            data[24:] = dice.randbytes(len(data) - 24)
        case 5:
            data[20:24] = dice.randrange(200).to_bytes(4, "little")
        case 6:
            data[:4] = dice.choice((0, 1, 23, 24, len(data) + 1, 1 << 31, (1 << 32) - 1)).to_bytes(
                4, "little"
            )
            return bytes(data)
    if dice.random() < 0.8:
        data[:4] = len(data).to_bytes(4, "little")
    return bytes(data)


def test_any_bytes_become_an_event_and_well_formed_ones_come_back():
    """No message raises; its JSON has every field and its bytes; what is not malformed encodes."""
    dice = random.Random(SEED)
    decoders = [Decoder(Context(host="h", boot_id="b", os_release=each)) for each in RELEASES]
    beginnings = seeds()
    told = dict.fromkeys(Decode, 0)
    for number in range(MESSAGES):
        raw = mutated(dice, dice.choice(beginnings))
        event = dice.choice(decoders).event(raw, seq=number, time="t")
        line = event.json_line()
        read = json.loads(line.decode("utf-8"))
        assert set(read) == FIELDS
        assert b"\n" not in line
        assert bytes.fromhex(read["raw"]) == raw
        assert (read["reason"] is None) == (read["decode"] in {"full", "extra"})
        assert "decoder failed" not in (read["reason"] or ""), raw.hex()
        if event.decode is not Decode.MALFORMED:
            assert encode(event) == raw, raw.hex()
        told[event.decode] += 1
    assert all(told.values()), told


@pytest.mark.parametrize(
    "model",
    dict.fromkeys(variant.payload for kind in catalogue.kinds() for variant in kind.variants),
    ids=lambda model: model.__name__,
)
def test_any_payload_bytes_of_every_layout_come_back(model):
    """Any bytes of a layout's length decode to fields that encode to the same bytes."""
    dice = random.Random(SEED)
    found = codec(model)
    for _ in range(max(20, MESSAGES // 400)):
        data = bytearray(dice.randbytes(model.SIZE + 300))
        if dice.random() < 0.5:
            for place in range(len(data)):
                data[place] = dice.choice((0, 0, 0, 1, 2, 18, 28, 30, 0xFE, 0x80, 0xFF))
        used = bytes(data[: found.length(bytes(data))])
        payload = found.decode(used)
        assert found.encode(payload) == used, used.hex()

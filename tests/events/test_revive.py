"""From the journal back to a record."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from kevmond.events import own
from kevmond.events.event import Context, Decode, Kind, Severity
from kevmond.events.own import Loss, own_record
from kevmond.events.revive import UNREADABLE, decoder_for, revive

WALL = 1795420070_123456789


def stored(**fields):
    """Body of a record of kevmond's own, with some fields changed."""
    whole = {
        "id": "x",
        "type": "kevmond.stop",
        "severity": "notice",
        "interface": None,
        "synthetic": True,
        "payload": {"reason": "SIGTERM"},
    }
    return json.dumps(whole | fields).encode()


def test_a_kernels_message_is_the_same_event_again(context, captures):
    """Bytes decoded anew in their context give the same JSON, id included."""
    for _, raw in captures[:40]:
        first = decoder_for(context).record(raw, seq=3, wall_ns=WALL)
        again = revive(context, 3, WALL, first.kind.value, first.body)
        assert again.line == first.line
        assert (again.seq, again.wall_ns, again.kind) == (3, WALL, Kind.KERNEL)


def test_a_record_of_kevmonds_own_is_the_same_again(context):
    """The stored body holds the whole record: type, severity, id and payload."""
    for payload in (
        Loss(lost=3, total=10, source="sink", consumer="jsonl"),
        own.Resync(cause="wake", changes=(own.Change(interface="en0", field="up", after=True),)),
    ):
        record = own_record(context, payload, seq=3, wall_ns=WALL, interface="en0")
        again = revive(context, 3, WALL, "o", record.body)
        assert again.line == record.line
        assert again.event == record.event
        assert type(again.event.payload) is type(payload)


def test_another_versions_record_keeps_its_fields(context):
    """A type that this version does not know is shown with its fields as they are."""
    body = stored(type="kevmond.forecast", payload={"rain": 4})
    event = revive(context, 1, WALL, "o", body).event
    assert (event.id, event.type, event.severity) == ("x", "kevmond.forecast", Severity.NOTICE)
    assert json.loads(event.json_line())["payload"] == {"rain": 4}


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("o", b""),
        ("o", b"{"),
        ("o", b"\xff\xfe"),
        ("o", b"[]"),
        ("o", b"null"),
        ("o", b'{"type": "kevmond.loss"}'),
        ("o", b'{"type": ["kevmond.loss"], "payload": {}}'),
        (
            "o",
            stored(id=1, severity="loud", interface=3),
        ),
        (
            "o",
            stored(type="kevmond.loss", payload={}),
        ),
        ("?", b"abc"),
        ("", b""),
    ],
)
def test_a_damaged_row_is_a_malformed_event(context, kind, body):
    """Nothing in the journal can stop a reader: the bytes are kept and the reason given."""
    record = revive(context, 8, WALL, kind, body)
    assert record.event.type == UNREADABLE
    assert record.event.decode is Decode.MALFORMED
    assert record.event.raw == body.hex()
    assert record.event.reason
    assert record.body == body
    assert revive(context, 8, WALL, kind, body).event.id == record.event.id


def test_damaged_kernel_bytes_are_a_malformed_event(context):
    """A message cut by a damaged disk is an event like any other."""
    assert revive(context, 8, WALL, "k", b"\x01").event.decode is Decode.MALFORMED


def test_equal_contexts_share_a_decoder(context):
    """Reading back many rows of one run works out each message once."""
    twin = Context(
        host=context.host,
        boot_id=context.boot_id,
        os_release=context.os_release,
        os_build=context.os_build,
        vendor_names=dict(context.vendor_names),
    )
    assert decoder_for(context) is decoder_for(twin)
    other = Context(host=context.host, boot_id="another")
    assert decoder_for(other) is not decoder_for(context)


def test_the_context_decides_how_old_bytes_are_read(make):
    """A journal that crosses a system update reads each row as it was meant."""
    raw = make(3, 3, 57)
    old = Context(host="h", boot_id="b", os_release="9.8.0")
    new = Context(host="h", boot_id="b", os_release="24.0.0")
    assert revive(old, 1, WALL, "k", raw).event.type == "system.memorystatus.level"
    assert revive(new, 1, WALL, "k", raw).event.type == "system.memorystatus.57"


def test_only_so_many_decoders_are_kept():
    """A journal of many boots does not fill the memory with decoders."""
    from kevmond.events import revive as module

    for boot in range(50):
        decoder_for(Context(host="h", boot_id=str(boot)))
    assert len(module._decoders) <= 8


def test_threads_may_share_what_is_remembered(context, make, link):
    """A reader of the journal and the capture decode at once, each gets its own events."""
    contexts = [context, Context(host="other", boot_id="b2")]

    def read(number):
        mine = contexts[number % 2]
        for unit in range(1500):
            event = revive(mine, unit, WALL, "k", make(1, 2, 13, link(b"en", unit))).event
            assert (event.host, event.interface) == (mine.host, f"en{unit}")

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(read, number) for number in range(4)]:
            done.result(timeout=60)

"""Records that kevmond itself writes."""

import json

import pytest

from kevmond.events import control, own
from kevmond.events.event import Decode, Kind, Severity
from kevmond.events.own import (
    OWN,
    Boot,
    Capture,
    Change,
    Config,
    InterfaceState,
    Journal,
    Loss,
    Missed,
    Resync,
    Sink,
    Snapshot,
    Start,
    Stop,
    own_record,
)

FOO = {"channel": "foo", "control": "org.mklinux.nke.foo"}

WALL = 1795420070_123456789

EXAMPLES = [
    Start(version="0.1.0", pid=412, kernel="darwin", os_release="24.4.0", clean_stop=True),
    Stop(reason="SIGTERM", events=1200, uptime=86400.5),
    Boot(previous_boot_id="6f9b4d1e-0c52-4f0e-9a53-3d1f4f8f2c11"),
    Loss(lost=3, total=10, source="id-gap", first_id=41, last_id=43),
    Missed(count=None, previous_id=7, current_id=3, detail="the system was booted since"),
    Snapshot(cause="start", state=InterfaceState(name="en0", up=True, addresses=("192.0.2.7/24",))),
    Resync(
        cause="wake",
        changes=(
            Change(interface="en0", field="running", before=True, after=False),
            Change(interface="en0", field="addresses", before=("192.0.2.7/24",), after=()),
            Change(interface="utun3", field="mtu", before=None, after=1380),
        ),
    ),
    Capture(state="error", call="recv", symbol="ENOBUFS", attempt=2),
    Sink(sink="jsonl", state="failed", detail="No space left on device", dropped=4),
    Journal(state="set-aside", detail="moved to journal.db.damaged"),
    Config(state="applied", changes=("sinks.log.level",)),
    own.Test(sink="hook", detail="asked for by hand"),
    control.ControlRegistered(**FOO, control_id=11),
    control.ControlConnected(**FOO, control_id=11, unit=1, protocol=1, version="1.0.0"),
    control.ControlMessage(**FOO, unit=1, message="notice", size=20, fields={"unit": 2}),
    control.ControlLoss(**FOO, unit=1, lost=2, total=5),
    control.ControlGoodbye(**FOO, unit=1, reason="unloading"),
    control.ControlDisconnected(**FOO, unit=1, reason="goodbye", messages=7),
    control.ControlDeregistered(**FOO, control_id=11),
    control.ControlError(**FOO, call="connect", symbol="EPERM", attempt=1),
]


def test_there_is_an_example_of_every_record():
    """The tests below see each of kevmond's own records."""
    assert {type(payload) for payload in EXAMPLES} == set(OWN.values())


@pytest.mark.parametrize("payload", EXAMPLES, ids=lambda payload: payload.TYPE)
def test_a_record_is_an_event_in_the_same_envelope(context, payload):
    """It has a type, a time and a place in the journal, and nothing of a kernel's."""
    record = own_record(context, payload, seq=5, wall_ns=WALL)
    event = record.event
    assert (record.seq, record.wall_ns, record.kind) == (5, WALL, Kind.OWN)
    assert event.type == payload.TYPE
    assert event.time == "2026-11-23T07:47:50.123456Z"
    assert (event.vendor, event.class_, event.code, event.kernel_id, event.raw) == (None,) * 5
    assert event.decode is Decode.FULL
    assert event.synthetic is payload.SYNTHETIC
    assert event.payload == payload
    told = json.loads(record.line)
    assert told["payload"] == payload.model_dump(mode="json")
    assert told["class"] is None


def test_ids_are_never_used_twice(context):
    """Two records of one run differ in their ids, and so do those of two runs."""
    ids = [own_record(context, Stop(reason="x"), seq=1, wall_ns=0).event.id for _ in range(3)]
    assert len(set(ids)) == 3
    assert all(own_id.startswith(f"{context.boot_id}-own-") for own_id in ids)


def test_the_writer_may_say_severity_and_interface(context):
    """What the writer knows better wins over the payload's own."""
    payload = Snapshot(cause="loss", state=InterfaceState(name="en0"))
    record = own_record(
        context, payload, seq=1, wall_ns=0, severity=Severity.DEBUG, interface="en0"
    )
    assert record.event.severity is Severity.DEBUG
    assert record.event.interface == "en0"


@pytest.mark.parametrize(
    ("payload", "severity"),
    [
        (Loss(lost=1, total=1, source="tail"), Severity.ERROR),
        (Missed(count=0), Severity.INFO),
        (Missed(count=5), Severity.WARNING),
        (Missed(count=None), Severity.WARNING),
        (Resync(cause="start", first=True), Severity.INFO),
        (Resync(cause="wake", changes=(Change(interface="en0", field="up"),)), Severity.NOTICE),
        (Capture(state="error"), Severity.ERROR),
        (Capture(state="reopened"), Severity.NOTICE),
        (Sink(sink="log", state="retrying"), Severity.WARNING),
        (Sink(sink="log", state="failed"), Severity.ERROR),
        (Sink(sink="log", state="recovered"), Severity.NOTICE),
        (Journal(state="degraded"), Severity.ERROR),
        (Journal(state="trimmed"), Severity.WARNING),
        (Journal(state="recovered"), Severity.NOTICE),
        (Config(state="refused"), Severity.ERROR),
        (Config(state="applied"), Severity.NOTICE),
    ],
)
def test_severity_follows_what_happened(payload, severity):
    """Bad news is louder than good news of the same type."""
    assert payload.severity() is severity

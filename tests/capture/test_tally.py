"""The tally of what was read, by type."""

import pytest

from kevmond.capture.tally import Tally
from kevmond.events.decoder import Decoder
from kevmond.events.event import Context, Decode
from kevmond.kernel.abi import HEADER
from kevmond.kernel.recording import read_recording

LINK = b"\x02\0\0\0\0\0\0\0en".ljust(24, b"\0")


def message(vendor=1, kev_class=1, subclass=2, code=13, data=LINK, *, kernel_id=1, size=None):
    """Make a message, a KEV_DL_LINK_ON unless told otherwise."""
    total = HEADER.size + len(data) if size is None else size
    return HEADER.pack(total, vendor, kev_class, subclass, kernel_id, code) + data


def tally(*raws, sound=True, **more):
    """Count some messages."""
    made = Tally(**more)
    made.count(raws, sound=sound)
    return made


def test_ids_make_no_difference():
    """Messages that differ in nothing but their ids are of one kind; batches add up."""
    made = tally(message(kernel_id=7), message(kernel_id=8), message(code=12))
    made.count([message(kernel_id=0xFFFFFFFF)])
    assert made.by_type() == {"network.dl.link-on": 3, "network.dl.link-off": 1}
    assert made.understood() == (4, 0, 0, {})


def test_unknown_kinds_are_told_apart():
    """Apple's are named, for this version is behind them; third parties' are merely unknown."""
    made = tally(
        message(code=99), message(code=99), message(kev_class=9), message(vendor=1001), message()
    )
    assert made.understood() == (1, 4, 0, {"network.dl.99": 2, "class-9.2.13": 1})
    assert made.by_type()["vendor-1001.1.2.13"] == 1


@pytest.mark.parametrize("raw", [b"", b"\0" * 19, message()[:20], message()[:23]])
def test_less_than_a_header_has_no_type(raw):
    """A message too short for a header is malformed by type too, and spoils no other."""
    made = tally(message(), raw, message(), sound=False)
    assert made.by_type() == {"network.dl.link-on": 2, "malformed": 1}
    assert made.understood() == (2, 0, 1, {})


def test_cut_header_that_says_so_itself():
    """A message may be as long as it says and yet have no code: no batch is half counted."""
    short = (20).to_bytes(4, "little") + b"\1\0\0\0" * 4
    assert tally(message(), short).by_type() == {"network.dl.link-on": 1, "malformed": 1}


def test_lies_about_the_length():
    """A message that is not as long as it says keeps its type and is malformed."""
    made = tally(message(size=47), message(size=500), message(), sound=False)
    assert made.by_type() == {"network.dl.link-on": 3}
    assert made.understood() == (1, 0, 2, {})


def test_payload_that_is_too_short():
    """A known kind whose payload ends too early is malformed, one with more than it is not."""
    made = tally(message(data=LINK[:23]), message(data=LINK + b"more"))
    assert made.understood() == (1, 0, 1, {})


def test_kinds_are_bounded():
    """Whoever posts ever new codes fills no memory: the rest is counted together, all of it."""
    made = Tally(most=3)
    for code in range(100, 200):
        made.count([message(code=code), message(code=100)])
    assert len(made._counts) == 3
    assert made.by_type() == {
        "network.dl.100": 101,
        "other": 97,
        "network.dl.101": 1,
        "network.dl.102": 1,
    }
    assert made.understood()[:3] == (0, 200, 0)


def test_agrees_with_the_decoder(pytestconfig):
    """Of recorded events, types and what is known of them are those that the decoder tells."""
    path = pytestconfig.rootpath / "tests" / "captures" / "xnu-7195-events.jsonl"
    raws = [each.raw for each in read_recording(path)]
    decoder = Decoder(Context(host="h", boot_id="b", os_release="20.6.0"))
    events = [decoder.event(raw, seq=1, time="") for raw in raws]
    made = tally(*raws)
    expected = {}
    for event in events:
        expected[event.type] = expected.get(event.type, 0) + 1
    assert made.by_type() == expected
    malformed = sum(event.decode is Decode.MALFORMED for event in events)
    unknown = sum(event.decode is Decode.UNKNOWN for event in events)
    assert made.understood()[:3] == (len(raws) - malformed - unknown, unknown, malformed)


async def test_capture_counts(run, kernel, kit):
    """What capture read, nonsense included, is in its statistics by type."""
    async with run() as one:
        kernel.post(*kit.LINK_ON)
        kernel.post(1, 1, 2, 99)
        kernel.inject(b"\x30")
        kernel.post(*kit.LINK_ON)
        await one.until(lambda: one.totals.delivered == 4)
        found = one.capture.statistics().tally
        assert found.by_type() == {"network.dl.link-on": 2, "network.dl.99": 1, "malformed": 1}
        assert found.understood() == (2, 1, 1, {"network.dl.99": 1})


async def test_missed_before_the_start(run, kernel, kit):
    """What was posted between two runs is told; a first run knows of nothing."""
    async with run() as one:
        kernel.post(*kit.LINK_ON)
        await one.until(lambda: one.totals.delivered == 1)
        assert one.capture.statistics().missed_before_start is None
    kernel.links(3)
    async with run() as two:
        assert two.capture.statistics().missed_before_start == 3

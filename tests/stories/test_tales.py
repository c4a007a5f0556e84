"""The built-in stories: sound messages, in the order that XNU posts them."""

import asyncio
import difflib
import itertools
import random
from pathlib import Path

import pytest

from kevmond import stories
from kevmond.errors import RecordingError, StoryError
from kevmond.events.decoder import Decoder
from kevmond.events.event import Context, Decode
from kevmond.kernel.base import KernelFilter
from kevmond.kernel.recording import read_recording
from kevmond.kernel.simulated.model import SimulatedKernel
from kevmond.kernel.simulated.remote import RemoteKernel
from kevmond.kernel.simulated.served import KernelServer

CAPTURE = Path(__file__).parents[1] / "captures" / "xnu-7195-events.jsonl"


def decoded(messages):
    """Events of messages."""
    decoder = Decoder(Context("h", "b", "20.6.0"))
    return [decoder.event(raw, seq=0, time="") for raw in messages]


def drain(socket):
    """Messages that wait."""
    buffer = memoryview(bytearray(1024))
    found = []
    while True:
        try:
            found.append(bytes(buffer[: socket.recv_into(buffer)]))
        except BlockingIOError:
            return found


async def told(name, seed=1):
    """Play a story on a simulated kernel at once; events and the times between."""
    kernel = SimulatedKernel()
    socket = kernel.open_event_socket(7_000_000)
    socket.set_filter(KernelFilter())
    now = [0.0]
    times = []

    async def sleep(seconds):
        now[0] += seconds

    await stories.play(
        stories.load(name),
        kernel,
        chance=random.Random(seed),
        on_step=lambda step: times.append(now[0]),
        sleep=sleep,
    )
    events = decoded(drain(socket))
    assert socket.last_event_id() == len(events)
    socket.close()
    return events, times


@pytest.mark.parametrize("name", stories.names())
async def test_a_story_is_told_without_loss(name):
    """Every step is one event, none is refused or too long, and ids follow on."""
    events, times = await told(name)
    assert len(events) == len(times) > 0
    if name != "garbage":
        known = {event.decode for event in events if event.vendor == 1}
        assert known <= {Decode.FULL}
        assert [event.kernel_id for event in events] == list(range(1, len(events) + 1))


@pytest.mark.parametrize("name", stories.names())
async def test_the_same_seed_tells_the_same(name):
    """Stories have variations, and a seed repeats one."""
    first, second = await told(name, 7), await told(name, 7)
    assert [event.type for event in first[0]] == [event.type for event in second[0]]
    assert first[1] == second[1]


@pytest.mark.parametrize("source", ["capture", "boot", "vpn", "dhcp", "tour"])
async def test_the_order_is_what_xnu_posts(source):
    """What holds for events that XNU delivered holds for the stories.

    A protocol that comes is followed by if-flags of its interface; the last one that goes too;
    an interface is detaching before it is detached.
    """
    if source == "capture":
        events = decoded(message.raw for message in read_recording(CAPTURE))
    else:
        events, _ = await told(source)
    leaving = set()
    seen = 0
    for event, following in itertools.pairwise(events):
        last = event.type == "network.dl.proto-detached" and event.payload.remaining == 0
        if event.type == "network.dl.proto-attached" or last:
            seen += 1
            assert (following.type, following.interface) == ("network.dl.if-flags", event.interface)
        if event.type == "network.dl.if-detaching":
            leaving.add(event.interface)
        if event.type == "network.dl.if-detached":
            leaving.remove(event.interface)
    assert seen


async def test_a_vpn_goes_as_a_utun_went_on_xnu():
    """The events of closing a utun control come in the order of the capture, none missing."""
    captured = [
        event.type
        for message, event in (
            (message, decoded([message.raw])[0]) for message in read_recording(CAPTURE)
        )
        if message.trigger == "close utun control socket"
    ]
    events, _ = await told("vpn")
    gone = [event.type for event in events if event.interface == "utun4"][-8:]
    assert [one for one in gone if one != "network.dl.proto-detached"] == captured


async def test_the_tour_shows_something_at_once_and_all_the_time():
    """The first event comes within 100 ms, the longest pause is 2 s, and much is shown."""
    events, times = await told("tour")
    assert times[0] < 0.1
    assert max(after - before for before, after in itertools.pairwise(times)) <= 2.0
    first_ten_seconds = {event.type for event, at in zip(events, times, strict=True) if at < 10}
    assert len(first_ten_seconds) >= 5
    assert len({event.type for event in events}) >= 40
    assert len({event.severity for event in events}) >= 4


async def test_no_two_tours_are_alike():
    """Each round of a looped tour has its own order and its own addresses."""
    first, second = await told("tour", 1), await told("tour", 2)
    types = [[event.type for event in events] for events, _ in (first, second)]
    assert difflib.SequenceMatcher(None, *types, autojunk=False).ratio() < 0.95


async def test_a_storm_is_thousands_of_flaps():
    """Every flap is off and on, and they come in bursts."""
    events, times = await told("storm")
    assert [event.type for event in events] == ["network.dl.link-off", "network.dl.link-on"] * 5000
    assert len(set(times)) == 20


async def test_garbage_comes_out_as_events_that_say_what_is_wrong():
    """Malformed, unknown and overlong messages are told apart, and sound ones stay sound."""
    events, _ = await told("garbage")
    assert {event.decode for event in events} == set(Decode)
    assert all(event.reason for event in events if event.decode is Decode.MALFORMED)
    assert events[0].type == events[-1].type == "network.dl.link-on"


async def test_a_vendor_has_the_code_that_the_kernel_gave_it():
    """Third-party events bear a code from 1001 and their own bytes."""
    events, _ = await told("vendor")
    assert {event.vendor for event in events} == {1001}
    assert events[0].extra is None
    assert bytes.fromhex(events[-1].extra).startswith(b"fan 1")


async def test_stories_are_told_into_a_served_kernel_too(tmp_path):
    """A remote kernel has all that a story needs."""
    kernel = SimulatedKernel()
    socket = kernel.open_event_socket(1_000_000)
    socket.set_filter(KernelFilter())
    path = tmp_path / "k"

    def remote(name):
        other = RemoteKernel(path)
        story = stories.load(name)
        count = asyncio.run(stories.play(story, other, speed=float("inf")))
        other.close()
        return count

    async with KernelServer(kernel, path):
        counts = [await asyncio.to_thread(remote, name) for name in ("vpn", "vendor", "garbage")]
    assert len(drain(socket)) == sum(counts)
    socket.close()


def test_every_name_has_a_summary():
    """What `--list` shows."""
    assert list(stories.summaries()) == stories.names()
    assert all(stories.summaries().values())
    assert stories.names()[0] == "tour"


def test_an_unknown_name_is_told_with_the_nearest():
    """A typo is an error that helps."""
    with pytest.raises(StoryError, match=r"no story 'wfi': did you mean 'wifi'\?"):
        stories.load("wfi")
    with pytest.raises(StoryError, match=r"no story 'zzzz': there are tour, boot"):
        stories.load("zzzz")


def test_a_missing_file_is_named(tmp_path):
    """A path that leads nowhere is told as such."""
    with pytest.raises(StoryError, match=r"none\.toml: cannot be read: No such file"):
        stories.load(tmp_path / "none.toml")
    with pytest.raises(RecordingError, match=r"none\.jsonl: cannot be read: No such file"):
        stories.load(tmp_path / "none.jsonl")


async def test_the_capture_is_a_story(tmp_path):
    """A recording is posted anew: same bytes but for the ids, which follow on."""
    kernel = SimulatedKernel()
    socket = kernel.open_event_socket(1_000_000)
    socket.set_filter(KernelFilter())
    await stories.play(stories.load(CAPTURE), kernel, speed=float("inf"))
    posted = drain(socket)
    captured = [message.raw for message in read_recording(CAPTURE)]
    assert [raw[:16] + raw[20:] for raw in posted] == [raw[:16] + raw[20:] for raw in captured]
    assert [int.from_bytes(raw[16:20], "little") for raw in posted] == list(
        range(1, len(posted) + 1)
    )
    socket.close()


def test_recorded_distances_and_triggers_are_kept(tmp_path):
    """Times make the pauses, triggers the notes; malformed bytes are injected."""
    path = tmp_path / "r.jsonl"
    path.write_text(
        '{"time": "2026-11-24T08:00:00Z", "trigger": "boot", "hex": "1800"}\n'
        '{"time": "2026-11-24T08:00:02.5Z", "trigger": "boot", "hex": "1801"}\n'
        '{"time": "2026-11-24T08:00:01Z", "trigger": "off", "hex": "1802"}\n'
        '{"hex": "1803"}\n'
    )
    steps = list(stories.load(path).steps(random.Random(1)))
    assert [step.after for step in steps] == [0, 2.5, 0, 0.1]
    assert [step.note for step in steps] == ["boot", "", "off", ""]
    assert [step.action.raw for step in steps] == [
        b"\x18\x00",
        b"\x18\x01",
        b"\x18\x02",
        b"\x18\x03",
    ]

"""Stories are played in time, on any kernel that can post."""

import math
import random
import struct

import pytest

from kevmond.errors import KernelError, KevmondError
from kevmond.stories import Step, Story, in_turn, play
from kevmond.stories.model import Inject, Post, VendorPost


class RecordingKernel:
    """Notes what is asked of it."""

    def __init__(self):
        self.calls = []
        self.refuse = None

    def post(self, vendor, kev_class, subclass, code, data=b""):
        if self.refuse:
            raise KernelError("kev_post_msg", self.refuse)
        self.calls.append(("post", vendor, kev_class, subclass, code, data))
        return len(self.calls)

    def kext_post(self, vendor, kev_class, subclass, code, data=b""):
        self.calls.append(("kext_post", vendor, kev_class, subclass, code, data))
        return len(self.calls)

    def vendor_code_find(self, name):
        self.calls.append(("vendor_code_find", name))
        return 1001

    def inject(self, raw):
        self.calls.append(("inject", raw))


def story(*pauses):
    """Make a story of steps after these pauses."""
    return Story("s", "", lambda chance: (Step(pause, Inject(b"x")) for pause in pauses))


class Sleep:
    """Sleeps at once and remembers how long it should have taken."""

    def __init__(self, limit=math.inf):
        self.slept = []
        self.limit = limit

    async def __call__(self, seconds):
        self.slept.append(seconds)
        if len(self.slept) >= self.limit:
            raise KeyboardInterrupt


async def test_steps_come_after_their_pauses():
    """Each step waits as long as it says; one without a pause does not wait."""
    sleep = Sleep()
    assert await play(story(0, 1, 0, 2.5), RecordingKernel(), sleep=sleep) == 4
    assert sleep.slept == [1, 2.5]


async def test_speed_divides_the_pauses():
    """At speed 4 a second takes a quarter, and at infinity nothing waits."""
    sleep = Sleep()
    await play(story(1, 2), RecordingKernel(), speed=4, sleep=sleep)
    await play(story(1, 2), RecordingKernel(), speed=math.inf, sleep=sleep)
    assert sleep.slept == [0.25, 0.5]


async def test_a_rate_stands_in_for_the_pauses():
    """At 2 events a second every step comes half a second after the other."""
    sleep = Sleep()
    await play(story(0, 9, 0), RecordingKernel(), rate=2, sleep=sleep)
    assert sleep.slept == [0.5, 0.5, 0.5]


async def test_pauses_too_short_to_sleep_add_up():
    """A rate far above the timer's resolution is kept on the average."""
    sleep = Sleep()
    await play(story(*[0] * 1000), RecordingKernel(), rate=10_000, sleep=sleep)
    assert sum(sleep.slept) == pytest.approx(0.1, rel=0.02)
    assert min(sleep.slept) >= 0.001


async def test_a_loop_begins_again():
    """A looped story is told until it is stopped, and lets others run between."""
    kernel = RecordingKernel()
    with pytest.raises(KeyboardInterrupt):
        await play(story(0, 1), kernel, loop=True, sleep=Sleep(limit=7))
    assert len(kernel.calls) == 7


async def test_an_empty_story_is_not_looped():
    """A loop that would do nothing for ever is refused."""
    with pytest.raises(KevmondError, match="no steps"):
        await play(story(), RecordingKernel(), loop=True)


@pytest.mark.parametrize("wrong", [{"speed": 0}, {"speed": -1}, {"speed": math.nan}, {"rate": 0}])
async def test_a_speed_or_rate_that_leads_nowhere_is_refused(wrong):
    """Zero, negative and not-a-number are mistakes."""
    with pytest.raises(KevmondError, match="above 0"):
        await play(story(1), RecordingKernel(), **wrong)


async def test_a_post_takes_the_codes_from_its_message():
    """The kernel gets vendor, class, subclass, code and payload, and gives an id of its own."""
    kernel = RecordingKernel()
    Post(struct.pack("<6I", 28, 1, 2, 3, 99, 4) + b"data").perform(kernel)
    assert kernel.calls == [("post", 1, 2, 3, 4, b"data")]


async def test_a_vendor_asks_for_its_code_before_it_posts():
    """As a kernel extension does: kev_vendor_code_find, then kev_msg_post."""
    kernel = RecordingKernel()
    VendorPost("com.example", 1, 2, 3, b"d").perform(kernel)
    assert kernel.calls == [("vendor_code_find", "com.example"), ("kext_post", 1001, 1, 2, 3, b"d")]


async def test_a_message_that_the_kernel_refuses_as_too_long_does_not_end_the_story():
    """EMSGSIZE is counted by the kernel, as for a real poster; other errors are told."""
    kernel = RecordingKernel()
    kernel.refuse = "EMSGSIZE"
    long = Story("s", "", lambda chance: [Step(0, Post(struct.pack("<6I", 24, *[1] * 5)))] * 2)
    assert await play(long, kernel) == 2
    kernel.refuse = "EINVAL"
    with pytest.raises(KernelError, match="EINVAL"):
        await play(long, kernel)


async def test_every_step_is_told():
    """`on_step` sees each step before it is done."""
    told = []
    await play(story(0, 0), RecordingKernel(), on_step=lambda step: told.append(step.action))
    assert told == [Inject(b"x")] * 2


async def test_stories_in_turn_are_one_story():
    """Several are told one after the other; one alone stays itself."""
    first, second = story(0), story(0, 0)
    joined = in_turn([first, second])
    assert len(list(joined.steps(random.Random(1)))) == 3
    assert in_turn([first]) is first

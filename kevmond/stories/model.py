"""What a story is: timed steps that make a simulated kernel post events; and how it is played."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from kevmond.errors import KernelError, KevmondError
from kevmond.kernel import abi

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence

_SHORTEST_SLEEP_S: Final = 0.001
"""Shorter waits are added up: no timer is finer than this."""


class StoryKernel(Protocol):
    """What a story needs of a kernel; `SimulatedKernel` and `RemoteKernel` have it."""

    def post(self, vendor: int, kev_class: int, subclass: int, code: int, data: bytes = b"") -> int:
        """Post as the kernel itself does (kev_post_msg); return the event's id."""
        ...

    def kext_post(
        self, vendor: int, kev_class: int, subclass: int, code: int, data: bytes = b""
    ) -> int:
        """Post as a kernel extension does (kev_msg_post)."""
        ...

    def vendor_code_find(self, name: str) -> int:
        """Code of a vendor, given to it now if it has none (kev_vendor_code_find)."""
        ...

    def inject(self, raw: bytes) -> None:
        """Deliver bytes as they are."""
        ...


class Action(Protocol):
    """Something a step does to a kernel."""

    def perform(self, kernel: StoryKernel) -> None:
        """Do it."""
        ...


@dataclass(frozen=True, slots=True)
class Post:
    """The kernel posts a message; the id in it is replaced by the kernel's next one."""

    raw: bytes

    def perform(self, kernel: StoryKernel) -> None:
        """See `Action`."""
        _, vendor, kev_class, subclass, _, code = abi.HEADER.unpack_from(self.raw)
        kernel.post(vendor, kev_class, subclass, code, self.raw[abi.KEV_MSG_HEADER_SIZE :])


@dataclass(frozen=True, slots=True)
class VendorPost:
    """A kernel extension of `vendor` posts; its code is asked for by name, as a kext does."""

    vendor: str
    kev_class: int
    subclass: int
    code: int
    data: bytes = b""

    def perform(self, kernel: StoryKernel) -> None:
        """See `Action`."""
        vendor = kernel.vendor_code_find(self.vendor)
        kernel.kext_post(vendor, self.kev_class, self.subclass, self.code, self.data)


@dataclass(frozen=True, slots=True)
class Inject:
    """Bytes arrive as they are, sound or not."""

    raw: bytes

    def perform(self, kernel: StoryKernel) -> None:
        """See `Action`."""
        kernel.inject(self.raw)


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happens, `after` seconds after the step before it."""

    after: float
    action: Action
    note: str = ""
    """What happens now, in words, where a new turn of the story begins."""


@dataclass(frozen=True, slots=True)
class Story:
    """A named scenario; `steps` makes its steps anew for each playing, from a source of chance."""

    name: str
    summary: str
    steps: Callable[[random.Random], Iterable[Step]]


async def play(
    story: Story,
    kernel: StoryKernel,
    *,
    speed: float = 1.0,
    rate: float | None = None,
    loop: bool = False,
    chance: random.Random | None = None,
    on_step: Callable[[Step], None] | None = None,
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
) -> int:
    """Perform the story's steps at their times; return how many were performed.

    `speed` 2 halves the waits, and infinity leaves them out.  With `rate` the steps come at that
    many a second instead.  With `loop` the story begins again at its end, for ever; `chance`
    makes stories with variations repeatable.
    """
    if not speed > 0 or (rate is not None and not rate > 0):
        raise KevmondError("the speed and the rate of a story must be above 0")
    chance = chance or random.Random()  # noqa: S311 - variety, not secrecy
    performed = 0
    owed = 0.0
    while True:
        begun = performed
        for step in story.steps(chance):
            owed += step.after / speed if rate is None else 1 / rate
            if owed >= _SHORTEST_SLEEP_S:
                await sleep(owed)
                owed = 0.0
            if on_step is not None:
                on_step(step)
            try:
                step.action.perform(kernel)
            except KernelError as error:
                if error.symbol != "EMSGSIZE":
                    raise
                # Refused as too long, and counted by the kernel, which this reader is told of.
            performed += 1
        if not loop:
            return performed
        if performed == begun:
            raise KevmondError(f"story {story.name} has no steps to play again and again")
        # A story without waits must not keep everything else from running.
        await sleep(0)


def in_turn(stories: Sequence[Story]) -> Story:
    """Make one story of several, told one after the other."""
    if len(stories) == 1:
        return stories[0]

    def steps(chance: random.Random) -> Iterator[Step]:
        for story in stories:
            yield from story.steps(chance)

    names = [story.name for story in stories]
    return Story(" ".join(names), f"in turn: {', '.join(names)}", steps)

"""Whether a control is there: what the kernel tells of it, and what looking for it shows.

Mirrors ctl_register() and ctl_deregister() of bsd/kern/kern_control.c: a control's number may be
another at each registration, or the same one; events tell the number alone, and may come late or
not at all.  So they say when to look, and the look decides.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from kevmond.control.calls import Calls
from kevmond.control.connecting import find
from kevmond.errors import KernelError
from kevmond.events.control import ControlDeregistered, ControlRegistered

if TYPE_CHECKING:
    from collections.abc import Callable

    from kevmond.control.registrations import News
    from kevmond.control.target import ControlTarget
    from kevmond.events.control import ControlPayload
    from kevmond.kernel.base import Kernel
    from kevmond.kernel.control_base import ControlKernel


class Presence:
    """Keeps track of one control, and tells when it comes and goes."""

    def __init__(
        self,
        channel: str,
        target: ControlTarget,
        kernel: Kernel,
        *,
        tell: Callable[[ControlPayload], None],
        log: Any,
    ) -> None:
        """`channel` is the name of the channel that it is watched for."""
        self.control_id: int | None = None
        """Its number, None while it is not there."""
        self.changes = 0
        """How often it came or went: the number alone may be the same again."""
        self._channel = channel
        self._target = target
        self._kernel = kernel
        self._tell = tell
        self._log = log
        self._known = False  # whether it was found out at all if it is there
        self._look = False  # whether it may have appeared since the last look
        self._changed = asyncio.Event()
        self._attached = False
        self._leaving = False
        self._late: list[News] = []  # news of it from while we were attached

    # ------------------------------------------------------------------ what is found out

    def heard(self, news: News | None) -> None:
        """Take note of what the kernel says of registrations; None: some of it was missed."""
        if news is None:
            self._look = True
        elif news.control_id == self.control_id and self._attached:
            self._heard_attached(news)
        elif news.registered:
            if not self._target.name and news.control_id != self._target.control_id:
                return
            self._look = True
        elif news.control_id == self.control_id:
            self.found(None)
        else:
            return
        self._changed.set()

    def found(self, control_id: int | None) -> None:
        """Take note of its number; None: it is not there."""
        before, self.control_id = self.control_id, control_id
        known, self._known = self._known, True
        if control_id == before or not known:
            return
        self.changes += 1
        names = {"channel": self._channel, "control": str(self._target)}
        if before is not None:
            self._tell(ControlDeregistered(**names, control_id=before))
        if control_id is not None:
            self._tell(ControlRegistered(**names, control_id=control_id))

    async def look(self) -> None:
        """Look it up, if it has a name; KernelError if that cannot be done."""
        self._look = False  # whatever is said from now on is news
        if self._target.name:
            self.found(await find_control(self._kernel, self._target))

    # ------------------------------------------------------------------ while it has us as a client

    @property
    def doubtful(self) -> bool:
        """Whether the kernel said, while we were attached to it, that it is gone."""
        return bool(self._late)

    def attached(self, control_id: int) -> None:
        """Take note that we are its client: it cannot go as long as we are."""
        self.found(control_id)
        self._attached, self._leaving = True, False

    def leaving(self) -> None:
        """Take note that we let go of it: from now on it can go."""
        self._leaving = True

    def detached(self) -> None:
        """Take note that we are no client any more, and of what was said meanwhile."""
        self._attached = False
        late, self._late = self._late, []
        for news in late:
            self.heard(news)

    def _heard_attached(self, news: News) -> None:
        """Keep what is said until we let go.

        No kernel deregisters a control that has a client.  So it was said late, which what is said
        next shows; or the control crashed, which only a simulated kernel survives; or we have just
        let go, and it did not wait for us to notice.
        """
        if news.registered and not self._leaving:
            self._late.clear()
        else:
            self._late.append(news)

    # ------------------------------------------------------------------ waiting

    async def news(self, seconds: float) -> bool:
        """Wait for news that may mean it; tell whether there are any within that time."""
        if not self._look:
            self._changed.clear()
            try:
                async with asyncio.timeout(seconds):
                    await self._changed.wait()
            except TimeoutError:
                return False
        return True

    async def change(self, since: int, seconds: float) -> bool:
        """Wait until it came or went since `changes` was so many; False after `seconds`."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while self.changes == since:
            left = deadline - loop.time()
            if left <= 0 or not await self.news(left):
                return False
            if self._look:
                if not self._target.name:  # only connecting shows what became of it
                    return True
                try:
                    await self.look()
                except KernelError as error:
                    self._log.debug("a look failed", channel=self._channel, error=str(error))
        return True


async def find_control(kernel: ControlKernel, target: ControlTarget) -> int | None:
    """Look the number of a control up by its name: None if there is none now, else KernelError."""
    calls = Calls(kernel, f"look for {target}")
    try:
        return await calls.run(find, kernel, target)
    finally:
        calls.abandon(_nothing)


def _nothing() -> None:
    """Be the last of calls that hold nothing."""

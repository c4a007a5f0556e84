"""Where a channel's blocking calls are made."""

import asyncio
import threading

import pytest

from kevmond.control.calls import Calls
from kevmond.errors import KernelError


async def test_an_embedded_kernel_is_called_directly(simulated):
    """Calls on a kernel that takes no time are made on the loop's own thread."""
    calls = Calls(simulated, "control test")
    assert await calls.run(threading.get_ident) == threading.get_ident()
    ended = []
    assert await calls.end(lambda: ended.append(threading.get_ident()), 1)
    assert ended == [threading.get_ident()]


async def test_others_have_a_thread(hooked):
    """Calls on any other kernel are made in one thread, never on the loop's."""
    calls = Calls(hooked, "control test")
    idents = {await calls.run(threading.get_ident) for _ in range(3)}
    assert len(idents) == 1
    assert threading.get_ident() not in idents
    assert await calls.end(lambda: None, 1)


async def test_errors_come_where_they_were_asked_for(hooked):
    """What a call raises is raised to the caller; what the last one raises is nobody's."""
    calls = Calls(hooked, "control test")

    def fail():
        raise KernelError("x", "EINVAL")

    with pytest.raises(KernelError):
        await calls.run(fail)
    assert await calls.end(fail, 1)
    with pytest.raises(KernelError, match="EBADF"):
        await calls.run(fail)


async def test_those_in_line_at_the_end_are_not_made(hooked, kit):
    """A call that waited in line when the end came is not made, and starts no thread for good."""
    calls = Calls(hooked, "control test")
    gate, made = kit.Gate(), []
    first = asyncio.ensure_future(calls.run(gate))
    await gate.entered()
    behind = [asyncio.ensure_future(calls.run(made.append, n)) for n in range(3)]
    await asyncio.sleep(0)
    assert not await calls.end(lambda: made.append("end"), 0.01)
    gate.open()
    await first
    for one in behind:
        with pytest.raises(KernelError, match="EBADF"):
            await one
    await kit.until(lambda: not kit.threads())
    assert made == ["end"]


async def test_abandoned_calls_are_ended_later(hooked, kit):
    """An abandoned call runs to its end, and the last one after it."""
    calls = Calls(hooked, "control test")
    gate, made = kit.Gate(), []
    task = asyncio.ensure_future(calls.run(gate))
    await gate.entered()
    task.cancel()
    await asyncio.wait({task})
    calls.abandon(lambda: made.append("end"))
    gate.open()
    await kit.until(lambda: made == ["end"])

"""Work that is done when it has been quiet for a while."""

import asyncio

from kevmond.control.quiet import Quiet


async def test_once_after_each_burst(kit):
    """However much was heard, the work is done once when it ends, and not again by itself."""
    done = []

    async def work():
        done.append(1)

    quiet = Quiet(0.02, work)
    for count in (1, 2):
        for _ in range(100):
            quiet.heard()
        await kit.until(lambda wanted=count: len(done) == wanted)
        assert quiet._timer is None
    await quiet.aclose()
    assert len(done) == 2


async def test_one_at_a_time(kit):
    """Work that goes on holds the next one up, and is ended with everything."""
    running = []

    async def work():
        running.append(1)
        try:
            await asyncio.Event().wait()
        finally:
            running.append(-1)

    quiet = Quiet(0.001, work)
    quiet.heard()
    await kit.until(lambda: running)
    quiet.heard()
    await asyncio.sleep(0.01)
    assert running == [1]
    await quiet.aclose()
    await quiet.aclose()
    assert running == [1, -1]
    assert quiet._timer is None


async def test_nothing_heard_nothing_done():
    """Without a word there is no timer."""
    quiet = Quiet(0, None)
    assert quiet._timer is None
    await quiet.aclose()

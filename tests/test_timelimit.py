"""A limit in time that many calls share."""

from __future__ import annotations

import asyncio

import pytest

from kevmond.timelimit import TimeLimit


async def test_a_block_in_time_is_left_alone() -> None:
    """What is done soon goes on as if nobody had watched."""
    limit = TimeLimit(60)
    with limit:
        await asyncio.sleep(0)
    assert not limit.expired


async def test_a_block_that_takes_too_long_ends_with_timeout_error() -> None:
    """The wait in it is cancelled, and the task is as before."""
    limit = TimeLimit(0.01)
    with pytest.raises(TimeoutError), limit:
        await asyncio.Event().wait()
    assert limit.expired
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    await asyncio.sleep(0)  # is not cancelled again


async def test_each_block_has_all_the_time() -> None:
    """The timer of the first block does not end the second, which ends on its own time."""
    loop = asyncio.get_running_loop()
    limit = TimeLimit(0.2)
    with limit:
        await asyncio.sleep(0.1)
    begun = loop.time()
    with pytest.raises(TimeoutError), limit:
        await asyncio.Event().wait()
    assert loop.time() - begun > 0.19


async def test_an_inner_limit_is_not_taken_for_the_outer() -> None:
    """The outer block goes on after the inner one was ended."""
    outer, inner = TimeLimit(60), TimeLimit(0.01)
    with outer:
        with pytest.raises(TimeoutError), inner:
            await asyncio.Event().wait()
        await asyncio.sleep(0)
    assert not outer.expired


async def test_who_is_cancelled_by_others_stays_cancelled() -> None:
    """Both at once: the time was up while somebody else ended the task."""
    limit = TimeLimit(0.01)

    async def work() -> None:
        with limit:
            try:
                await asyncio.Event().wait()
            finally:
                task.cancel()

    task = asyncio.ensure_future(work())
    with pytest.raises(asyncio.CancelledError):
        await task
    assert limit.expired


async def test_an_error_of_the_block_itself_comes_through() -> None:
    """Only the cancellation becomes TimeoutError."""
    limit = TimeLimit(0.01)

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ValueError("of its own") from None

    with pytest.raises(ValueError, match="of its own"), limit:
        await work()


async def test_no_timer_runs_once_nothing_is_under_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Many blocks start one timer; it ends when it finds nobody in a block."""
    loop = asyncio.get_running_loop()
    made: list[asyncio.TimerHandle] = []
    call_at = loop.call_at

    def noted(*args: object) -> asyncio.TimerHandle:
        made.append(call_at(*args))  # type: ignore[arg-type]
        return made[-1]

    monkeypatch.setattr(loop, "call_at", noted)
    limit = TimeLimit(0.02)
    for _ in range(100):
        with limit:
            pass
    assert len(made) == 1
    await asyncio.sleep(0.05)
    with limit:
        pass
    assert len(made) - sum(timer.when() < loop.time() for timer in made) == 1

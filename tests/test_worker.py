"""The thread that does a sink's blocking work."""

import asyncio
import subprocess
import sys
import threading

import pytest

from kevmond.worker import Worker


@pytest.fixture
async def worker():
    """Return a worker that is stopped afterwards."""
    made = Worker("test")
    yield made
    made.stop()


async def test_job_runs_in_a_thread_of_its_own(worker):
    """A job runs in the worker's thread, always the same, and its result comes back."""
    first, second = [await worker.run(threading.current_thread) for _ in range(2)]
    assert first is second
    assert (first.name, first.daemon) == ("test", True)


async def test_exception_comes_back(worker):
    """What a job raises is raised where it was asked for, and the thread lives on."""
    with pytest.raises(ZeroDivisionError):
        await worker.run(lambda: 1 / 0)
    assert await worker.run(len, "abc") == 3


@pytest.mark.parametrize("error", [StopIteration, SystemExit, KeyboardInterrupt])
async def test_exceptions_that_would_end_the_loop_do_not(worker, error):
    """An exception that a future refuses, or that ends the loop, arrives as RuntimeError."""

    def job():
        raise error("x")

    with pytest.raises(RuntimeError, match=f"{error.__name__} in a worker: x"):
        await worker.run(job)
    assert await worker.run(len, "abc") == 3


async def test_cancelled_job_runs_to_its_end_before_the_next(worker):
    """A job whose waiter was cancelled is finished before another begins."""
    let_go = threading.Event()
    begun = threading.Event()
    done = []

    def slow():
        begun.set()
        let_go.wait(30)
        done.append("slow")

    waiting = asyncio.ensure_future(worker.run(slow))
    await asyncio.to_thread(begun.wait, 30)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    after = asyncio.ensure_future(worker.run(done.append, "after"))
    await asyncio.sleep(0)
    assert worker._jobs.empty(), "jobs pile up behind one that hangs"
    let_go.set()
    await asyncio.wait_for(after, 30)
    assert done == ["slow", "after"]


async def test_stopped_worker_starts_again(worker):
    """`run` after `stop` starts a new thread."""
    first = await worker.run(threading.get_ident)
    worker.stop()
    assert isinstance(first, int)
    assert await worker.run(len, "abc") == 3


def test_hanging_job_does_not_hold_up_the_end():
    """A process whose worker hangs for ever still ends when its loop does."""
    program = """
import asyncio, threading
from kevmond.worker import Worker

async def main():
    begun = threading.Event()
    def hang():
        begun.set()
        threading.Event().wait()
    waiting = asyncio.ensure_future(Worker("x").run(hang))
    await asyncio.to_thread(begun.wait)
    waiting.cancel()

asyncio.run(main())
print("ended")
"""
    done = subprocess.run(
        [sys.executable, "-c", program], timeout=60, capture_output=True, check=True, text=True
    )
    assert done.stdout == "ended\n"


async def test_last_job_runs_even_behind_one_that_hangs(worker):
    """Whoever stops waiting for the end has the last job done all the same, once it can be."""
    hangs, ended = threading.Event(), threading.Event()
    waiting = asyncio.get_running_loop().create_task(worker.run(hangs.wait))
    await asyncio.sleep(0)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(worker.end(ended.set), 0.01)
    assert not ended.is_set()
    hangs.set()
    assert await asyncio.to_thread(ended.wait, 20)
    await waiting

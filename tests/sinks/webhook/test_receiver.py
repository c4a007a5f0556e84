"""The receiver that docs/webhooks.md shows works as it stands there."""

import asyncio
import os
import re
import sys
from pathlib import Path

import pytest

from kevmond.errors import RetryableError
from kevmond.sinks.testing import odd_records, records
from kevmond.sinks.webhook.settings import SCHEDULE, WebhookSettings

PAGE = (Path(__file__).parents[3] / "docs/webhooks.md").read_text()
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
PATIENCE = 60.0


def program():
    """Return the code on the page."""
    (found,) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    return found


async def connectable(port, process):
    """Wait until somebody listens."""
    async with asyncio.timeout(PATIENCE):
        while True:
            assert process.returncode is None, "the receiver ended"
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.01)
            else:
                writer.close()
                return


async def test_receiver_takes_each_event_once(opened, unused_tcp_port):
    """It prints each event that is signed right once, and refuses what is not."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-c", program(), str(unused_tcp_port)),
        env={**os.environ, "SECRET": SECRET},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{unused_tcp_port}/"
    try:
        await connectable(unused_tcp_port, process)
        forger = await opened(url, secrets=[OTHER])
        with pytest.raises(RetryableError, match="answered 401"):
            await forger.write(records(1, 1))
        sink = await opened(url, secrets=[OTHER, SECRET])
        sent = [*records(1, 3), *odd_records(4)]
        for one in (*sent, *sent[:2]):
            assert await sink.write([one]) == 1
    finally:
        process.terminate()
        printed, _ = await process.communicate()
    lines = printed.decode().split("\n")
    for one in sent:
        assert sum(line.startswith(f"{one.event.time} mac.example") for line in lines) == 1


def test_receiver_is_short():
    """What the page calls a whole receiver has fifteen lines of code, empty ones apart."""
    assert len([line for line in program().splitlines() if line.strip()]) == 15


def test_the_first_page_shows_the_same_receiver():
    """README.md has the very code that is tested here."""
    readme = (Path(__file__).parents[3] / "README.md").read_text()
    assert f"```python\n{program()}```" in readme


def test_page_has_the_schedule_that_is():
    """The waits on the page are those of the code."""
    waits = "5 s, 30 s, 2 min, 10 min, 30 min, 1 h, 2 h, 5 h, and then every 10 h"
    assert waits in PAGE
    units = {"s": 1, "min": 60, "h": 3600}
    told = [int(n) * units[u] for n, u in re.findall(r"(\d+) (s|min|h)", waits)]
    assert tuple(told) == SCHEDULE[:9]
    assert set(SCHEDULE[8:]) == {36000}


def test_page_names_settings_that_are():
    """Each setting that the page writes down exists."""
    named = set(re.findall(r"`([a-z]+_[a-z_]+)`|`([a-z_]+) = ", PAGE))
    for name in {one or other for one, other in named}:
        assert name in WebhookSettings.model_fields, name

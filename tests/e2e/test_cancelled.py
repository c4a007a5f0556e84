"""A daemon whose task is cancelled, as whoever embeds it may do."""

import asyncio
import json

from kevmond.config.loader import load
from kevmond.daemon import Daemon


async def test_cancelled_daemon_stops_in_order(tmp_path):
    """Its sinks are drained, and the stream ends with `kevmond.stop`."""
    overrides = ["sinks.jsonl.type=jsonl", "sinks.jsonl.path=events.jsonl"]
    loaded = load(overrides=[*overrides, f"daemon.state_dir={tmp_path}"], search=False)
    daemon = Daemon(lambda _: loaded)
    task = asyncio.ensure_future(daemon.serve())
    written = tmp_path / "events.jsonl"
    async with asyncio.timeout(30):
        while not written.exists() or not written.stat().st_size:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()
    last = json.loads(written.read_text().splitlines()[-1])
    assert (last["type"], last["payload"]["reason"]) == ("kevmond.stop", "cancelled")

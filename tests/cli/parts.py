"""The daemon's own parts, on a loop in a thread of its own, for commands that ask them."""

import asyncio
import contextlib
import tempfile
import threading
from pathlib import Path

import uvloop

PATIENCE = 30.0


class Log:
    """Says nothing."""

    def warning(self, text, **facts):
        pass

    debug = error = warning


class Parts:
    """What is started by `start` and ended by `stop`, both on the loop."""

    def __init__(self, folder):
        self.folder = folder
        self.loop = uvloop.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()

    def call(self, work):
        """Do something on the loop; return what comes of it."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(PATIENCE)

    def close(self):
        self.call(self.stop())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    @classmethod
    @contextlib.contextmanager
    def running(cls):
        """Run in a folder with a short path, as a Unix socket wants it."""
        with tempfile.TemporaryDirectory(prefix="kev") as folder:
            parts = cls(Path(folder))
            parts.call(parts.start())
            yield parts
            parts.close()

"""Bursts at the shipped daemon: what is delivered, what is lost, and whether that is all.

    python benchmarks/loss.py

The daemon runs on a simulated kernel in another process.  The first burst fits the receive buffer
that the kernel grants; the second is posted while the daemon is stopped (SIGSTOP), as when a Mac
is too busy to schedule it, and is three times what the buffer can hold.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from kevmond.kernel.simulated.remote import RemoteKernel

KEVMOND = [sys.executable, "-m", "kevmond"]
LINK_ON = (1, 1, 2, 13, b"\x02\0\0\0\0\0\0\0en".ljust(24, b"\0"))
SETTINGS = (
    "capture.snapshot=false",
    "sinks.jsonl.max_bytes=0",
    "sinks.jsonl.total_bytes=0",
    "sinks.log.enabled=false",
)


def account(file: Path) -> tuple[int, int]:
    """Events delivered and events reported lost, from the JSON lines file."""
    delivered = lost = 0
    for line in file.read_bytes().split(b"\n")[:-1]:
        event = json.loads(line)
        if event["kernel_id"] is not None:
            delivered += 1
        elif event["type"] == "kevmond.loss":
            lost += event["payload"]["lost"]
    return delivered, lost


def wait(file: Path, posted: int) -> tuple[int, int]:
    """Wait until everything posted is accounted for, or a minute."""
    end = time.monotonic() + 60
    while sum(found := account(file)) < posted and time.monotonic() < end:
        time.sleep(0.5)
    return found


def main() -> int:
    """Run both bursts and print the account."""
    with tempfile.TemporaryDirectory() as folder:
        path, state = Path(folder) / "kernel", Path(folder) / "state"
        server = subprocess.Popen(
            [*KEVMOND, "simulate", "--listen", str(path)], stdout=subprocess.DEVNULL
        )
        while not path.exists():
            time.sleep(0.02)
        more = [word for setting in SETTINGS for word in ("--set", setting)]
        daemon = subprocess.Popen(
            [*KEVMOND, "run", "--kernel", f"simulated:{path}", "--state-dir", str(state), *more]
        )
        file = state / "events.jsonl"
        while not file.exists() or b"kevmond.start" not in file.read_bytes():
            time.sleep(0.05)
        kernel = RemoteKernel(str(path))
        kernel.post(*LINK_ON, times=30_000)
        first = wait(file, 30_000)
        print(f"burst of  30,000: delivered {first[0]:>6,}   lost {first[1]:>6,}")
        daemon.send_signal(signal.SIGSTOP)
        kernel.post(*LINK_ON, times=100_000)
        daemon.send_signal(signal.SIGCONT)
        both = wait(file, 130_000)
        delivered, lost = both[0] - first[0], both[1] - first[1]
        print(f"burst of 100,000: delivered {delivered:>6,}   lost {lost:>6,}")
        exact = sum(both) == 130_000
        print(f"delivered + lost = posted: {'exactly' if exact else f'NO, {sum(both):,}'}")
        for process in (daemon, server):
            process.send_signal(signal.SIGTERM)
            process.wait(30)
    return not (exact and first == (30_000, 0))


if __name__ == "__main__":
    sys.exit(main())

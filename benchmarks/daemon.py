"""The daemon as a process: start-up, memory and wake-ups at rest, and what `--help` costs.

    python benchmarks/daemon.py [--seconds 60]

Start-up is the time from just before exec to the stamp on the first kernel event that the daemon
read, while a simulated kernel in another process posts all the time.  Memory and wake-ups are the
kernel's own accounting (/proc, so on Linux only) of a daemon with the log and jsonl sinks whose
kernel is silent.  Each figure stands beside what the bare interpreter costs on the same machine.
"""

from __future__ import annotations

import argparse
import json
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from datetime import datetime
from pathlib import Path

KEVMOND = [sys.executable, "-m", "kevmond"]


def seconds(command: list[str], rounds: int = 9) -> tuple[float, float]:
    """Least and median wall time of a command, seconds."""
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        taken.append(time.perf_counter() - start)
    return min(taken), statistics.median(taken)


def wait_for(path: Path, *, deadline: float = 30) -> None:
    """Wait until a path exists."""
    end = time.monotonic() + deadline
    while not path.exists():
        if time.monotonic() > end:
            sys.exit(f"{path} did not appear")
        time.sleep(0.01)


def kernel_lines(path: Path) -> list[dict[str, str]]:
    """Events that a kernel posted, from a JSON lines file."""
    if not path.exists():
        return []
    lines = path.read_bytes().split(b"\n")[:-1]
    return [event for line in lines if (event := json.loads(line))["kernel_id"] is not None]


def daemon(state: Path, socket: Path) -> tuple[float, subprocess.Popen[bytes]]:
    """Start the shipped daemon on a served kernel; also the wall time of the start."""
    command = [*KEVMOND, "run", "--kernel", f"simulated:{socket}", "--state-dir", str(state)]
    start = time.time()
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    return start, process


def start_up(folder: Path) -> float:
    """Seconds from exec to the first event read."""
    from kevmond.kernel.simulated.remote import RemoteKernel

    socket = folder / "kernel"
    server = subprocess.Popen(
        [*KEVMOND, "simulate", "--listen", str(socket)], stdout=subprocess.DEVNULL
    )
    wait_for(socket)
    kernel = RemoteKernel(str(socket))
    done = threading.Event()

    def post() -> None:
        while not done.is_set():
            kernel.post(1, 1, 2, 13, b"\x02\0\0\0\0\0\0\0en" + bytes(14))
            time.sleep(0.002)

    poster = threading.Thread(target=post)
    poster.start()
    start, process = daemon(folder / "state", socket)
    file = folder / "state/events.jsonl"
    while not (events := kernel_lines(file)):
        time.sleep(0.02)
    done.set()
    poster.join()
    for each in (process, server):
        each.send_signal(signal.SIGTERM)
        each.wait(20)
    return datetime.fromisoformat(events[0]["time"]).timestamp() - start


def at_rest(folder: Path, duration: float) -> tuple[float, float, int]:
    """Resident MiB, the same once asked, and voluntary context switches in `duration` seconds."""
    socket = folder / "kernel"
    server = subprocess.Popen(
        [*KEVMOND, "simulate", "--listen", str(socket)], stdout=subprocess.DEVNULL
    )
    wait_for(socket)
    _, process = daemon(folder / "state", socket)
    wait_for(folder / "state/events.jsonl")
    time.sleep(5)
    before = switches(process.pid)
    time.sleep(duration)
    woken = switches(process.pid) - before
    resident = memory(process.pid)
    ask = [*KEVMOND, "status", "--state-dir", str(folder / "state")]
    subprocess.run(ask, stdout=subprocess.DEVNULL, check=True)
    asked = memory(process.pid)
    for each in (process, server):
        each.send_signal(signal.SIGTERM)
        each.wait(20)
    return resident, asked, woken


def memory(pid: int) -> float:
    """Resident memory of a process, MiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(x.split()[1]) for x in status.splitlines() if x.startswith("VmRSS")) / 1024


def switches(pid: int) -> int:
    """Voluntary context switches so far, of all threads of a process."""
    return sum(
        int(line.split()[1])
        for task in Path(f"/proc/{pid}/task").iterdir()
        for line in (task / "status").read_text().splitlines()
        if line.startswith("voluntary_ctxt_switches")
    )


def main() -> None:
    """Print every figure."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=float, default=60)
    rest = options.parse_args().seconds
    bare = seconds([sys.executable, "-c", ""])
    helped = seconds([*KEVMOND, "--help"])
    print(f"interpreter alone        min {bare[0]:.3f} s, median {bare[1]:.3f} s")
    print(f"kevmond --help           min {helped[0]:.3f} s, median {helped[1]:.3f} s")
    taken = []
    for _ in range(5):
        with tempfile.TemporaryDirectory() as folder:
            taken.append(start_up(Path(folder)))
    least, median = min(taken), statistics.median(taken)
    print(f"exec to first event read min {least:.3f} s, median {median:.3f} s")
    if Path("/proc/self/status").exists():
        with tempfile.TemporaryDirectory() as folder:
            resident, asked, woken = at_rest(Path(folder), rest)
        print(f"resident at rest         {resident:.1f} MiB, once asked {asked:.1f} MiB")
        print(f"wake-ups at rest         {woken} in {rest:.0f} s")


if __name__ == "__main__":
    main()

"""Drives the shipped daemon through a bad life: it is started, fed, and killed, again and again.

The kernel is simulated and in a process of its own, which nobody kills; so it knows what was
posted.  What happens is drawn from a seed; when exactly it happens is up to the machine.
"""

import contextlib
import os
import random
import runpy
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import tomli_w

from kevmond.kernel.simulated.remote import RemoteKernel

HERE = Path(__file__).parent
RECEIVER = runpy.run_path(str(HERE / "receiver.py"))

PATIENCE = 60
"""Seconds after which a wait counts as failed; nothing waits this long when all is well."""
NET_EVENT = struct.Struct("<2I16s")
"""net_event_data: family, unit, name."""
LINK_OFF, LINK_ON = 12, 13
"""KEV_DL_LINK_OFF and KEV_DL_LINK_ON; only the second is wanted by every endpoint."""

OWN = {
    "type": "jsonl",
    "path": "own.jsonl",
    "max_bytes": 0,
    "total_bytes": 0,
    "filter": [{"drop": True, "origin": "kernel"}],
}
"""A sink of kevmond's own records."""


def until(condition, what):
    """Wait until `condition()` is true and return what it returned."""
    end = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < end, f"waited {PATIENCE} s for {what}"
        time.sleep(0.005)
    return found


class Kernel:
    """A served simulated kernel, and all that it was made to post."""

    def __init__(self, folder):
        self.path = folder / "kernel"
        self._server = subprocess.Popen(
            [sys.executable, "-m", "kevmond", "simulate", "--listen", str(self.path)],
            stdout=subprocess.DEVNULL,
        )
        until(self.path.exists, "the simulated kernel")
        self.remote = RemoteKernel(str(self.path))
        self.issued = {}
        """Payloads by kernel id."""
        self._bursts = 0

    def post(self, code, times, *, padding=0):
        """Post a burst of equal events, which no other burst is equal to; the last one's id."""
        self._bursts += 1
        payload = NET_EVENT.pack(2, self._bursts, b"en") + bytes(padding)
        last = self.remote.post(1, 1, 2, code, payload, times=times)
        self.issued.update(dict.fromkeys(range(last - times + 1, last + 1), payload))
        return last

    @property
    def sockets(self):
        """How many event sockets are open."""
        return self.remote.statistics().pcbcount

    def close(self):
        """End it."""
        self.remote.close()
        self._server.terminate()
        self._server.wait(PATIENCE)


class Life:
    """One state folder, and the daemons that live on it one after the other."""

    def __init__(self, folder, kernel, sinks, *, capture=None, daemon=None, journal=None):
        """`sinks` are the tables of all sinks; OWN comes to them."""
        self.folder = folder
        self.state = folder / "state"
        self.kernel = kernel
        self.run = 0
        """Number of the start; it is in every request, so that receivers know the sender."""
        self.clean_stops = []
        self.errors = folder / "stderr"
        self._settings = {
            "daemon": {"state_dir": str(self.state), **(daemon or {})},
            "kernel": {"source": f"simulated:{kernel.path}"},
            "capture": {"snapshot": False, **(capture or {})},
            "journal": journal or {},
        }
        self._sinks = {**sinks, "own": OWN}
        self._process = None

    def start(self, fault_point=None):
        """Start the daemon."""
        self.run += 1
        sinks = {
            name: {**sink, "headers": {"x-run": str(self.run)}}
            if sink["type"] == "webhook"
            else sink
            for name, sink in self._sinks.items()
        }
        config = self.folder / "kevmond.toml"
        config.write_text(tomli_w.dumps({**self._settings, "sinks": sinks}))
        with self.errors.open("ab") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "kevmond", "run", "-c", str(config)],
                stderr=errors,
                stdout=subprocess.DEVNULL,
                env={**os.environ, "KEVMOND_FAULT_POINT": fault_point or ""},
            )

    def reads(self):
        """Wait until it reads events: its kevmond.start says so."""
        file, words = self.state / OWN["path"], f'"pid":{self._process.pid},'.encode()
        self.until(lambda: file.exists() and words in file.read_bytes(), "kevmond.start")

    def webhook(self, *words):
        """Run `kevmond webhook` for the daemon; return its exit status and what it said."""
        done = subprocess.run(
            [sys.executable, "-m", "kevmond", "webhook", *words, "--state-dir", str(self.state)],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    def serves(self):
        """Wait until it can be talked to."""
        self.reads()
        self.until(lambda: self.webhook("list")[0] == 0, "the API")

    def alive(self):
        """Make sure that it runs: nothing that is left behind may keep it from starting."""
        code = self._process.poll()
        assert code is None, f"run {self.run} ended with {code}: {self.said()}"

    def until(self, condition, what):
        """Wait for something that a living daemon brings about."""

        def there():
            self.alive()
            return condition()

        return until(there, what)

    def said(self):
        """Return the end of what the daemon said to stderr."""
        return self.errors.read_text()[-2000:]

    def kill(self):
        """Let it die where it stands."""
        self.alive()
        self._process.kill()
        self._process.wait(PATIENCE)
        self._gone()

    def dies(self):
        """Wait until it dies of its fault point; False if it lives on for now."""
        if self._process.poll() is None:
            return False
        assert self._process.returncode == -signal.SIGKILL, self.said()
        self._gone()
        return True

    def stop(self):
        """Stop it in order."""
        self.alive()
        self._process.terminate()
        code = self._process.wait(PATIENCE)
        assert code == 0, f"run {self.run} stopped with {code}: {self.said()}"
        self.clean_stops.append(self.run)
        self._gone()

    def send(self, number):
        """Send a signal."""
        self._process.send_signal(number)

    def close(self):
        """Kill what still runs."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(PATIENCE)

    def _gone(self):
        until(lambda: not self.kernel.sockets, "the kernel to notice")


class Storm:
    """What happens to a life: drawn from a seed."""

    def __init__(self, seed, life, oracle, *, stalls=True):
        self.chance = random.Random(f"{seed} storm")
        self.life = life
        self.kernel = life.kernel
        self.oracle = oracle
        self.stalls = stalls
        self.happened = {}

    def begin(self):
        """Start the first run, and let its beginning be kept: before it nothing is accounted."""
        self.life.start()
        self.life.reads()

    def round(self, count):
        """Post about `count` events, and have the daemon killed at some moment."""
        how = self.chance.choice(self.moments())
        self.happened[how.__name__] = self.happened.get(how.__name__, 0) + 1
        how(count)
        self.life.start()

    def moments(self):
        """Return the ways in which a run may end."""
        common = [self.in_between, self.amid_deliveries, self.during_start, self.amid_deliveries]
        seldom = [self.in_order, self.while_stalled] if self.stalls else [self.in_order]
        return common * 2 + seldom

    def post(self, count):
        """Post in bursts, now and then with a breath between them."""
        chance = self.chance
        while count > 0:
            burst = min(count, chance.choice((1, 1, 2, 5, 20, 60)))
            self.kernel.post(chance.choice((LINK_ON, LINK_ON, LINK_OFF)), burst)
            count -= burst
            if chance.random() < 0.5:
                time.sleep(chance.uniform(0, 0.01))

    def in_between(self, count):
        """Post all, and kill a little later."""
        self.life.reads()
        self.post(count)
        time.sleep(self.chance.uniform(0, 0.2))
        self.life.kill()

    def amid_deliveries(self, count):
        """Post all, and kill as soon as so many more deliveries have come."""
        self.life.reads()
        endpoint = self.chance.choice([*self.oracle.endpoints.values()])
        wanted = endpoint.requests + self.chance.randint(1, 30)
        self.post(count)
        end = time.monotonic() + 1.0  # it may have nothing to deliver, or be refused
        while endpoint.requests < wanted and time.monotonic() < end:
            time.sleep(0.001)
        self.life.kill()

    def during_start(self, count):
        """Kill at a moment at which it may not have come to itself; events go on meanwhile."""
        end = time.monotonic() + self.chance.uniform(0, 1.0)
        self.post(count // 2)
        while time.monotonic() < end:
            time.sleep(0.005)
        self.post(count - count // 2)
        self.life.kill()

    def in_order(self, count):
        """Stop it by SIGTERM, whatever its receivers do."""
        self.life.reads()
        self.post(count)
        self.life.stop()

    def while_stalled(self, count):
        """Post more than the socket holds while the daemon stands still, and kill it soon after."""
        self.life.reads()
        self.life.send(signal.SIGSTOP)
        self.kernel.post(LINK_ON, max(count, 600))
        self.life.send(signal.SIGCONT)
        time.sleep(self.chance.choice((0, 0.1, 0.7)))
        self.life.kill()

    def finish(self):
        """Let everything be well, wait until everybody has a last event, and stop; its id."""
        self.oracle.heal()
        marks = {}

        def everywhere():
            now = time.monotonic()
            if not marks or now - max(marks.values()) > 1.0:  # the one before came too early
                marks[self.kernel.post(LINK_ON, 1)] = now
            for mark in marks:
                if all(one.taken(mark) for one in self.oracle.endpoints.values()):
                    return mark
            return None

        mark = self.life.until(everywhere, "the last event to be everywhere")
        self.life.stop()
        return mark


@contextlib.contextmanager
def living(folder, make_endpoints, sinks, **settings):
    """Give a kernel, an oracle and a life on them; whatever still runs at the end is killed.

    `make_endpoints()` is called on the oracle's loop; `sinks(oracle)` returns the tables.
    """
    kernel = Kernel(folder)
    try:
        with RECEIVER["Oracle"](make_endpoints) as oracle:
            life = Life(folder, kernel, sinks(oracle), **settings)
            try:
                yield kernel, oracle, life
            finally:
                life.close()
    finally:
        kernel.close()

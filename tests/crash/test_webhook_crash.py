"""The daemon is killed at every named fault point, twice in a row, and accounts for every event.

It runs as shipped, on a served simulated kernel, with a jsonl sink and webhooks; what must hold is
checked as after random kills (tests/chaos/account.py).
"""

import contextlib
import re
import runpy
import signal
import tempfile
from pathlib import Path

import pytest

import kevmond
from kevmond.journal import Journal, JournalSettings

CHAOS = Path(__file__).parents[1] / "chaos"
DRIVER = runpy.run_path(str(CHAOS / "driver.py"))
RECEIVER = DRIVER["RECEIVER"]
ACCOUNT = runpy.run_path(str(CHAOS / "account.py"))
LINK_ON = DRIVER["LINK_ON"]

FLOWING = {
    "journal.before-begin": 4,
    "journal.after-insert": 4,
    "journal.before-commit": 5,
    "journal.after-commit": 5,
    "journal.before-hand-back": 5,
    "journal.before-publish": 5,
    "jsonl.before-write": 2,
    "jsonl.after-write": 3,
    "jsonl.before-rotate": 1,
    "jsonl.after-rotate": 1,
    "jsonl.before-gzip-rename": 1,
    "jsonl.after-gzip-rename": 1,
    "webhook.before-post": 30,
    "webhook.after-post": 30,
}
"""Points that a daemon passes which has events to deliver, and the pass to die at."""
BEGINNING = {"journal.before-schema": 1, "journal.after-schema": 1}
"""Points of a very first start; after the second the schema is there."""
STOPPING = {
    "journal.before-clean-mark": 1,
    "journal.before-checkpoint": 1,
    "journal.after-checkpoint": 1,
}
"""Points of an orderly stop."""
TRIMMING = {"journal.after-trim": 1}
"""Points of a journal that is full."""
BURYING = {"journal.before-bury": 1, "journal.after-bury": 1}
"""Points of a receiver that does not take an event for too long."""
UNBURYING = {"journal.after-unbury": 1}
"""Points of dead letters that are replayed."""
SUBSCRIBING = {
    "subscription.after-secret": 1,
    "subscription.before-state": 1,
    "subscription.after-state": 1,
}
"""Points of a webhook that comes, or changes, while the daemon runs."""
UNSUBSCRIBING = {"subscription.before-clear": 1}
"""Points of a webhook that goes: test_subscription_crash.py has them."""
SPOILED = {"journal.before-set-aside": 1, "journal.during-set-aside": 1}
"""Points that only a damaged journal passes."""
GROUPS = (
    FLOWING,
    BEGINNING,
    STOPPING,
    TRIMMING,
    BURYING,
    UNBURYING,
    SUBSCRIBING,
    UNSUBSCRIBING,
    SPOILED,
)

LATE = "late"
"""The endpoint that is subscribed while the daemon runs."""


def named():
    """Return every fault point in the package."""
    source = Path(kevmond.__file__).parent
    return {
        name
        for path in source.rglob("*.py")
        for name in re.findall(r'\bfault\("(.*?)"\)', path.read_text())
    }


def sinks(oracle, max_bytes=20_000):
    """Return the tables of a jsonl sink that rotates often, and of webhooks to all endpoints."""
    tables = {
        "file": {
            "type": "jsonl",
            "path": "events.jsonl",
            "max_bytes": max_bytes,
            "total_bytes": 0,
            "keep": 100_000,
        }
    }
    for name, endpoint in oracle.endpoints.items():
        if name == LATE:
            continue
        tables[name] = {
            "type": "webhook",
            "url": endpoint.url,
            "allow_http": True,
            "allow_private": True,
            "timeout": 5,
            "schedule": [0.02],
            "give_up_after": 0.05 if name == "impatient" else "1h",
            "batch_size": 50 if name == "batch" else 1,
        }
    return tables


@pytest.fixture
def living():
    """Give a kernel, good receivers, and a life to be cut short; its sockets have short paths."""

    @contextlib.contextmanager
    def start(names=("single", "batch"), max_bytes=20_000, **settings):
        with (
            tempfile.TemporaryDirectory(prefix="kevmond-", dir="/tmp") as folder,
            DRIVER["living"](
                Path(folder),
                lambda: [RECEIVER["Endpoint"](name, 1, patience=2.5) for name in names],
                lambda oracle: sinks(oracle, max_bytes),
                **settings,
            ) as parts,
        ):
            yield parts

    return start


def has_letters(life):
    """Wait until there are dead letters."""
    life.until(
        lambda: '"number"' in life.webhook("failures", "impatient", "--json")[1],
        "the first dead letter",
    )


def kill_at(life, point, number, provoke):
    """Start the daemon with a fault point set, and let things happen until it dies there."""
    life.start(f"{point}:{number}")

    def dead():
        if life.dies():
            return True
        provoke()
        return False

    DRIVER["until"](dead, f"the death at {point}")


def feed(life):
    """Return what posts a few events, of which there will be some hundred a second."""
    return lambda: life.kernel.post(LINK_ON, 3)


async def account(life, oracle, *, forgotten=False, unordered=()):
    """Start once more, deliver everything, and check.

    `forgotten`: a journal was set aside; `unordered`: endpoints to which something was replayed.
    """
    life.start()
    life.reads()
    mark = DRIVER["Storm"](1, life, oracle).finish()
    events = ACCOUNT["read_lines"](life.state)
    if not forgotten:
        ACCOUNT["check_lines"](events, life.kernel.issued)
    last = next(event["seq"] for event in events if event["kernel_id"] == mark)
    events = [event for event in events if event["seq"] <= last]
    buried = await letters(life.state)
    for name, endpoint in oracle.endpoints.items():
        ACCOUNT["check_endpoint"](
            endpoint,
            events,
            wants=lambda event: True,
            letters=buried.get(name, ()),
            clean_stops=life.clean_stops,
            ordered=name not in unordered,
        )
    return events, buried


async def letters(state):
    """Return the ids in the dead letters, by the name of the sink."""
    journal = Journal.open(JournalSettings(path=state / "journal.sqlite"))
    found = {}
    for letter in await journal.letters(limit=10_000):
        found.setdefault(letter.consumer.removeprefix("sink."), []).append(letter.event_id)
    await journal.aclose(10)
    return found


def test_every_fault_point_has_its_place():
    """A point that somebody adds must be added here: points are found by their call."""
    assert named() == {point for group in GROUPS for point in group}
    assert sum(len(group) for group in GROUPS) == len(named())


@pytest.mark.parametrize("room", sorted({point.split(".")[0] for point in FLOWING}))
async def test_killed_while_events_flow(living, room):
    """Of one life with two deaths at each point of a room, every event is accounted for."""
    with living() as (_, oracle, life):
        life.start()
        life.reads()
        life.kill()
        for point, number in FLOWING.items():
            for _ in range(2 if point.startswith(room) else 0):
                kill_at(life, point, number, feed(life))
        events, _ = await account(life, oracle)
    assert any(event["kernel_id"] for event in events[:-1])


def spoil(path):
    """Make a journal unusable; what SQLite keeps beside it would mend it."""
    path.with_name(f"{path.name}-wal").unlink(missing_ok=True)
    path.write_bytes(b"rubbish" * 1000)


@pytest.mark.parametrize("point", BEGINNING)
async def test_killed_at_the_very_beginning(living, point):
    """A first start that dies is followed by one that works."""
    with living() as (_, oracle, life):
        kill_at(life, point, BEGINNING[point], lambda: None)
        if point == "journal.before-schema":
            kill_at(life, point, BEGINNING[point], lambda: None)
        await account(life, oracle)


async def test_killed_while_stopping(living):
    """A stop that is cut short loses nothing, wherever that is."""
    with living() as (_, oracle, life):
        life.start()
        life.reads()
        life.kill()
        for point, number in STOPPING.items():
            for _ in range(2):
                life.start(f"{point}:{number}")
                life.reads()
                life.kernel.post(LINK_ON, 5)
                life.send(signal.SIGTERM)
                DRIVER["until"](life.dies, f"the death at {point}")
        await account(life, oracle)


async def test_killed_while_old_events_are_trimmed(living):
    """A full journal lets go of what everybody has, and of nothing else."""
    journal = {"max_bytes": "1MiB"}
    with living(("batch",), max_bytes=1 << 20, journal=journal) as (kernel, oracle, life):
        life.start()
        life.reads()
        for _ in range(5):
            last = kernel.post(LINK_ON, 1000, padding=176)
            life.until(
                lambda last=last: all(one.taken(last) for one in oracle.endpoints.values()),
                "the events to be taken",
            )
        life.kill()
        for point, number in TRIMMING.items():
            for _ in range(2):
                kill_at(life, point, number, feed(life))
        await account(life, oracle)


async def test_killed_while_burying(living):
    """What a receiver never took is delivered later or a dead letter, and the next goes on."""
    with living(("batch", "impatient")) as (_, oracle, life):
        life.start()
        life.reads()
        life.kill()
        oracle.endpoints["impatient"].refusing = True
        for point, number in BURYING.items():
            for _ in range(2):
                kill_at(life, point, number, feed(life))
        life.start()
        has_letters(life)
        life.kill()
        _, buried = await account(life, oracle)
    assert buried["impatient"]


async def test_killed_while_replaying(living):
    """A dead letter that is being delivered is delivered, or there to be replayed again."""
    with living(("batch", "impatient")) as (kernel, oracle, life):
        endpoint = oracle.endpoints["impatient"]
        endpoint.refusing = True
        life.start()
        life.reads()
        kernel.post(LINK_ON, 5)
        has_letters(life)
        life.kill()
        endpoint.refusing = False
        for point, number in UNBURYING.items():
            for _ in range(2):
                life.start(f"{point}:{number}")
                life.serves()
                life.webhook("replay", "impatient", "--failed", "--no-wait")
                DRIVER["until"](life.dies, f"the death at {point}")
        life.start()
        life.serves()
        code, said = life.webhook("replay", "impatient", "--failed")
        assert code == 0, said
        life.stop()
        _, buried = await account(life, oracle, unordered=("impatient",))
    assert not buried


async def test_killed_while_subscribing(living):
    """A subscription is there or not, never by half; nobody else's events suffer."""
    with living(("batch", LATE)) as (_, oracle, life):
        words = ("--allow-http", "--allow-private", "--start", "oldest")
        add = ("add", oracle.endpoints[LATE].url, "--name", LATE, *words)
        for point, number in SUBSCRIBING.items():
            for _ in range(2):
                life.start(f"{point}:{number}")
                life.serves()
                _, said = life.webhook("list", "--json")
                known = f'"{LATE}"' in said
                code, _ = life.webhook(*(("rotate-secret", LATE) if known else add))
                assert code != 0
                DRIVER["until"](life.dies, f"the death at {point}")
        life.start()
        life.serves()
        if f'"{LATE}"' not in life.webhook("list", "--json")[1]:
            assert life.webhook(*add)[0] == 0
        life.stop()
        await account(life, oracle, unordered=(LATE,))


async def test_killed_while_a_spoiled_journal_is_set_aside(living):
    """The start works, and what comes from then on is delivered in order; ids stay unique."""
    with living() as (kernel, oracle, life):
        life.start()
        life.reads()
        first = kernel.post(LINK_ON, 20)
        life.until(
            lambda: all(one.taken(first) for one in oracle.endpoints.values()),
            "the events to be taken",
        )
        life.kill()
        for point, number in SPOILED.items():
            spoil(life.state / "journal.sqlite")
            for turn in range(2):
                life.start(f"{point}:{number}")
                if turn and point == "journal.during-set-aside":
                    life.reads()  # the database is renamed already
                    life.kill()
                else:
                    DRIVER["until"](life.dies, f"the death at {point}")
        await account(life, oracle, forgotten=True)

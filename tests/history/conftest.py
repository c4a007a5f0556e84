"""A real journal on disk, and records of all sorts to put into it."""

import asyncio
import random
from types import SimpleNamespace

import pytest

from kevmond import stories
from kevmond.events import own
from kevmond.events.decoder import Decoder
from kevmond.events.event import Context
from kevmond.events.own import own_record
from kevmond.journal.journal import Journal
from kevmond.journal.settings import JournalSettings
from kevmond.kernel.base import KernelFilter
from kevmond.kernel.simulated.model import SimulatedKernel
from kevmond.sinks.testing import CONTEXT, START_NS, link_message, record


async def put(journal, *records):
    """Append records at the positions that come next, and wait until consumers see them."""
    journal.append(records)
    await journal.lasting()


def link(seq, *, code=12, unit=0, interface="en", second=None):
    """Make the record of a link event."""
    raw = link_message(seq, code=code, unit=unit, interface=interface)
    return record(seq, raw=raw, second=second)


def said(seq, payload, *, interface=None, context=CONTEXT, wall_ns=None):
    """Make a record of kevmond's own."""
    wall_ns = START_NS + seq * 1_000_000 if wall_ns is None else wall_ns
    return own_record(context, payload, seq=seq, wall_ns=wall_ns, interface=interface)


def variety(first, count, seed=1):
    """Make records of several interfaces, codes and severities, and own ones among them."""
    chance = random.Random(seed)
    found = []
    for seq in range(first, first + count):
        if chance.random() < 0.1:
            interface = chance.choice([None, "en0"])
            found.append(
                said(seq, own.Loss(lost=1, total=seq, source="id-gap"), interface=interface)
            )
        else:
            code, unit = chance.choice([12, 13, 16, 99]), chance.randint(0, 3)
            found.append(link(seq, code=code, unit=unit, interface=chance.choice(["en", "utun"])))
    return found


async def told(name, seed=1, context=CONTEXT, first=1):
    """Play a story on a simulated kernel, at once; its records, stamped as they would come."""
    kernel = SimulatedKernel()
    socket = kernel.open_event_socket(7_000_000)
    socket.set_filter(KernelFilter())
    decoder = Decoder(context)
    buffer = memoryview(bytearray(1024))
    now, found = [0.0], []

    def read():
        while True:
            try:
                raw = bytes(buffer[: socket.recv_into(buffer)])
            except BlockingIOError:
                return
            seq = first + len(found)
            wall_ns = START_NS + int(now[0] * 1e9) + seq
            found.append(decoder.record(raw, seq=seq, wall_ns=wall_ns))

    async def sleep(seconds):
        read()
        now[0] += seconds
        await asyncio.sleep(0)

    await stories.play(stories.load(name), kernel, chance=random.Random(seed), sleep=sleep)
    read()
    return found


@pytest.fixture
async def journal(tmp_path):
    """Open a journal that keeps little in memory."""
    journal = Journal.open(JournalSettings(path=tmp_path / "journal.sqlite", window_records=20))
    journal.set_context(CONTEXT)
    yield journal
    await journal.aclose(10)


@pytest.fixture
def kit():
    """Give the helpers above, by name."""
    return SimpleNamespace(
        CONTEXT=CONTEXT,
        NEXT_BOOT=Context(host="mac.example", boot_id="00000000-0000-4000-8000-000000000002"),
        START_NS=START_NS,
        link=link,
        put=put,
        said=said,
        told=told,
        variety=variety,
    )

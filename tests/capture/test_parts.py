"""The smaller parts of capture: remembered position, snapshots, and what a report says."""

import asyncio
import socket
import threading
from types import SimpleNamespace

import psutil
import pytest

from kevmond.capture import snapshot
from kevmond.capture.ledger import Basis, LossReport, Totals
from kevmond.capture.losses import loss_record
from kevmond.capture.position import Position
from kevmond.capture.resync import Resync
from kevmond.capture.sequence import LostRange
from kevmond.capture.settings import CaptureSettings
from kevmond.events import own
from kevmond.events.event import Severity
from kevmond.events.own import Change, InterfaceState


def test_position_is_read_back():
    """What is stored is what was remembered."""
    position = Position("boot", 7, 2, 99)
    assert Position.read(position.text()) == position


@pytest.mark.parametrize("text", [None, "", "nonsense", "[1]", '["b", "x", 0, 0]', "{}"])
def test_unreadable_position_is_none(text):
    """A position nobody can read is as good as none."""
    assert Position.read(text) is None


@pytest.mark.parametrize(
    ("last", "now", "unsaid", "missed"),
    [(10, 10, 0, 0), (10, 17, 0, 7), (10, 17, 3, 10), (0xFFFFFFFE, 1, 0, 3)],
)
def test_missed_is_told_by_the_ids_of_one_boot(last, now, unsaid, missed):
    """Posted since, across the wrap, and what the run before had not said yet."""
    assert Position("boot", last, unsaid, 0).missed("boot", now) == missed


def test_id_that_went_back_is_nothing_missed():
    """Two posters at once may set the counter back a little: that is not four billion events."""
    assert Position("boot", 10, 0, 0).missed("boot", 9) == 0
    assert Position("boot", 10, 2, 0).missed("boot", 9) == 2


def test_missed_over_a_boot_cannot_be_known():
    """Ids of another boot say nothing."""
    assert Position("boot", 10, 0, 0).missed("other", 17) is None


def report(**more):
    """Make a report of three lost events, changed as given."""
    told = {
        "lost": 3,
        "late": 0,
        "basis": Basis.IDS,
        "ranges": (LostRange(5, 6, at_end=False), LostRange(9, 9, at_end=False)),
        "system_dropped": 0,
        "too_big": 0,
        "no_memory": 0,
        "totals": Totals(lost=12),
    }
    return LossReport(**told | more)


def test_loss_record_names_count_total_and_ids():
    """The record of a loss is exact and says where it lies."""
    record = loss_record(report())
    assert (record.lost, record.total, record.first_id, record.last_id) == (3, 12, 5, 9)
    assert record.detail.startswith("ids 5-6, 9-9; a larger capture.receive_space may help")
    assert record.severity() is Severity.ERROR


def test_somebody_elses_loss_is_a_warning_and_says_so():
    """The system-wide counter is told as what it is."""
    record = loss_record(report(lost=0, basis=Basis.SYSTEM, ranges=(), system_dropped=4))
    assert record.source == "system-counter"
    assert "perhaps not for us" in record.detail
    assert record.severity() is Severity.WARNING


def state(name="en0", **fields):
    """Make the state of an interface."""
    return InterfaceState(name=name, **fields)


def test_same_state_has_no_differences():
    """Two equal snapshots have nothing to tell."""
    assert snapshot.differences({"en0": state(mtu=1500)}, {"en0": state(mtu=1500)}) == []


def test_changed_field_is_told_before_and_after():
    """A difference names interface, field and both values."""
    changes = snapshot.differences({"en0": state(mtu=1500)}, {"en0": state(mtu=9000)})
    assert changes == [Change(interface="en0", field="mtu", before=1500, after=9000)]


def test_interface_that_came_is_told_with_its_state():
    """A new interface is one difference, and its state follows field by field."""
    changes = snapshot.differences({}, {"utun3": state("utun3", up=True)})
    assert changes == [
        Change(interface="utun3", field="interface", after="utun3"),
        Change(interface="utun3", field="up", after=True),
    ]


def test_interface_that_went_is_told():
    """An interface that is gone is one difference."""
    changes = snapshot.differences({"utun3": state("utun3")}, {})
    assert changes == [Change(interface="utun3", field="interface", before="utun3")]


def test_this_machines_loopback_is_in_the_snapshot():
    """The real system is asked: its loopback is up and has 127.0.0.1/8."""
    found = snapshot.take()
    name = next(name for _, name in socket.if_nameindex() if name.startswith("lo"))
    assert "127.0.0.1/8" in found[name].addresses
    assert found[name].up is True


def test_odd_answers_of_the_system_are_lived_with(monkeypatch):
    """An address without a mask, a name without a state and a scoped address are shown."""

    def address(family, text, netmask):
        return SimpleNamespace(family=family, address=text, netmask=netmask)

    monkeypatch.setattr(
        psutil,
        "net_if_addrs",
        lambda: {
            "en9": [
                address(socket.AF_INET, "10.0.0.1", None),
                address(socket.AF_INET6, "fe80::1%en9", "ffff:ffff:ffff:ffff::"),
            ]
        },
    )
    monkeypatch.setattr(psutil, "net_if_stats", dict)
    assert snapshot.take() == {"en9": state("en9", addresses=["10.0.0.1", "fe80::1%en9/64"])}


class Log:
    """Remembers warnings."""

    def __init__(self):
        self.said = []

    def warning(self, text, **more):
        self.said.append((text, more))


class Clock:
    """Stands still until it is set."""

    now = 0

    def monotonic_ns(self):
        return self.now


@pytest.fixture
def resync():
    """Make a resync over given snapshots; what it says is in `said`."""

    def make(take, **settings):
        said = asyncio.Queue()
        made = Resync(
            CaptureSettings(**settings),
            lambda payload, interface=None: said.put_nowait((payload, interface)),
            clock=Clock(),
            log=Log(),
            take=take,
        )
        made.said = said
        return made

    return make


async def test_first_snapshot_is_one_record_an_interface(resync):
    """Each interface's state is a record that names it."""
    made = resync(lambda: {"en0": state(), "lo0": state("lo0")})
    await made.first()
    told = [made.said.get_nowait() for _ in range(2)]
    assert [(type(payload), interface) for payload, interface in told] == [
        (own.Snapshot, "en0"),
        (own.Snapshot, "lo0"),
    ]


async def test_later_ones_say_what_changed(resync):
    """After a gap the differences are told, with the cause of looking."""
    states = iter([{"en0": state(up=True)}, {"en0": state(up=False)}])
    made = resync(lambda: next(states), resync_interval=0.001)
    await made.first()
    made.ask("loss")
    made.said.get_nowait()
    payload, _ = await asyncio.wait_for(made.said.get(), 10)
    assert payload.cause == "loss"
    assert list(payload.changes) == [Change(interface="en0", field="up", before=True, after=False)]


async def test_long_loss_leads_to_few_looks(resync):
    """What is asked within the interval waits for its end."""
    made = resync(dict, resync_interval=50)
    await made.first()
    made.ask("loss")
    made.ask("loss")
    left = made._timer.when() - asyncio.get_running_loop().time()
    made.stop()
    assert 40 < left < 51


async def test_system_that_fails_is_said_and_lived_with(resync):
    """An error of the system ends neither the look nor capture."""

    def broken():
        raise PermissionError(1, "Operation not permitted")

    made = resync(broken)
    await made.first()
    assert made.said.empty()
    assert made._log.said[0][0] == "the system did not tell its interfaces"


async def test_system_that_hangs_is_not_waited_for(resync):
    """A look that takes too long is given up, and nobody waits for its thread."""
    released = threading.Event()
    made = resync(released.wait, snapshot_timeout=0.01)
    await made.first()
    assert made._log.said[0][0] == "the system did not tell its interfaces in time"
    released.set()


async def test_asked_during_a_look_is_another_look_after_it(resync):
    """What is asked while the system is being asked is neither forgotten nor pressed for."""
    asked, released = [], threading.Event()

    def take():
        asked.append(1)
        released.wait(10)
        return {}

    made = resync(take, resync_interval=0.001)
    made._begin("loss")
    made._begin("wake")
    left = made._timer.when() - asyncio.get_running_loop().time()
    released.set()
    causes = [(await asyncio.wait_for(made.said.get(), 10))[0].cause for _ in range(2)]
    assert left > 0.1
    assert (causes, len(asked)) == (["loss", "wake"], 2)


async def test_snapshots_can_be_switched_off(resync):
    """`snapshot = false` asks the system nothing."""
    made = resync(lambda: pytest.fail("asked"), snapshot=False)
    await made.first()
    made.ask("loss")
    assert made._timer is None

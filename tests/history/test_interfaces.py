"""The fold of interfaces: against the stories, against the system's own word, and its bounds."""

import json

import pytest

from kevmond.events import own
from kevmond.events.own import InterfaceState
from kevmond.history import interfaces
from kevmond.history.interfaces import Fold

STORIES = ["tour", "boot", "cable", "dhcp", "vpn", "privacy", "neighbour", "wifi", "sleep", "storm"]
COMES = {"new-addr", "changed-addr", "new-user-addr", "new-ll-addr", "new-rtadv-addr"}
GOES = {"addr-deleted", "addr-expired", "dad-failure"}


def folded(records):
    """Return the fold of records, and what it told."""
    transitions = []
    fold = Fold(transitions.append)
    for record in records:
        fold.apply(record)
    fold.settle()
    return fold, transitions


def by_hand(records):
    """Work out links and addresses from the JSON lines, each interface and address for itself."""
    found = {}
    for record in records:
        event = json.loads(record.line)
        name, code, payload = event["interface"], event["code_name"], event["payload"] or {}
        if name is None or event["class_name"] != "network":
            continue
        if code == "if-detached":
            found[name] = None
            continue
        if found.get(name) is None:
            found[name] = {"running": None, "addresses": {}}
        if code in {"link-on", "link-off"}:
            found[name]["running"] = code == "link-on"
        address = payload.get("address")
        if address and code in COMES and "duplicated" not in payload.get("flags", ()):
            found[name]["addresses"].setdefault(address, record.seq)
        elif address and (code in GOES or code in COMES):
            found[name]["addresses"].pop(address, None)
    return found


@pytest.mark.parametrize("name", STORIES)
async def test_stories_leave_the_interfaces_that_they_tell_of(kit, name):
    """Links and addresses after a story are those of the last events about each of them."""
    records = await kit.told(name)
    fold, _ = folded(records)
    wanted = by_hand(records)
    assert fold.interfaces.keys() == wanted.keys()
    for interface, state in wanted.items():
        found = fold.interfaces[interface]
        assert found.gone == (state is None)
        if state is not None:
            assert found.running == state["running"]
            assert found.addresses.keys() == state["addresses"].keys()


async def test_vpn_comes_with_addresses_and_goes_without_a_trace(kit):
    """A tunnel is there from its attaching to its detaching, and has its addresses in between."""
    records = await kit.told("vpn")
    detaching = next(r for r in records if r.event.type == "network.dl.if-detaching")
    fold, _ = folded(records[: detaching.seq - 8])
    tunnel = fold.interfaces["utun4"].facts()
    assert (tunnel["state"], tunnel["gone"], tunnel["up"]) == ("up", False, None)
    texts = [each["address"] for each in tunnel["addresses"]]
    assert texts == ["10.8.0.6/32", "fe80::200:5eff:fe00:53b4/64"]
    assert tunnel["addresses"][0]["since_seq"] == 5
    assert tunnel["since"] == {"present": records[0].event.time}
    assert tunnel["unsure"] == ["mtu", "up"]
    fold, transitions = folded(records)
    gone = fold.interfaces["utun4"].facts()
    assert (gone["state"], gone["gone"], gone["addresses"]) == ("gone", True, [])
    assert gone["since"] == {"gone": records[-1].event.time}
    assert gone["last_event"]["type"] == "network.dl.if-detached"
    assert [(t.kind, t.state) for t in transitions if t.label in {"interface", texts[0]}] == [
        ("interface", "present"),
        ("address", "present"),
        ("address", None),
        ("interface", None),
    ]


async def test_link_quality_is_the_last_one_told(kit):
    """The figure and its word are those of the last event."""
    records = await kit.told("wifi")
    last = [r for r in records if r.event.type == "network.dl.link-quality"][-1]
    fold, _ = folded(records)
    facts = fold.interfaces["en1"].facts()
    assert facts["link_quality"] == last.event.payload.link_quality_metric
    assert facts["link_quality_word"] == last.event.payload.link_quality
    assert facts["since"]["link_quality"] == last.event.time


# ---------------------------------------------------------------------- the system's word


EN0 = InterfaceState(
    name="en0",
    up=True,
    running=True,
    mtu=1500,
    addresses=("00:00:5e:00:53:a0", "192.168.1.20/24", "fe80::1%en0/64", "2001:db8::1/64"),
)


class Says:
    """Makes records in a row."""

    def __init__(self, kit):
        self.kit = kit
        self.records = []

    def own(self, payload, **more):
        self.records.append(self.kit.said(len(self.records) + 1, payload, **more))

    def start(self, kernel="darwin", **more):
        self.own(own.Start(version="1", pid=1, kernel=kernel), **more)

    def snapshot(self, *states, cause="start"):
        for state in states:
            self.own(own.Snapshot(cause=cause, state=state), interface=state.name)

    def resync(self, *changes):
        self.own(own.Resync(cause="loss", changes=[own.Change(**each) for each in changes]))

    def event(self, code, unit=0):
        self.records.append(self.kit.link(len(self.records) + 1, code=code, unit=unit))

    @property
    def now(self):
        return self.records[-1].event.time

    def fold(self):
        return folded(self.records)[0].interfaces


@pytest.fixture
def says(kit):
    """Make records in a row."""
    return Says(kit)


def test_snapshot_tells_everything_of_an_interface(says):
    """Addresses are told alike whoever tells them; the link-layer address stands for itself."""
    says.start()
    says.snapshot(EN0)
    facts = says.fold()["en0"].facts()
    assert [each["address"] for each in facts["addresses"]] == [
        "192.168.1.20/24",
        "fe80::1/64",
        "2001:db8::1/64",
    ]
    assert (facts["state"], facts["up"], facts["running"], facts["mtu"]) == ("up", True, True, 1500)
    assert facts["link_address"] == "00:00:5e:00:53:a0"
    assert facts["last_event"] is None
    assert facts["since"]["up"] == says.now


def test_what_is_the_same_is_so_since_before(says):
    """A snapshot that confirms what was known does not begin it anew."""
    says.start()
    says.snapshot(EN0)
    before = says.now
    says.start()
    says.snapshot(EN0.model_copy(update={"mtu": 9000}))
    facts = says.fold()["en0"].facts()
    assert facts["since"]["running"] == facts["addresses"][0]["since"] == before
    assert facts["since"]["mtu"] == says.now


def test_snapshot_without_an_interface_says_that_it_is_gone(says):
    """Whichever a whole listing does not have went away unseen: while no daemon ran, say."""
    says.start()
    says.snapshot(EN0, EN0.model_copy(update={"name": "en7"}))
    says.event(9, unit=8)  # if-attached
    says.start()
    says.snapshot(EN0)
    assert {name: each.gone for name, each in says.fold().items()} == {
        "en0": False,
        "en7": True,
        "en8": True,
    }


def test_snapshot_of_another_system_says_nothing_of_simulated_interfaces(says):
    """Beside a simulated kernel, an interface that no snapshot ever had is not gone for that."""
    says.start("simulated")
    says.snapshot(EN0)
    says.event(13, unit=1)
    says.start("simulated")
    says.snapshot(EN0)
    assert [each.state for each in says.fold().values()] == ["up", "up"]


def test_resync_puts_right_what_events_did_not_tell(says):
    """After a loss, what changed is taken over, and all else is as at the snapshot before."""
    says.start()
    says.snapshot(EN0)
    says.event(12)  # link-off, and the link-on was lost
    says.resync(
        {"interface": "en0", "field": "mtu", "before": 1500, "after": 9000},
        {
            "interface": "en0",
            "field": "addresses",
            "before": EN0.addresses,
            "after": EN0.addresses[:2],
        },
        {"interface": "en9", "field": "interface", "after": "en9"},
        {"interface": "en9", "field": "up", "after": False},
    )
    found = says.fold()
    facts = found["en0"].facts()
    assert (facts["running"], facts["mtu"]) == (True, 9000)
    assert [each["address"] for each in facts["addresses"]] == ["192.168.1.20/24"]
    assert (found["en9"].gone, found["en9"].up) == (False, False)
    says.resync({"interface": "en9", "field": "interface", "before": "en9"})
    assert says.fold()["en9"].gone


@pytest.mark.parametrize(("code", "key"), [(1, "up"), (3, "mtu"), (16, "link_address")])
def test_what_events_leave_open_is_unsure_until_the_system_is_asked(says, code, key):
    """An event that says only that something was set makes what is known of it doubtful."""
    says.start()
    says.snapshot(EN0)
    says.event(code)
    assert says.fold()["en0"].facts()["unsure"] == [key]
    says.resync()
    assert says.fold()["en0"].facts()["unsure"] == []


def test_another_boot_knows_nothing_of_the_one_before(says, kit):
    """Interfaces of the boot before ended with its last record, and are not told any more."""
    says.start()
    says.snapshot(EN0)
    says.event(13)
    end = says.records[-1].wall_ns
    says.start(context=kit.NEXT_BOOT, wall_ns=end + 10**12)
    fold, transitions = folded(says.records)
    assert fold.interfaces == {}
    assert {(t.wall_ns, t.state) for t in transitions[-5:]} == {(end, None)}


def test_names_and_addresses_are_bounded(says, monkeypatch):
    """However many interfaces and addresses come, the oldest are forgotten, gone ones first."""
    monkeypatch.setattr(interfaces, "MOST_INTERFACES", 4)
    monkeypatch.setattr(interfaces, "MOST_ADDRESSES", 2)
    says.start("simulated")
    says.snapshot(EN0)
    for unit in range(1, 4):
        says.event(13, unit=unit)
    says.event(11, unit=2)  # if-detached
    says.event(13, unit=8)
    says.event(13, unit=9)
    found = says.fold()
    assert list(found) == ["en1", "en3", "en8", "en9"]
    says.snapshot(EN0, cause="loss")
    assert [text for text, *_ in says.fold()["en0"].addresses.values()] == [
        "fe80::1/64",
        "2001:db8::1/64",
    ]


async def test_garbage_is_no_interface(kit):
    """Messages that contradict themselves change nothing and raise nothing."""
    records = await kit.told("garbage")
    folded(records)

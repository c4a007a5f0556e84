"""Memory, kernel controls, third-party extensions, policy, sleep."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from kevmond.events.payloads.dirtystatus import DirtyStatus
from kevmond.events.payloads.inet import PortInUse
from kevmond.events.payloads.memorystatus import Pressure, SnapshotReady
from kevmond.events.payloads.netpolicy import InterfaceDenied, NetworkDenied
from kevmond.events.payloads.power import WakePacket168
from kevmond.stories.model import Step, VendorPost
from kevmond.stories.vocabulary import at, control, dl, posted, quality, together, wifi
from kevmond.stories.world import EN0, EN1, ROUTER, VENDOR, later, uuid

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

    from kevmond.stories.model import Post

_PROCESSES = ("Safari", "photoanalysisd", "mds_stores", "Xcode", "cloudd", "Music")


def memory(chance: random.Random) -> Iterator[Step]:
    """Tell how memory runs short, processes give some back, and a list of use is made."""
    names = chance.sample(_PROCESSES, 3)
    pids = chance.sample(range(300, 9000), 3)
    for number, (name, pid) in enumerate(zip(names, pids, strict=True)):
        yield at(
            0.9 if number else 0,
            posted("system.memorystatus.pressure", Pressure(pid=pid)),
            f"memory runs short: {name} ({pid}) is asked to give some back",
        )
        yield at(0.5, _dirty(name, pid, "clean", chance))
    yield at(
        1.2,
        posted(
            "system.memorystatus.snapshot",
            SnapshotReady(snapshot_size=4096 * chance.randint(60, 200)),
        ),
        "not enough: the kernel ends processes and leaves a list of memory use",
    )
    yield at(1.4, _dirty(names[0], pids[0], "dirty", chance), "work goes on")


def _dirty(name: str, pid: int, change: str, chance: random.Random) -> Post:
    payload = DirtyStatus(
        pid=pid,
        process_name=name,
        change=change,
        changed_at=0,
        pages=chance.randint(1000, 90000),
        priority=chance.choice((0, 10, 40, 100)),
    )
    return posted("system.dirtystatus.changed", payload)


def control_story(chance: random.Random) -> Iterator[Step]:
    """Tell how a kernel extension registers controls, serves a while, and is unloaded."""
    number = chance.randint(11, 60)
    yield at(0, control("registered", number), f"a kernel extension registers control {number}")
    yield at(0.7, control("registered", number + 1), "and another")
    yield from together(
        2.5,
        control("deregistered", number + 1),
        control("deregistered", number),
        note="the extension is unloaded",
    )


def vendor(chance: random.Random) -> Iterator[Step]:
    """Tell how a third party's extension asks for its vendor code and posts its own events."""
    yield Step(
        0,
        VendorPost(VENDOR, 0, 0, 1),
        f"an extension of {VENDOR} is loaded and posts without a payload",
    )
    for _ in range(4):
        values = [chance.randint(20, 90) for _ in range(3)]
        yield Step(
            0.8 + 0.5 * chance.random(),
            VendorPost(VENDOR, 0, 0, 2, struct.pack("<3I", *values)),
            f"it posts three numbers: {', '.join(map(str, values))}",
        )
    yield Step(1.0, VendorPost(VENDOR, 1, 2, 3, b"fan 1: 2140 rpm\0"), "and a text")


def policy(chance: random.Random) -> Iterator[Step]:
    """Tell how processes are refused networks, and a port that is taken."""
    pid = chance.randint(300, 9000)
    payload = InterfaceDenied(effective_pid=pid, functional_type="cellular")
    yield at(
        0,
        posted("network.netpolicy.if-denied", payload),
        f"process {pid} may not use the cellular network",
    )
    denied = NetworkDenied(effective_pid=pid + 7, effective_uuid=uuid(chance), network_type="local")
    yield at(
        1.2,
        posted("network.netpolicy.net-denied", denied),
        f"process {pid + 7} may not look at the local network",
    )
    yield at(
        1.3,
        posted("network.inet.port-in-use", PortInUse(port=5353, pid=pid + 9)),
        f"process {pid + 9} wants port 5353, which is taken",
    )


def sleep(chance: random.Random) -> Iterator[Step]:
    """Tell how the machine sleeps, is woken by a packet, and comes back."""
    yield from together(
        0,
        wifi("power-changed"),
        dl("link-off", EN1),
        quality(EN1, -2),
        dl("wakeflags-changed", EN0),
        note="the machine goes to sleep",
    )
    awake = WakePacket168(
        wake_uuid=uuid(chance),
        received_at=later(0),
        if_index=EN0.index,
        local_port=22,
        flags=("ipv4", "tcp", "socket", "listen", "wakepkt"),
        owner_pid=1,
        effective_pid=1,
        owner_name="launchd",
        effective_name="launchd",
        remote_port=chance.randint(49152, 65535),
        local_address="192.168.1.23",
        remote_address=ROUTER,
        if_name=EN0.name,
        packet_length=64,
        data_length=0,
        control_flags=("syn",),
    )
    yield at(4.0, posted("network.power.wake-packet", awake), "a packet for ssh wakes it")
    yield at(0.1, dl("link-on", EN0))
    yield from together(
        0.6,
        wifi("power-changed"),
        wifi("assoc-done"),
        dl("link-on", EN1),
        quality(EN1, 100),
        dl("wakeflags-changed", EN0),
        note="Wi-Fi is back",
    )
